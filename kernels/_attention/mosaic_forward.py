# SPDX-License-Identifier: Apache-2.0
"""Attention's forward pass in Mosaic GPU (Shah et al., "FlashAttention-3", 2024, section 3).

A program owns a block of queries of one head, 64 for each warpgroup that computes, and goes through
the keys that any of them sees. The warpgroups take turns in starting products, so that one's
softmax falls into the time of the others' products; and a warpgroup starts the product of the next
block's scores before that of the last block's weights and values, so that its softmax overlaps the
latter too.

Letters as in `kernels.attention`; further R the queries of a warpgroup, C the keys of a block.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.experimental.pallas.mosaic_gpu as plgpu
import jax.numpy as jnp
from jax import Array, lax
from jax.experimental import pallas as pl

from kernels import tiles
from kernels._attention import operands as blocks
from kernels._attention import warpgroup
from kernels._attention.operands import Operands, Spans
from kernels._attention.warpgroup import LOG2_E, ROWS, Ref

# Finite, so that the difference of two masked scores is a number.
_MASKED = -1e30


class _Shared(NamedTuple):
    """Shared memory of a program, and the barriers of those who fill and read it."""

    queries: list[Ref]
    """Without and with rotation, by warpgroup; in the end, the outputs."""
    first: Ref
    logsumexps: Ref
    queries_ready: Ref
    keys: list[Ref]
    values: Ref
    keys_ready: Ref
    values_ready: Ref
    keys_free: Ref
    values_free: Ref
    turn: Ref
    """Whose it is to start products."""
    through: list[Ref]


class _Place(NamedTuple):
    """What a program owns, and what it goes through."""

    batch: Array
    head: Array
    start: Array
    visits: blocks.Visits


class _State(NamedTuple):
    """Of a warpgroup's softmax: exponentials are of differences to `largest_R`, to base 2."""

    weights_RC: Array
    """Of the last block of keys, which `out_RW` does not yet have."""
    out_RW: Array
    largest_R: Array
    total_R: Array
    shrink_R: Array
    """What `out_RW` has still to be multiplied with."""


