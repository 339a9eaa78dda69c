# SPDX-License-Identifier: Apache-2.0
"""Rows in groups, each group times a matrix of its own: what a layer of experts computes.

Letters of array names: T row, E group, I width of a row, O width of a result.
"""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from jax import Array

from kernels import checks
from kernels._grouped_matmul import blocks, choice, fused, reference, triton, xla


def _mosaic(x_TI: Array, weight_EIO: Array, group_sizes_E: Array) -> Array:
    """Imported when it is asked for: it takes as long as all the rest."""
    from kernels._grouped_matmul import mosaic

    return fused.grouped_matmul(mosaic.BACKEND, x_TI, weight_EIO, group_sizes_E)


_IMPLEMENTATIONS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "reference": reference.grouped_matmul,
    "blocks": blocks.grouped_matmul,
    "xla": xla.grouped_matmul,
    "pallas_triton": partial(fused.grouped_matmul, triton.BACKEND),
    "pallas_mosaic": _mosaic,
}


def grouped_matmul(
    x_TI: Array, weight_EIO: Array, group_sizes_E: Array, *, implementation: str | None = None
) -> Array:
    """Multiplies the rows of each group e, which follow those of group e - 1, by weight[e].

    Args:
        x_TI: rows, those of the first group first.
        weight_EIO: a matrix of each group; used in the type of `x_TI`. Its gradient has its own
            type, and is rounded to no narrower one on the way by `blocks` and the Pallas ones.
        group_sizes_E: rows of each group, integers, 0 included; their sum is at most T
            (`checks.DEBUG` looks at that).
        implementation: a name of `implementations()`; None picks by architecture and type
            (`kernels._grouped_matmul.choice`). A named one raises on what it cannot do. The Pallas
            ones run anywhere else than on a GPU in an interpreter, for tests.

    Returns:
        [T, O] in the type of `x_TI`; 0 where a row is in no group.

    Raises:
        ValueError: shapes or types do not fit, there is no such implementation, or the named one
            cannot do this.
    """
    _check(x_TI, weight_EIO, group_sizes_E)
    checks.groups_within(group_sizes_E, len(x_TI))
    name = choice.pick(x_TI) if implementation is None else implementation
    if name not in _IMPLEMENTATIONS:
        raise ValueError(f"implementation={name!r}: choose one of {', '.join(implementations())}")
    return _IMPLEMENTATIONS[name](x_TI, weight_EIO, group_sizes_E).astype(x_TI.dtype)


def implementations() -> tuple[str, ...]:
    """The names that `grouped_matmul` takes."""
    return tuple(_IMPLEMENTATIONS)


def _check(x_TI: Array, weight_EIO: Array, group_sizes_E: Array) -> None:
    if weight_EIO.ndim != 3:
        raise ValueError(f"weight_EIO {weight_EIO.shape} should have three axes: E, I, O")
    num_groups, width, _ = weight_EIO.shape
    if x_TI.ndim != 2 or x_TI.shape[1] != width:
        raise ValueError(f"x_TI {x_TI.shape} does not fit weight_EIO {weight_EIO.shape}")
    for name, array in (("x_TI", x_TI), ("weight_EIO", weight_EIO)):
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(f"{name} is {array.dtype}, not floating point")
        if not array.size:
            raise ValueError(f"{name} {array.shape}: no axis may be empty")
    if group_sizes_E.shape != (num_groups,):
        raise ValueError(f"group_sizes_E {group_sizes_E.shape} should be {(num_groups,)}")
    if not jnp.issubdtype(group_sizes_E.dtype, jnp.integer):
        raise ValueError(f"group_sizes_E is {group_sizes_E.dtype}, not integers")
