# SPDX-License-Identifier: Apache-2.0
"""Inputs of attention, packed in ways that kernels may get wrong, and small tiles for them.

Letters of array names as in `kernels.attention`.
"""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from kernels import tiles
from kernels._attention.operands import Operands
from kernels.attention import attention_and_logsumexp


@dataclasses.dataclass(frozen=True)
class Heads:
    """What a model's attention looks like."""

    queries: int
    keys: int
    widths: tuple[int, int, int] = (64, 0, 64)


HEADS = {
    "mha": Heads(2, 2),
    "gqa_7_to_1": Heads(14, 2),
    "mqa": Heads(3, 1),
    "mla_192_128": Heads(2, 2, (128, 64, 128)),
}
WIDER = {"width_128": Heads(2, 1, (128, 0, 128)), "width_256": Heads(1, 1, (256, 0, 256))}


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


def draw(heads: Heads, length: int, dtype: Any, seed: int = 0) -> tuple[Operands, tuple[Any, Any]]:
    """Operands of two rows, and what the gradients of output and logarithms start from."""
    head_dim, rope, width = heads.widths
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> Array:
        return jnp.asarray(rng.normal(size=(2, *shape)), dtype)

    operands = Operands(
        normal(heads.queries, length, head_dim),
        normal(heads.keys, length, head_dim),
        normal(heads.keys, length, width),
        normal(heads.queries, length, rope) if rope else None,
        normal(length, rope) if rope else None,
    )
    towards = (
        normal(heads.queries, length, width),
        normal(heads.queries, length).astype(jnp.float32),
    )
    return operands, towards


@partial(jax.jit, static_argnames=("implementation", "scale"))
def with_gradients(
    implementation: str,
    operands: Operands,
    segment_ids: Array | None,
    towards: tuple[Array, Array],
    scale: float | None = None,
) -> dict[str, Array]:
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


def small_tiles(
    architecture: str, implementation: str, cuts: dict[str, tiles.Tile]
) -> dict[tiles.Key, tiles.Tile]:
    """A table with these tiles, by operation, for all types and widths of the cases."""
    widths = {heads.widths for heads in (*HEADS.values(), *WIDER.values())}
    return {
        tiles.Key(architecture, implementation, f"attention_{operation}", dtype, width): tile
        for operation, tile in cuts.items()
        for dtype in ("float32", "bfloat16")
        for width in widths
    }
