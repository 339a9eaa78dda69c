# SPDX-License-Identifier: Apache-2.0
"""Decoding against the float32 reference. Letters of array names as in `kernels.decode`."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from kernels import tiles
from kernels._bench import checks, decode_cases
from kernels._bench.cases import CUBLAS
from kernels._bench.checks import Check, Finding, Subject
from kernels._decode.operands import Operands

HEADS = {
    "mha": (2, 2, (64, 0, 64)),
    "gqa_7_to_1": (14, 2, (128, 0, 128)),
    "mqa": (5, 1, (256, 0, 256)),
    "mla_v2_lite": (16, 1, (512, 64, 512)),
    "mla_v2": (128, 1, (512, 64, 512)),
}
"""Queries, keys and widths."""

DEPTH = 512
"""About what a split is."""

TYPES = ("float32", "bfloat16")


def subjects(depth: int = DEPTH) -> Iterator[Subject]:
    """One for each kind of heads."""
    for name, (num_heads, num_kv_heads, widths) in HEADS.items():
        drawn = partial(_draw, num_heads, num_kv_heads, widths, 3 * depth + depth // 3)
        found = tuple(
            _check(f"decode/{implementation}/{name}/{dtype}", implementation, drawn(dtype), depth)
            for dtype in TYPES
            for implementation in tiles.serving(["decode"], dtype, widths)
        )
        yield Subject(lambda drawn=drawn: _expected(drawn, depth), found)


def _lengths(depth: int, places: int) -> Array:
    """The first, at and behind the edges of a step and of a split, and all."""
    return jnp.array([1, 16, 17, depth - 1, depth, depth + 1, 2 * depth, places], jnp.int32)


def _draw(
    num_heads: int, num_kv_heads: int, widths: tuple[int, int, int], places: int, dtype: str
) -> Operands:
    head_dim, rope, width = widths
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Array:
        return jnp.asarray(rng.normal(size=(8, *shape)), dtype)

    q_BNH, k_BKSH = normal(num_heads, head_dim), normal(num_kv_heads, places, head_dim)
    if rope:
        return Operands(q_BNH, k_BKSH, None, normal(num_heads, rope), normal(places, rope))
    return Operands(q_BNH, k_BKSH, normal(num_kv_heads, places, width), None, None)


def _expected(drawn: Any, depth: int) -> dict[str, Array]:
    """By type of the operands, in float32."""
    reference = jax.jit(decode_cases.by("reference"), compiler_options=CUBLAS)
    found = {}
    for dtype in TYPES:
        wide = jax.tree.map(lambda x: x.astype(jnp.float32), drawn(dtype))
        found[dtype] = reference(wide, _lengths(depth, wide.k_BKSH.shape[2]))
    return found


def _check(name: str, implementation: str, operands: Operands, depth: int) -> Check:
    length_B = _lengths(depth, operands.k_BKSH.shape[2])

    def judge(compiled: Any, expected: dict[str, Array]) -> Iterator[Finding]:
        found = compiled(operands, length_B)
        yield _error(found, expected[str(found.dtype)])
        yield checks.different("rerun", found, compiled(operands, length_B))
        turned = compiled(jax.tree.map(lambda x: x[::-1], operands), length_B[::-1])
        yield checks.different("rows in another order", found, turned[::-1])
        huge = compiled(_with_huge_rest(operands, length_B), length_B)
        yield checks.different("places behind the text", found, huge)

    return Check(name, decode_cases.by(implementation), (operands, length_B), judge)


def _error(found: Array, exact: Array) -> Finding:
    if found.dtype == jnp.float32:
        return checks.float32("out", found, exact)
    rounding = jnp.max(jnp.abs(exact.astype(found.dtype).astype(jnp.float32) - exact))
    error = jnp.max(jnp.abs(found.astype(jnp.float32) - exact))
    return Finding("out, in units of its rounding", float(error / rounding), 1.5)


def _with_huge_rest(operands: Operands, length_B: Array) -> Operands:
    empty_BS = jnp.arange(operands.k_BKSH.shape[2]) >= length_B[:, None]
    empty_BKSH, empty_BSP = empty_BS[:, None, :, None], empty_BS[:, :, None]

    def huge(x: Array | None, empty: Array) -> Array | None:
        return None if x is None else jnp.where(empty, jnp.asarray(3e38, x.dtype), x)

    k_rope_BSP = huge(operands.k_rope_BSP, empty_BSP)
    v_BKSW = huge(operands.v_BKSW, empty_BKSH)
    k_BKSH = jnp.where(empty_BKSH, jnp.asarray(3e38, operands.k_BKSH.dtype), operands.k_BKSH)
    return operands._replace(k_BKSH=k_BKSH, v_BKSW=v_BKSW, k_rope_BSP=k_rope_BSP)
