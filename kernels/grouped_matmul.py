# SPDX-License-Identifier: Apache-2.0
"""Rows in groups, each group times a matrix of its own: what a layer of experts computes.

Letters of array names: T row, E group, I width of a row, O width of a result.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from kernels._grouped_matmul import blocks, reference, xla

_IMPLEMENTATIONS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "reference": reference.grouped_matmul,
    "blocks": blocks.grouped_matmul,
    "xla": xla.grouped_matmul,
}


def grouped_matmul(
    x_TI: Array, weight_EIO: Array, group_sizes_E: Array, *, implementation: str | None = None
) -> Array:
    """Multiplies the rows of each group e, which follow those of group e - 1, by weight[e].

    Args:
        x_TI: rows, those of the first group first.
        weight_EIO: a matrix of each group; used in the type of `x_TI`.
        group_sizes_E: rows of each group, integers, 0 included; their sum is at most T.
        implementation: a name of `implementations()`; None picks the fastest that can do the job.

    Returns:
        [T, O] in the type of `x_TI`; 0 where a row is in no group.

    Raises:
        ValueError: the shapes do not fit each other, or there is no such implementation.
    """
    _check_shapes(x_TI, weight_EIO, group_sizes_E)
    name = implementation or ("blocks" if jax.default_backend() == "cpu" else "xla")
    if name not in _IMPLEMENTATIONS:
        raise ValueError(f"implementation={name!r}: choose one of {', '.join(implementations())}")
    return _IMPLEMENTATIONS[name](x_TI, weight_EIO, group_sizes_E).astype(x_TI.dtype)


def implementations() -> tuple[str, ...]:
    """The names that `grouped_matmul` takes."""
    return tuple(_IMPLEMENTATIONS)


def _check_shapes(x_TI: Array, weight_EIO: Array, group_sizes_E: Array) -> None:
    num_groups, width, _ = weight_EIO.shape
    if x_TI.ndim != 2 or x_TI.shape[1] != width:
        raise ValueError(f"rows {x_TI.shape} do not fit matrices {weight_EIO.shape}")
    if group_sizes_E.shape != (num_groups,):
        raise ValueError(f"group_sizes {group_sizes_E.shape} should be {(num_groups,)}")
    if not jnp.issubdtype(group_sizes_E.dtype, jnp.integer):
        raise ValueError(f"group_sizes are {group_sizes_E.dtype}, not integers")
