# SPDX-License-Identifier: Apache-2.0
"""Decoding in Triton, for Ampere and later.

The places of a row are split among programs, so that a few rows keep a whole GPU busy (Dao et al.,
"Flash-Decoding for long-context inference", 2023). A split is as long as the tile is deep, whatever
the batch and the cache are, so that the sums of a row are always taken in the same order. What the
splits give is put together by a second kernel.

Further letters: G the query heads of a key head; R those of them that a program takes, padded to
what a matrix product takes; C the places of a step; J the splits.
"""

import dataclasses
from functools import partial
from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
from jax import Array
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from kernels import target, tiles
from kernels._decode.operands import Operands

_MASKED = -1e30
"""Finite, so that the difference of two masked scores is a number."""

_LOG2_E = 1.4426950408889634

_FEWEST_ROWS = 16
"""What a matrix product takes at least."""

_SPLITS = 16
"""Splits that are put together in one step."""


class Parts(NamedTuple):
    """What the splits give, float32; of splits behind a row's text, anything."""

    out_BKJGW: Array
    """Sums of values by weight, the weights relative to the largest."""
    largest_BKJG: Array
    """The largest score, in units of ln 2."""
    total_BKJG: Array
    """The sum of the weights."""


def decode(operands: Operands, length_B: Array, scale: float, places: int) -> Array:
    """See `kernels.decode.decode`."""
    tile = tiles.find("pallas_triton", "decode", operands.q_BNH.dtype, operands.widths)
    return _decode(operands, length_B.astype(jnp.int32), scale, places, tile)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _decode(
    operands: Operands, length_B: Array, scale: float, places: int, tile: tiles.Tile
) -> Array:
    parts = _parts(operands, length_B, scale, places, tile)
    return _together(parts, length_B, places, tile.depth, operands.q_BNH)


def _no_gradients(*_: Any) -> NoReturn:
    raise ValueError("implementation='pallas_triton' of decode has no gradients: take 'xla'")


_decode.defvjp(_no_gradients, _no_gradients)


def _parts(
    operands: Operands, length_B: Array, scale: float, places: int, tile: tiles.Tile
) -> Parts:
    """What each split gives."""
    num_kv_heads, group, width = operands.k_BKSH.shape[1], operands.group, operands.widths[-1]
    rows = min(tile.rows, max(_FEWEST_ROWS, pl.next_power_of_2(group)))
    splits = pl.cdiv(places, tile.depth)
    shape = len(length_B), num_kv_heads, pl.cdiv(splits, _SPLITS) * _SPLITS, group
    inputs = _inputs(operands, length_B)
    by_head = _block(num_kv_heads, None, None, None, group)
    outputs = pl.pallas_call(
        partial(_split_kernel, rows=rows, places=places, scale=scale * _LOG2_E, tile=tile),
        name="decode_split",
        # The programs that read the same places come one after the other.
        grid=(pl.cdiv(group, rows), splits, len(length_B) * num_kv_heads),
        in_specs=[{name: spec for name, (_, spec) in inputs.items()}],
        out_specs=(_block(num_kv_heads, None, None, None, group, width), by_head, by_head),
        out_shape=(
            jax.ShapeDtypeStruct((*shape, width), jnp.float32),
            jax.ShapeDtypeStruct(shape, jnp.float32),
            jax.ShapeDtypeStruct(shape, jnp.float32),
        ),
        compiler_params=triton.CompilerParams(num_warps=tile.num_warps, num_stages=tile.num_stages),
        interpret=target.is_interpreted(),
    )({name: array for name, (array, _) in inputs.items()})
    return Parts(*outputs)


