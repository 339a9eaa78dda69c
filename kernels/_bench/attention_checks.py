# SPDX-License-Identifier: Apache-2.0
"""Attention against the float32 reference: heads, documents, types; leaks and reruns."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from kernels import tiles
from kernels._attention.choice import OPERATIONS
from kernels._bench import checks, matrix
from kernels._bench.checks import Check, Finding, Subject
from kernels.attention import attention
from kernels.target import architecture

BLOCK = 128
"""About what the tiles are; lengths are in proportion."""

TYPES = ("float32", "bfloat16")

_Expected = dict[tuple[str, str], tuple[matrix.Results, matrix.Results]]
"""Exact and rounded results, by type and packing."""


def subjects(block: int = BLOCK) -> Iterator[Subject]:
    """One for each kind of heads."""
    for name, heads in matrix.HEADS.items():
        found = [
            _check(name, heads, implementation, dtype, block)
            for dtype in TYPES
            for implementation in tiles.serving(OPERATIONS, dtype, heads.widths)
        ]
        if architecture() in ("sm80", "sm90") and heads.widths in ((64, 0, 64), (128, 0, 128)):
            found.append(_cudnn_check(name, heads, block))
        yield Subject(partial(_expected, heads, block), tuple(found))


def _drawn(heads: matrix.Heads, dtype: str, block: int) -> tuple[Any, matrix.Towards]:
    return matrix.draw(heads, sum(matrix.packings(block)["one_document"]), dtype)


def _expected(heads: matrix.Heads, block: int) -> _Expected:
    found: _Expected = {}
    for dtype in TYPES:
        operands, towards = _drawn(heads, dtype, block)
        for packing, lengths in matrix.packings(block).items():
            found[dtype, packing] = matrix.exact(operands, matrix.segments(lengths), towards)
    return found


def _check(name: str, heads: matrix.Heads, implementation: str, dtype: str, block: int) -> Check:
    operands, towards = _drawn(heads, dtype, block)
    packings = {one: matrix.segments(cuts) for one, cuts in matrix.packings(block).items()}

    def judge(compiled: Any, expected: _Expected) -> Iterator[Finding]:
        for packing, segment_ids in packings.items():
            found = compiled(operands, segment_ids, towards)
            yield from _errors(packing, found, *expected[dtype, packing])
        again = (compiled(operands, packings["ragged"], towards) for _ in range(2))
        yield checks.different("rerun", *again)
        segment_ids = packings["edges_on_and_off_a_block"]
        yield from _leaks(compiled, operands, segment_ids, towards)

    return Check(
        f"attention/{implementation}/{name}/{dtype}",
        partial(matrix.with_gradients, implementation),
        (operands, packings["ragged"], towards),
        judge,
    )


def _errors(
    packing: str, found: matrix.Results, exact: matrix.Results, rounded: matrix.Results
) -> Iterator[Finding]:
    """bfloat16: by norm, in units of what rounding the results alone gives."""
    for name, x in found.items():
        of = f"{packing} {name}"
        if x.dtype == jnp.float32:
            yield checks.float32(of, x, exact[name])
            continue
        error = jnp.linalg.norm(x.astype(jnp.float32) - exact[name])
        yield Finding(of, float(error / jnp.linalg.norm(rounded[name] - exact[name])), 1.5)


def _leaks(
    compiled: Any, operands: Any, segment_ids_BT: Array, towards: matrix.Towards
) -> Iterator[Finding]:
    """What changes elsewhere when a document becomes huge."""
    changed_BT = segment_ids_BT == 2

    def huge(x: Array) -> Array:
        """[B, T, P] or [B, N, T, …], with the document a hundred times as large."""
        mask = changed_BT[:, :, None] if x.ndim == 3 else changed_BT[:, None, :, None]
        return jnp.where(mask, 100 * x, x)

    after_towards = huge(towards[0]), huge(towards[1][..., None])[..., 0]
    before = compiled(operands, segment_ids_BT, towards)
    after = compiled(jax.tree.map(huge, operands), segment_ids_BT, after_towards)
    kept_BT = ~np.asarray(changed_BT)
    for name, x in before.items():
        axis = 1 if name == "d_k_rope_BTP" else 2
        one, other = (np.moveaxis(np.asarray(y), axis, 1)[kept_BT] for y in (x, after[name]))
        yield checks.different(f"leak {name}", one, other)


def _cudnn_check(name: str, heads: matrix.Heads, block: int) -> Check:
    """It is not ours: what the benchmark asks of others."""
    operands, (d_out, d_logsumexp) = _drawn(heads, "bfloat16", block)

    def function(operands: Any, d_out: Array) -> matrix.Results:
        out, pull = jax.vjp(
            lambda *arrays: attention(*arrays, implementation="cudnn"), *operands[:3]
        )
        names = ("d_q_BNTH", "d_k_BKTH", "d_v_BKTW")
        gradients: matrix.Results = dict(zip(names, pull(d_out), strict=True))
        return {"out": out, **gradients}

    def judge(compiled: Any, _: Any) -> Iterator[Finding]:
        whole = jnp.ones(operands.q_BNTH.shape[::2], jnp.int32)
        exact, _ = matrix.exact(operands, whole, (d_out, jnp.zeros_like(d_logsumexp)))
        for one, x in compiled(operands, d_out).items():
            error = jnp.linalg.norm(x.astype(jnp.float32) - exact[one])
            yield Finding(one, float(error / jnp.linalg.norm(exact[one])), 0.01)

    return Check(f"attention/cudnn/{name}/bfloat16", function, (operands, d_out), judge)
