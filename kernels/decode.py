# SPDX-License-Identifier: Apache-2.0
"""Attention of one new position of each row over what a cache holds.

Letters of array names: B row (slot), N query heads, K key heads, S place of the cache, H width of a
key, W of a value, P width of the part of a key that has an array of its own.
"""

from collections.abc import Callable
from numbers import Integral

import jax.numpy as jnp
from jax import Array

from kernels import checks
from kernels._decode import choice, reference, triton, xla
from kernels._decode.operands import Operands

_IMPLEMENTATIONS: dict[str, Callable[[Operands, Array, float, int], Array]] = {
    "reference": reference.decode,
    "xla": xla.decode,
    "pallas_triton": triton.decode,
}


def decode(
    q_BNH: Array,
    k_BKSH: Array,
    v_BKSW: Array | None,
    length_B: Array,
    *,
    q_rope_BNP: Array | None = None,
    k_rope_BSP: Array | None = None,
    scale: float | None = None,
    places: int | None = None,
    implementation: str | None = None,
) -> Array:
    """softmax(scale * (q k^T + q_rope k_rope^T)) v over the first `length_B` places of each row.

    Query head n reads key head n * K // N. MLA's absorbed form (DeepSeek-V2, section 2.1.2) has one
    key head, whose keys are the latents, and no values of its own: they are the keys again, read
    once. A row's result does not depend on the other rows, to the bit.

    Args:
        q_BNH: queries.
        k_BKSH: keys of all places; anything finite where there is none yet.
        v_BKSW: values; None: the keys serve as values.
        length_B: places that are filled, at least 1 (`checks.DEBUG` looks at that), integers; as
            many as `places` at most are looked at.
        q_rope_BNP: further columns of the queries.
        k_rope_BSP: further columns of the keys, which all heads share; both or none.
        scale: factor of the scores, a positive number (no array); None: (H + P) ** -0.5.
        places: the first places, which are all that is looked at; None: S.
        implementation: a name of `implementations()`; None picks by architecture, types and widths.
            A named one raises on what it cannot do: `pallas_triton` has no gradients.

    Returns:
        [B, N, W] in the type of `q_BNH`.

    Raises:
        ValueError: shapes or types do not fit each other, there is no such implementation, or the
            named one cannot do this.
    """
    operands = Operands(q_BNH, k_BKSH, v_BKSW, q_rope_BNP, k_rope_BSP)
    _check(operands, length_B, places)
    checks.no_row_empty(length_B)
    name = choice.pick(operands) if implementation is None else implementation
    if name not in _IMPLEMENTATIONS:
        raise ValueError(f"implementation={name!r}: choose one of {', '.join(implementations())}")
    key_width, rope, _ = operands.widths
    factor = checks.scale(scale, key_width + rope)
    places = k_BKSH.shape[2] if places is None else int(places)
    return _IMPLEMENTATIONS[name](operands, length_B, factor, places)


def implementations() -> tuple[str, ...]:
    """The names that `decode` takes."""
    return tuple(_IMPLEMENTATIONS)


def _check(operands: Operands, length_B: Array, places: int | None) -> None:
    q_BNH, k_BKSH, v_BKSW, q_rope_BNP, k_rope_BSP = operands
    checks.same_type(operands)
    if q_BNH.ndim != 3:
        raise ValueError(f"q_BNH {q_BNH.shape} should have three axes: B, N, H")
    batch, num_heads, width = q_BNH.shape
    if k_BKSH.ndim != 4 or k_BKSH.shape != (batch, *k_BKSH.shape[1:3], width):
        raise ValueError(
            f"k_BKSH {k_BKSH.shape} does not fit q_BNH {q_BNH.shape}: should be "
            f"({batch}, K, S, {width})"
        )
    _, num_kv_heads, capacity, _ = k_BKSH.shape
    if v_BKSW is not None and v_BKSW.shape[:-1] != k_BKSH.shape[:-1]:
        raise ValueError(
            f"v_BKSW {v_BKSW.shape} does not fit k_BKSH {k_BKSH.shape}: only the last dimension "
            "may differ"
        )
    if num_heads % num_kv_heads:
        raise ValueError(f"k_BKSH: {num_kv_heads} key heads do not divide {num_heads} query heads")
    if (q_rope_BNP is None) != (k_rope_BSP is None):
        raise ValueError("q_rope_BNP and k_rope_BSP: give both or none")
    if q_rope_BNP is not None and k_rope_BSP is not None:
        rope = q_rope_BNP.shape[-1]
        if q_rope_BNP.shape != (batch, num_heads, rope):
            raise ValueError(
                f"q_rope_BNP {q_rope_BNP.shape} does not fit q_BNH {q_BNH.shape}: only the last "
                "dimension may differ"
            )
        if k_rope_BSP.shape != (batch, capacity, rope):
            raise ValueError(f"k_rope_BSP {k_rope_BSP.shape} should be {(batch, capacity, rope)}")
    if length_B.shape != (batch,):
        raise ValueError(f"length_B {length_B.shape} should be {(batch,)}")
    if not jnp.issubdtype(length_B.dtype, jnp.integer):
        raise ValueError(f"length_B is {length_B.dtype}, not integers")
    if places is None:
        return
    if not isinstance(places, Integral):
        raise ValueError(f"places={places}: should be an int, not an array")
    if not 1 <= places <= capacity:
        raise ValueError(f"places={places}: must be from 1 to k_BKSH's {capacity}")