def _inputs(operands: Operands, length_B: Array) -> dict[str, tuple[Array, pl.BlockSpec]]:
    """What a program reads, and which part of it is its own."""
    q_BNH, k_BKSH, v_BKSW, q_rope_BNP, k_rope_BSP = operands
    leading, block = k_BKSH.shape[:2], partial(_block, k_BKSH.shape[1])

    def by_head(x_BN: Array) -> tuple[Array, pl.BlockSpec]:
        shape = operands.group, x_BN.shape[-1]
        return x_BN.reshape(*leading, *shape), block(None, None, *shape)

    inputs = {
        "length": (length_B, block(None)),
        "q": by_head(q_BNH),
        "k": (k_BKSH, block(None, None, *k_BKSH.shape[2:])),
    }
    if v_BKSW is not None:
        inputs["v"] = v_BKSW, block(None, None, *v_BKSW.shape[2:])
    if q_rope_BNP is not None and k_rope_BSP is not None:
        inputs["q_rope"] = by_head(q_rope_BNP)
        inputs["k_rope"] = k_rope_BSP, block(None, *k_rope_BSP.shape[1:])
    return inputs


def _block(num_kv_heads: int, *axes: int | None) -> pl.BlockSpec:
    """A program's part of an array; as many axes as are None are its row, key head and split."""
    leading = axes.count(None)

    def place(r: Any, j: Any, bk: Any) -> tuple[Any, ...]:
        own = bk // num_kv_heads, bk % num_kv_heads, j
        return *own[:leading], *[0] * (len(axes) - leading)

    return pl.BlockSpec(axes, place)


