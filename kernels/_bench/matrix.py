# SPDX-License-Identifier: Apache-2.0
"""Inputs of attention, packed in ways that kernels may get wrong, and what is exact of them.

Letters of array names as in `kernels.attention`.
"""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from kernels._attention.operands import Operands
from kernels._bench.cases import CUBLAS
from kernels.attention import attention_and_logsumexp


@dataclasses.dataclass(frozen=True)
class Heads:
    """What a model's attention looks like."""

    queries: int
    keys: int
    widths: tuple[int, int, int] = (64, 0, 64)
    """H, P and W."""


HEADS = {
    "mha": Heads(2, 2),
    "gqa_7_to_1": Heads(14, 2, (128, 0, 128)),
    "mqa": Heads(3, 1, (128, 0, 128)),
    "mla_192_128": Heads(2, 2, (128, 64, 128)),
    "width_256": Heads(2, 1, (256, 0, 256)),
}


def packings(block: int) -> dict[str, list[int]]:
    """Lengths of documents, equal in sum and no multiple of `block`, by name."""
    length = 3 * block + block // 4
    ragged = [block - 3, 2, block + block // 2]
    single = [1] * (block + 2) + [block - 4] + [1] * 2
    edges = [block, block - 1, 1, 1, block // 2 + 1]
    return {
        "one_document": [length],
        "ragged": [*ragged, length - sum(ragged)],
        "single_positions": [*single, length - sum(single)],
        "edges_on_and_off_a_block": [*edges, length - sum(edges)],
    }


def segments(lengths: list[int]) -> Array:
    """Two rows: the documents, and the same ones in the other order; the last is padding, 0."""
    numbers = [*range(1, len(lengths)), 0]
    return jnp.asarray([np.repeat(numbers, lengths), np.repeat(numbers, lengths[::-1])], jnp.int32)


Towards = tuple[Array, Array]
"""What the gradients of output and logarithms start from."""


def draw(heads: Heads, length: int, dtype: Any) -> tuple[Operands, Towards]:
    """Operands of two rows."""
    head_dim, rope, width = heads.widths
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Array:
        return jnp.asarray(rng.normal(size=(2, *shape)), dtype)

    operands = Operands(
        normal(heads.queries, length, head_dim),
        normal(heads.keys, length, head_dim),
        normal(heads.keys, length, width),
        normal(heads.queries, length, rope) if rope else None,
        normal(length, rope) if rope else None,
    )
    d_logsumexp_BNT = normal(heads.queries, length).astype(jnp.float32)
    return operands, (normal(heads.queries, length, width), d_logsumexp_BNT)


Results = dict[str, Array]


def with_gradients(
    implementation: str,
    operands: Operands,
    segment_ids: Array | None,
    towards: Towards,
    scale: float | None = None,
) -> Results:
    """Output, logarithms of the sums, and the gradient of each operand, by name."""

    def run(operands: Operands) -> tuple[Array, Array]:
        return attention_and_logsumexp(
            operands.q_BNTH,
            operands.k_BKTH,
            operands.v_BKTW,
            q_rope_BNTP=operands.q_rope_BNTP,
            k_rope_BTP=operands.k_rope_BTP,
            segment_ids=segment_ids,
            scale=scale,
            implementation=implementation,
        )

    (out_BNTW, logsumexp_BNT), pull = jax.vjp(run, operands)
    (gradients,) = pull((towards[0].astype(out_BNTW.dtype), towards[1]))
    found = {f"d_{name}": x for name, x in gradients._asdict().items() if x is not None}
    return {"out": out_BNTW, "logsumexp": logsumexp_BNT, **found}


_by_reference = jax.jit(partial(with_gradients, "reference"), compiler_options=CUBLAS)


def exact(operands: Operands, segment_ids: Array, towards: Towards) -> tuple[Results, Results]:
    """What the reference finds in float32 from the same inputs, without and with rounded outputs.

    The second is what would be found if everything were exact but what is written to memory in the
    operands' type: the output, which the backward pass reads again, and the gradients. In it,
    output and cotangent determine the mean of the weights' gradients. An error of that mean is to
    the scores what a cotangent of the logarithms is.
    """
    dtype = operands.q_BNTH.dtype
    wide = jax.tree.map(lambda x: x.astype(jnp.float32), operands)
    d_out, d_logsumexp = towards[0].astype(jnp.float32), towards[1]
    found = _by_reference(wide, segment_ids, (d_out, d_logsumexp))
    error = found["out"].astype(dtype).astype(jnp.float32) - found["out"]
    moved = d_out, d_logsumexp - jnp.sum(error * d_out, axis=-1)
    rounded = _by_reference(wide, segment_ids, moved)
    return found, {name: x.astype(dtype).astype(jnp.float32) for name, x in rounded.items()}