def forward(
    operands: Operands, spans: Spans, scale: float, tile: tiles.Tile
) -> tuple[Array, Array]:
    """See `kernels._attention.fused.Backend`."""
    batch, num_heads, length, _ = operands.q_BNTH.shape
    shape = batch, num_heads, length
    dtype, width = operands.q_BNTH.dtype, operands.widths[2]
    out_type = [
        jax.ShapeDtypeStruct((*shape, width), dtype),
        jax.ShapeDtypeStruct(shape, jnp.float32),
    ]
    out_BNTW, logsumexp_BNT = warpgroup.launch(
        partial(_program, operands.group, scale * LOG2_E, tile),
        (operands, spans.first_BT),
        out_type,
        {"head": num_heads, "batch": batch, "block": length // tile.rows},
        tile.num_warps // 4,
        {"shared": _shared(operands, tile)},
    )
    return out_BNTW, logsumexp_BNT


def _shared(operands: Operands, tile: tiles.Tile) -> _Shared:
    head_dim, rope, width = operands.widths
    parts = [head_dim, rope] if rope else [head_dim]
    dtype = operands.q_BNTH.dtype
    threads, stages, columns = tile.num_warps // 4, tile.num_stages, tile.columns
    free = plgpu.Barrier(num_arrivals=threads, num_barriers=stages)
    return _Shared(
        queries=[warpgroup.matrix((threads, ROWS, part), dtype) for part in parts],
        first=plgpu.SMEM((threads, ROWS), jnp.int32),
        logsumexps=plgpu.SMEM((threads, ROWS), jnp.float32),
        queries_ready=plgpu.Barrier(num_arrivals=len(parts) + 1, num_barriers=threads),
        keys=[warpgroup.matrix((stages, columns, part), dtype) for part in parts],
        values=warpgroup.matrix((stages, columns, width), dtype),
        keys_ready=plgpu.Barrier(num_arrivals=len(parts), num_barriers=stages),
        values_ready=plgpu.Barrier(num_barriers=stages),
        keys_free=free,
        values_free=free,
        turn=plgpu.Barrier(num_barriers=threads),
        through=warpgroup.through((threads, ROWS, columns), dtype),
    )


def _program(group, factor, tile, inputs, outputs, *, shared):
    operands, first_BT = inputs
    batch, head = lax.axis_index("batch"), lax.axis_index("head")
    # The last queries see most keys: they go first.
    block = operands.q_BNTH.shape[2] // tile.rows - 1 - lax.axis_index("block")
    start = block * tile.rows
    end = start + tile.rows - 1
    first, first_of_last = first_BT[batch, start], first_BT[batch, end]
    visits = blocks.visits((first, end), (first_of_last, start), tile.columns)
    place = _Place(batch, head, start, visits)
    threads = tile.num_warps // 4
    thread = lax.axis_index(warpgroup.AXIS)

    @pl.when(thread == threads)
    def _():
        warpgroup.leave_registers()
        _copy(place, group, tile, inputs, shared)

    @pl.when(thread < threads)
    def _():
        warpgroup.take_registers(threads)
        _compute(place, factor, tile, outputs, shared)


def _copy(place, group, tile, inputs, shared):
    """What the copying warpgroup does."""
    operands, first_BT = inputs
    batch, head, start, visits = place
    pairs = operands.pairs()
    for i in range(tile.num_warps // 4):
        at = pl.ds(start + i * ROWS, ROWS)
        ready = shared.queries_ready.at[i]
        for (query, _), own in zip(pairs, shared.queries, strict=True):
            plgpu.copy_gmem_to_smem(query.at[batch, head, at], own.at[i], ready)
        plgpu.copy_gmem_to_smem(first_BT.at[batch, at], shared.first.at[i], ready)
    key_head = lax.div(head, jnp.int32(group))

    def keys_of(step):
        return pl.ds((visits.begin + step) * tile.columns, tile.columns)

    def copy_keys(step, slot):
        ready = shared.keys_ready.at[slot]
        keys = [operands.k_BKTH.at[batch, key_head, keys_of(step)]]
        if operands.k_rope_BTP is not None:
            keys.append(operands.k_rope_BTP.at[batch, keys_of(step)])
        for key, smem in zip(keys, shared.keys, strict=True):
            plgpu.copy_gmem_to_smem(key, smem.at[slot], ready)

    def copy_values(step, slot):
        values = operands.v_BKTW.at[batch, key_head, keys_of(step)]
        plgpu.copy_gmem_to_smem(values, shared.values.at[slot], shared.values_ready.at[slot])

    copies = [(shared.keys_free, copy_keys), (shared.values_free, copy_values)]
    warpgroup.stream(visits.end - visits.begin, tile.num_stages, copies)


def _compute(place, factor, tile, outputs, shared):
    """What the computing warpgroups do."""
    batch, head, start, visits = place
    threads = tile.num_warps // 4
    thread = lax.axis_index(warpgroup.AXIS)
    own = start + thread * ROWS
    scores_shape = ROWS, tile.columns
    scores_RC = warpgroup.accumulator(scores_shape)
    out_RW = warpgroup.accumulator((ROWS, shared.values.shape[-1]))

    def slot_of(block):
        return lax.rem(block - visits.begin, jnp.int32(tile.num_stages))

    def start_scores(scores_ref, slot):
        for query, key in zip(shared.queries, shared.keys, strict=True):
            plgpu.wgmma(scores_ref, query.at[thread], key.at[slot].transpose((1, 0)))

    def masked(scores_RC, block, from_first):
        begin = block * tile.columns
        last_RC = warpgroup.row_numbers(scores_shape) + (own - begin)
        visible_RC = warpgroup.up_to(last_RC)
        if from_first:
            first_RC = warpgroup.by_row(shared.first.at[thread], scores_shape) - begin
            visible_RC &= warpgroup.since(first_RC)
        return jnp.where(visible_RC, scores_RC, _MASKED)

    def first_step(scores_ref):
        start_scores(scores_ref, 0)
        scores_RC = plgpu.wgmma_accumulator_load(scores_ref)
        plgpu.barrier_arrive(shared.keys_free.at[0])
        scores_RC = masked(scores_RC, visits.begin, from_first=True)
        # More than what is masked, so that its weight is 0 where a row has seen nothing else yet.
        largest_R = _by_row(0.5 * _MASKED * factor)
        weights_RC, *rest = _softmax(scores_RC, largest_R, _by_row(0.0), factor)
        weights_RC = weights_RC.astype(shared.values.dtype)
        return lax.optimization_barrier(weights_RC), *rest

    def step(causal, from_first, block, state):
        return pl.run_scoped(partial(products, causal, from_first, block, state), scores_RC, out_RW)

    def products(causal, from_first, block, state, scores_ref, out_ref):
        slot, before = slot_of(block), slot_of(block - 1)
        out_RW = state.out_RW * _across(state.shrink_R, state.out_RW)
        plgpu.barrier_wait(shared.keys_ready.at[slot])
        plgpu.barrier_wait(shared.turn.at[thread])
        warpgroup.go_on(out_ref, out_RW, shared.through)
        start_scores(scores_ref, slot)
        plgpu.barrier_wait(shared.values_ready.at[before])
        warpgroup.multiply(out_ref, state.weights_RC, shared.values.at[before], shared.through)
        plgpu.barrier_arrive(shared.turn.at[lax.rem(thread + 1, jnp.int32(threads))])
        scores_RC = plgpu.wgmma_accumulator_load(scores_ref, wait_n=1)
        plgpu.barrier_arrive(shared.keys_free.at[slot])
        if causal:
            scores_RC = masked(scores_RC, block, from_first)
        weights_RC, largest_R, total_R, shrink_R = _softmax(
            scores_RC, state.largest_R, state.total_R, factor
        )
        out_RW = warpgroup.sum_of(out_ref, out_RW, shared.through)
        plgpu.barrier_arrive(shared.values_free.at[before])
        # Until here the product reads the registers of the weights before.
        weights_RC, out_RW = lax.optimization_barrier((weights_RC, out_RW))
        weights_RC = lax.optimization_barrier(weights_RC.astype(state.weights_RC.dtype))
        return _State(weights_RC, out_RW, largest_R, total_R, shrink_R)

    def last_product(state, out_ref):
        slot = slot_of(visits.end - 1)
        out_RW = state.out_RW * _across(state.shrink_R, state.out_RW)
        plgpu.barrier_wait(shared.values_ready.at[slot])
        warpgroup.go_on(out_ref, out_RW, shared.through)
        warpgroup.multiply(out_ref, state.weights_RC, shared.values.at[slot], shared.through)
        out_RW = warpgroup.sum_of(out_ref, out_RW, shared.through)
        plgpu.barrier_arrive(shared.values_free.at[slot])
        return out_RW

    @pl.when(thread == threads - 1)
    def _():
        plgpu.barrier_arrive(shared.turn.at[0])

    plgpu.barrier_wait(shared.queries_ready.at[thread])
    plgpu.barrier_wait(shared.keys_ready.at[0])
    weights_RC, *rest = pl.run_scoped(first_step, scores_RC)
    zeros_RW = plgpu.layout_cast(jnp.zeros(out_RW.shape, jnp.float32), plgpu.Layout.WGMMA)
    state = _State(weights_RC, zeros_RW, *rest)
    begin = visits.begin + 1
    for causal, from_first, first, end in (
        (True, True, begin, visits.whole),
        (False, False, jnp.maximum(begin, visits.whole), visits.broken),
        (True, False, jnp.maximum(begin, visits.broken), visits.end),
    ):
        state = lax.fori_loop(first, end, partial(step, causal, from_first), state)
    sum_RW = pl.run_scoped(partial(last_product, state), out_RW)

    @pl.when(thread == 0)
    def _():
        plgpu.barrier_wait(shared.turn.at[0])

    out, logsumexps = shared.queries[0].at[thread], shared.logsumexps.at[thread]
    out[...] = (sum_RW * _across(1 / state.total_R, sum_RW)).astype(out.dtype)
    logsumexps[...] = (state.largest_R + jnp.log2(state.total_R)) * math.log(2)
    plgpu.commit_smem()
    at = pl.ds(own, ROWS)
    plgpu.copy_smem_to_gmem(out, outputs[0].at[batch, head, at])
    plgpu.copy_smem_to_gmem(logsumexps, outputs[1].at[batch, head, at])
    plgpu.wait_smem_to_gmem(0)


def _softmax(
    scores_RC: Array, largest_R: Array, total_R: Array, factor: float
) -> tuple[Array, Array, Array, Array]:
    """Weights, largest score and sum with `scores_RC` taken in, and what shrinks sums before."""
    new_R = jnp.maximum(largest_R, jnp.max(scores_RC, axis=1) * factor)
    weights_RC = jnp.exp2(scores_RC * factor - _across(new_R, scores_RC))
    shrink_R = jnp.exp2(largest_R - new_R)
    total_R = total_R * shrink_R + jnp.sum(weights_RC, axis=1)
    return weights_RC, new_R, total_R, shrink_R


def _by_row(number: float) -> Array:
    """The number for every row of a warpgroup."""
    numbers_R = jnp.full((ROWS,), number, jnp.float32)
    return plgpu.layout_cast(numbers_R, plgpu.Layout.WGMMA.reduce(1))


def _across(x_R: Array, like: Array) -> Array:
    """A number of each row in all its columns, of which there are as many as `like` has."""
    return lax.broadcast_in_dim(x_R, like.shape, (0,))