def _split_kernel(
    refs: dict[str, Any],
    out_ref: Any,
    largest_ref: Any,
    total_ref: Any,
    *,
    rows: int,
    places: int,
    scale: float,
    tile: tiles.Tile,
) -> None:
    """One split of one row, for some heads that share a key head.

    The places are the rows of both products, and the heads, of which there are few, the columns:
    so Hopper's matrix units, which take 64 rows at least, have little to compute in vain, and
    multiply keys and values as they came into shared memory.
    """
    first_head, start = pl.program_id(0) * rows, pl.program_id(1) * tile.depth
    end = jnp.minimum(start + tile.depth, jnp.minimum(refs["length"][...], places))

    @pl.when(start < end)
    def _():
        heads = pl.ds(first_head, rows)
        there_R = first_head + jnp.arange(rows) < out_ref.shape[0]
        q_RH = _loaded(refs["q"].at[heads], there_R)
        q_rope_RP = _loaded(refs["q_rope"].at[heads], there_R) if "q_rope" in refs else None

        def step(number: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            out_WR, largest_R, total_R = carry
            first = start + number * tile.columns
            here, seen_C = pl.ds(first, tile.columns), first + jnp.arange(tile.columns) < end
            k_CH = _loaded(refs["k"].at[here], seen_C)
            scores_CR = _product(k_CH, q_RH, 1, 1)
            if q_rope_RP is not None:
                scores_CR += _product(_loaded(refs["k_rope"].at[here], seen_C), q_rope_RP, 1, 1)
            scores_CR = jnp.where(seen_C[:, None], scale * scores_CR, _MASKED)
            new_R = jnp.maximum(largest_R, jnp.max(scores_CR, axis=0))
            weights_CR = jnp.exp2(scores_CR - new_R)
            kept_R = jnp.exp2(largest_R - new_R)
            v_CW = _loaded(refs["v"].at[here], seen_C) if "v" in refs else k_CH
            out_WR = out_WR * kept_R + _product(v_CW, weights_CR.astype(v_CW.dtype), 0, 0)
            return out_WR, new_R, total_R * kept_R + jnp.sum(weights_CR, axis=0)

        width = out_ref.shape[1]
        nothing = jnp.zeros((width, rows)), jnp.full(rows, _MASKED), jnp.zeros(rows)
        steps = pl.cdiv(end - start, tile.columns)
        out_WR, largest_R, total_R = jax.lax.fori_loop(0, steps, step, nothing)
        there_RW = jnp.broadcast_to(there_R[:, None], (rows, width))
        # The second kernel finds it in the cache of the GPU, however much is read meanwhile.
        triton.store(out_ref.at[heads], out_WR.T, mask=there_RW, eviction_policy="evict_last")
        triton.store(largest_ref.at[heads], largest_R, mask=there_R)
        triton.store(total_ref.at[heads], total_R, mask=there_R)


def _together(parts: Parts, length_B: Array, places: int, depth: int, q_BNH: Array) -> Array:
    """The result of all splits, [B, N, W], in the type of the queries."""
    batch, num_kv_heads, splits, group, width = parts.out_BKJGW.shape
    by_head = pl.BlockSpec((None, None, splits, None), lambda g, k, b: (b, k, 0, g))
    return pl.pallas_call(
        partial(_together_kernel, places=places, depth=depth),
        name="decode_together",
        grid=(group, num_kv_heads, batch),
        in_specs=[
            pl.BlockSpec((None,), lambda g, k, b: (b,)),
            pl.BlockSpec((None, None, splits, None, width), lambda g, k, b: (b, k, 0, g, 0)),
            by_head,
            by_head,
        ],
        out_specs=pl.BlockSpec((None, None, None, width), lambda g, k, b: (b, k, g, 0)),
        out_shape=jax.ShapeDtypeStruct((batch, num_kv_heads, group, width), q_BNH.dtype),
        compiler_params=triton.CompilerParams(num_warps=4, num_stages=1),
        interpret=target.is_interpreted(),
    )(length_B, *parts).reshape(*q_BNH.shape[:2], width)


def _together_kernel(
    length_ref: Any,
    out_parts_ref: Any,
    largest_ref: Any,
    total_ref: Any,
    out_ref: Any,
    *,
    places: int,
    depth: int,
) -> None:
    """All splits of one head of one row."""
    count = pl.cdiv(jnp.minimum(length_ref[...], places), depth)

    def step(number: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        out_W, largest, total = carry
        first = number * _SPLITS
        here, there_J = pl.ds(first, _SPLITS), first + jnp.arange(_SPLITS) < count
        largest_J = triton.load(largest_ref.at[here], mask=there_J, other=_MASKED)
        total_J = triton.load(total_ref.at[here], mask=there_J, other=0.0)
        out_JW = _loaded(out_parts_ref.at[here], there_J, "evict_first")
        new = jnp.maximum(largest, jnp.max(largest_J))
        weights_J, kept = jnp.exp2(largest_J - new), jnp.exp2(largest - new)
        out_W = out_W * kept + jnp.sum(out_JW * weights_J[:, None], axis=0)
        return out_W, new, total * kept + jnp.sum(total_J * weights_J)

    nothing = jnp.zeros(out_ref.shape), jnp.float32(_MASKED), jnp.float32(0)
    out_W, _, total = jax.lax.fori_loop(0, pl.cdiv(count, _SPLITS), step, nothing)
    out_ref[...] = (out_W / total).astype(out_ref.dtype)


def _loaded(ref: Any, there: Array, eviction_policy: str | None = None) -> Array:
    """Rows of a matrix, zeros in place of those that are not there."""
    mask = jnp.broadcast_to(there[:, None], ref.shape)
    return triton.load(ref, mask=mask, other=0.0, eviction_policy=eviction_policy)


def _product(left: Array, right: Array, left_axis: int, right_axis: int) -> Array:
    """Sums over an axis of each, in float32."""
    return jax.lax.dot_general(
        left,
        right,
        (((left_axis,), (right_axis,)), ((), ())),
        precision="highest" if left.dtype == jnp.float32 else None,
        preferred_element_type=jnp.float32,
    )


def candidates(key: tiles.Key) -> tuple[tiles.Tile, ...]:
    """Tiles that a sweep tries for `key`: those that keep enough bytes on their way to a core."""
    width, rope, value_width = key.widths
    numbers = width + rope + (0 if rope else value_width)
    step_bytes = numbers * jnp.dtype(key.dtype).itemsize
    rows = 32 if key.dtype == "bfloat16" else _FEWEST_ROWS
    cuts = [
        tiles.Tile(rows, columns, 512, num_warps, num_stages)
        for columns in (128, 64, 32, 16)
        for num_stages in (2, 3, 4)
        for num_warps in (4, 8)
        if 64 * 2**10 <= columns * num_stages * step_bytes <= 200 * 2**10
    ]
    return *cuts, *(dataclasses.replace(cuts[0], depth=depth) for depth in (256, 1024))
