# SPDX-License-Identifier: Apache-2.0
"""Gradients of keys and values in Mosaic GPU.

A program owns a block of keys of one key head, 64 for each warpgroup that computes, and goes
through the queries that see any of them, head by head of those that read its key head. Scores are
computed transposed, keys as rows: weights and gradients of scores are then the left operands of the
products that add to the results, and never leave the registers.

Letters as in `kernels.attention`; S: the keys of a warpgroup, T: the queries of a block.
"""

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
from kernels._attention.fused import Towards
from kernels._attention.operands import Operands, Spans
from kernels._attention.warpgroup import LOG2_E, ROWS, Ref


def backward_kv(
    operands: Operands, spans: Spans, towards: Towards, scale: float, tile: tiles.Tile
) -> tuple[Array, Array, Array | None]:
    """See `kernels._attention.fused.Backend`."""
    batch, num_key_heads, length, _ = operands.k_BKTH.shape
    rope = operands.widths[1]
    shapes = [operands.k_BKTH, operands.v_BKTW]
    out_type = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in shapes]
    if rope:
        shape = batch, num_key_heads, length, rope
        out_type.append(jax.ShapeDtypeStruct(shape, jnp.float32))
    towards = towards._replace(logsumexp_BNT=towards.logsumexp_BNT * LOG2_E)
    outputs = warpgroup.launch(
        partial(_program, scale, operands.group, tile),
        (operands, spans, towards),
        out_type,
        {"batch": batch, "key_head": num_key_heads, "block": length // tile.rows},
        tile.num_warps // 4,
        _scratch(operands, tile),
    )
    d_k, d_v, *d_rope = outputs
    return d_k, d_v, d_rope[0] if rope else None


def _scratch(operands: Operands, tile: tiles.Tile) -> dict[str, Ref]:
    """Shared memory: what a program owns, and what it goes through in turn."""
    dtype = operands.q_BNTH.dtype
    head_dim, rope, width = operands.widths
    parts = [head_dim, rope] if rope else [head_dim]
    num_computing, stages, columns = tile.num_warps // 4, tile.num_stages, tile.columns
    return {
        "keys": [warpgroup.matrix((num_computing, ROWS, part), dtype) for part in parts],
        "values": warpgroup.matrix((num_computing, ROWS, width), dtype),
        "own_ready": plgpu.Barrier(num_arrivals=len(parts) + 1, num_barriers=num_computing),
        "queries": [warpgroup.matrix((stages, columns, part), dtype) for part in parts],
        "logsumexps": plgpu.SMEM((stages, columns), jnp.float32),
        "d_outs": warpgroup.matrix((stages, columns, width), dtype),
        "means": plgpu.SMEM((stages, columns), jnp.float32),
        "ready": plgpu.Barrier(num_arrivals=len(parts) + 3, num_barriers=stages),
        "free": plgpu.Barrier(num_arrivals=num_computing, num_barriers=stages),
        "through": warpgroup.through(num_computing, columns, dtype),
    }


class _Place(NamedTuple):
    """What a program owns, and what it goes through."""

    batch: Array
    key_head: Array
    start: Array
    visits: blocks.Visits


def _program(scale, group, tile, inputs, outputs, **scratch):
    operands, spans, _ = inputs
    batch, key_head = lax.axis_index("batch"), lax.axis_index("key_head")
    start = lax.axis_index("block") * tile.rows
    end = start + tile.rows - 1
    last = spans.last_BT
    visits = blocks.visits((start, last[batch, end]), (end, last[batch, start]), tile.columns)
    place = _Place(batch, key_head, start, visits)
    num_computing = tile.num_warps // 4
    thread = lax.axis_index(warpgroup.AXIS)

    @pl.when(thread == num_computing)
    def _():
        warpgroup.leave_registers()
        _copy(place, group, tile, inputs, **scratch)

    @pl.when(thread < num_computing)
    def _():
        warpgroup.take_registers(num_computing)
        _compute(place, scale, group, tile, inputs, outputs, **scratch)


def _copy(
    place,
    group,
    tile,
    inputs,
    *,
    keys,
    values,
    own_ready,
    queries,
    logsumexps,
    d_outs,
    means,
    ready,
    free,
    through,
):
    operands, _, towards = inputs
    batch, key_head, start, visits = place
    count = visits.end - visits.begin
    for i in range(tile.num_warps // 4):
        at = pl.ds(start + i * ROWS, ROWS)
        plgpu.copy_gmem_to_smem(
            operands.k_BKTH.at[batch, key_head, at], keys[0].at[i], own_ready.at[i]
        )
        if operands.k_rope_BTP is not None:
            plgpu.copy_gmem_to_smem(
                operands.k_rope_BTP.at[batch, at], keys[1].at[i], own_ready.at[i]
            )
        plgpu.copy_gmem_to_smem(
            operands.v_BKTW.at[batch, key_head, at], values.at[i], own_ready.at[i]
        )

    def copy(step, slot):
        head = key_head * group + lax.div(step, count)
        at = pl.ds((visits.begin + lax.rem(step, count)) * tile.columns, tile.columns)
        arrays = [query for query, _ in operands.pairs()]
        arrays += [towards.logsumexp_BNT, towards.d_out_BNTW, towards.mean_BNT]
        for array, smem in zip(arrays, [*queries, logsumexps, d_outs, means], strict=True):
            plgpu.copy_gmem_to_smem(array.at[batch, head, at], smem.at[slot], ready.at[slot])

    warpgroup.stream(group * count, tile.num_stages, [(free, copy)])


def _compute(
    place,
    scale,
    group,
    tile,
    inputs,
    outputs,
    *,
    keys,
    values,
    own_ready,
    queries,
    logsumexps,
    d_outs,
    means,
    ready,
    free,
    through,
):
    operands, spans, _ = inputs
    batch, key_head, start, visits = place
    columns, stages = tile.columns, tile.num_stages
    count = visits.end - visits.begin
    thread = lax.axis_index(warpgroup.AXIS)
    own = start + thread * ROWS
    at = pl.ds(own, ROWS)
    sums_ST = warpgroup.accumulator(columns)
    dtype = values.dtype
    parts = len(keys)

    def step(masked, d_keys, d_values, passed, i, _):
        index = passed + i
        slot = lax.rem(index, stages)
        plgpu.barrier_wait(ready.at[slot])

        def scores(scores_ref):
            for key, query in zip(keys, queries, strict=True):
                plgpu.wgmma(scores_ref, key.at[thread], query.at[slot].transpose((1, 0)))
            plgpu.wgmma_wait(parts)

            @pl.when(index > 0)
            def _():
                plgpu.barrier_arrive(free.at[lax.rem(index + stages - 1, stages)])

            return pl.run_scoped(partial(gradients, scores_ref), sums_ST)

        def gradients(scores_ref, d_weights_ref):
            plgpu.wgmma(d_weights_ref, values.at[thread], d_outs.at[slot].transpose((1, 0)))
            scores_ST = plgpu.wgmma_accumulator_load(scores_ref, wait_n=1)
            logsumexp_ST = warpgroup.by_column(logsumexps.at[slot])
            weights_ST = jnp.exp2(scores_ST * (scale * LOG2_E) - logsumexp_ST)
            if masked:
                begin = (visits.begin + i) * columns
                first_ST = warpgroup.row_numbers(columns) + (own - begin)
                last_ST = warpgroup.by_row(spans.last_BT.at[batch, at], columns) - begin
                weights_ST = jnp.where(warpgroup.within(first_ST, last_ST), weights_ST, 0.0)
            warpgroup.multiply(d_values, weights_ST.astype(dtype), d_outs.at[slot], through)
            d_weights_ST = plgpu.wgmma_accumulator_load(d_weights_ref, wait_n=1)
            mean_ST = warpgroup.by_column(means.at[slot])
            return (weights_ST * (d_weights_ST - mean_ST)).astype(dtype)

        d_scores_ST = pl.run_scoped(scores, sums_ST)
        for d_key, query in zip(d_keys, queries, strict=True):
            warpgroup.multiply(d_key, d_scores_ST, query.at[slot], through)

    def sums(d_values, *d_keys):
        @pl.loop(0, group)
        def _(head):
            for masked, begin, end in (
                (True, 0, visits.whole - visits.begin),
                (False, visits.whole - visits.begin, visits.broken - visits.begin),
                (True, visits.broken - visits.begin, count),
            ):
                body = partial(step, masked, d_keys, d_values, head * count)
                lax.fori_loop(begin, end, body, None)

        plgpu.wgmma_wait(0)
        plgpu.barrier_arrive(free.at[lax.rem(group * count - 1, stages)])
        values[thread] = plgpu.wgmma_accumulator_load(d_values).astype(dtype)
        keys[0][thread] = (plgpu.wgmma_accumulator_load(d_keys[0]) * scale).astype(dtype)
        if parts == 2:
            d_rope_SP = plgpu.wgmma_accumulator_load(d_keys[1]) * scale
            outputs[2][batch, key_head, at] = d_rope_SP

    plgpu.barrier_wait(own_ready.at[thread])
    widths = values.shape[-1], *(key.shape[-1] for key in keys)
    pl.run_scoped(sums, *(warpgroup.accumulator(width) for width in widths))
    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(keys[0].at[thread], outputs[0].at[batch, key_head, at])
    plgpu.copy_smem_to_gmem(values.at[thread], outputs[1].at[batch, key_head, at])
    plgpu.wait_smem_to_gmem(0)
