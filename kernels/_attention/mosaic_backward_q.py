# SPDX-License-Identifier: Apache-2.0
"""Gradients of queries in Mosaic GPU.

A program owns a block of queries of one head, 64 for each warpgroup that computes, and goes through
the keys that any of them sees. Gradients of scores are the left operand of the product that adds to
the result, and never leave the registers.

Letters as in `kernels.attention`; T: the queries of a warpgroup, S: the keys of a block.
"""

from functools import partial
from typing import Any, NamedTuple

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
from kernels._attention.warpgroup import LOG2_E, ROWS


def backward_q(
    operands: Operands, spans: Spans, towards: Towards, scale: float, tile: tiles.Tile
) -> tuple[Array, Array | None]:
    """See `kernels._attention.fused.Backend`."""
    batch, num_heads, length, _ = operands.q_BNTH.shape
    results = [query for query, _ in operands.pairs()]
    towards = towards._replace(logsumexp_BNT=towards.logsumexp_BNT * LOG2_E)
    outputs = warpgroup.launch(
        partial(_program, scale, operands.group, tile),
        (operands, spans, towards),
        [jax.ShapeDtypeStruct(query.shape, query.dtype) for query in results],
        {"batch": batch, "head": num_heads, "block": length // tile.rows},
        tile.num_warps // 4,
        _scratch(operands, tile),
    )
    d_q, *d_rope = outputs
    return d_q, d_rope[0] if d_rope else None


def _scratch(operands: Operands, tile: tiles.Tile) -> dict[str, Any]:
    """Shared memory: what a program owns, and what it goes through."""
    dtype = operands.q_BNTH.dtype
    head_dim, rope, width = operands.widths
    parts = [head_dim, rope] if rope else [head_dim]
    num_computing, stages, columns = tile.num_warps // 4, tile.num_stages, tile.columns
    free = plgpu.Barrier(num_arrivals=num_computing, num_barriers=stages)
    return {
        "queries": [warpgroup.matrix((num_computing, ROWS, part), dtype) for part in parts],
        "d_outs": warpgroup.matrix((num_computing, ROWS, width), dtype),
        "own_ready": plgpu.Barrier(num_arrivals=len(parts) + 1, num_barriers=num_computing),
        "keys": [warpgroup.matrix((stages, columns, part), dtype) for part in parts],
        "keys_ready": plgpu.Barrier(num_arrivals=len(parts), num_barriers=stages),
        "keys_free": free,
        "values": warpgroup.matrix((stages, columns, width), dtype),
        "values_ready": plgpu.Barrier(num_barriers=stages),
        "values_free": free,
        "through": warpgroup.through((num_computing, ROWS, columns), dtype),
    }


class _Place(NamedTuple):
    """What a program owns, and what it goes through."""

    batch: Array
    head: Array
    start: Array
    visits: blocks.Visits


def _program(scale, group, tile, inputs, outputs, **scratch):
    operands, spans, _ = inputs
    batch, head = lax.axis_index("batch"), lax.axis_index("head")
    # The last blocks see the most keys: first come those that take longest.
    block = operands.q_BNTH.shape[2] // tile.rows - 1 - lax.axis_index("block")
    start = block * tile.rows
    end = start + tile.rows - 1
    first = spans.first_BT
    visits = blocks.visits((first[batch, start], end), (first[batch, end], start), tile.columns)
    place = _Place(batch, head, start, visits)
    num_computing = tile.num_warps // 4
    thread = lax.axis_index(warpgroup.AXIS)

    @pl.when(thread == num_computing)
    def _():
        warpgroup.leave_registers()
        _copy(place, group, tile, inputs, **scratch)

    @pl.when(thread < num_computing)
    def _():
        warpgroup.take_registers(num_computing)
        _compute(place, scale, tile, inputs, outputs, **scratch)


def _copy(
    place,
    group,
    tile,
    inputs,
    *,
    queries,
    d_outs,
    own_ready,
    keys,
    keys_ready,
    keys_free,
    values,
    values_ready,
    values_free,
    through,
):
    operands, _, towards = inputs
    batch, head, start, visits = place
    for i in range(tile.num_warps // 4):
        at = pl.ds(start + i * ROWS, ROWS)
        for (query, _), smem in zip(operands.pairs(), queries, strict=True):
            plgpu.copy_gmem_to_smem(query.at[batch, head, at], smem.at[i], own_ready.at[i])
        plgpu.copy_gmem_to_smem(
            towards.d_out_BNTW.at[batch, head, at], d_outs.at[i], own_ready.at[i]
        )
    key_head = lax.div(head, group)

    def copy_keys(step, slot):
        at = pl.ds((visits.begin + step) * tile.columns, tile.columns)
        ready = keys_ready.at[slot]
        plgpu.copy_gmem_to_smem(operands.k_BKTH.at[batch, key_head, at], keys[0].at[slot], ready)
        if operands.k_rope_BTP is not None:
            plgpu.copy_gmem_to_smem(operands.k_rope_BTP.at[batch, at], keys[1].at[slot], ready)

    def copy_values(step, slot):
        at = pl.ds((visits.begin + step) * tile.columns, tile.columns)
        plgpu.copy_gmem_to_smem(
            operands.v_BKTW.at[batch, key_head, at], values.at[slot], values_ready.at[slot]
        )

    warpgroup.stream(
        visits.end - visits.begin,
        tile.num_stages,
        [(keys_free, copy_keys), (values_free, copy_values)],
    )


def _compute(
    place,
    scale,
    tile,
    inputs,
    outputs,
    *,
    queries,
    d_outs,
    own_ready,
    keys,
    keys_ready,
    keys_free,
    values,
    values_ready,
    values_free,
    through,
):
    _, spans, towards = inputs
    batch, head, start, visits = place
    columns, stages = tile.columns, tile.num_stages
    shape = ROWS, columns
    count = visits.end - visits.begin
    thread = lax.axis_index(warpgroup.AXIS)
    own = start + thread * ROWS
    at = pl.ds(own, ROWS)
    sums_TS = warpgroup.accumulator(shape)
    dtype = d_outs.dtype
    logsumexp_TS = warpgroup.by_row(towards.logsumexp_BNT.at[batch, head, at], shape)
    mean_TS = warpgroup.by_row(towards.mean_BNT.at[batch, head, at], shape)

    def step(masked, d_queries, i, _):
        slot = lax.rem(i, stages)
        plgpu.barrier_wait(keys_ready.at[slot])

        def scores(scores_ref):
            for query, key in zip(queries, keys, strict=True):
                plgpu.wgmma(scores_ref, query.at[thread], key.at[slot].transpose((1, 0)))
            plgpu.wgmma_wait(len(queries))

            @pl.when(i > 0)
            def _():
                plgpu.barrier_arrive(keys_free.at[lax.rem(i + stages - 1, stages)])

            plgpu.barrier_wait(values_ready.at[slot])
            return pl.run_scoped(partial(gradients, scores_ref), sums_TS)

        def gradients(scores_ref, d_weights_ref):
            plgpu.wgmma(d_weights_ref, d_outs.at[thread], values.at[slot].transpose((1, 0)))
            scores_TS = plgpu.wgmma_accumulator_load(scores_ref, wait_n=1)
            weights_TS = jnp.exp2(scores_TS * (scale * LOG2_E) - logsumexp_TS)
            if masked:
                begin = (visits.begin + i) * columns
                first_TS = warpgroup.by_row(spans.first_BT.at[batch, at], shape) - begin
                last_TS = warpgroup.row_numbers(shape) + (own - begin)
                weights_TS = jnp.where(warpgroup.within(first_TS, last_TS), weights_TS, 0.0)
            d_weights_TS = plgpu.wgmma_accumulator_load(d_weights_ref, wait_n=0)
            plgpu.barrier_arrive(values_free.at[slot])
            return (weights_TS * (d_weights_TS - mean_TS)).astype(dtype)

        d_scores_TS = pl.run_scoped(scores, sums_TS)
        for d_query, key in zip(d_queries, keys, strict=True):
            warpgroup.multiply(d_query, d_scores_TS, key.at[slot], through)

    def sums(*d_queries):
        for masked, begin, end in (
            (True, 0, visits.whole - visits.begin),
            (False, visits.whole - visits.begin, visits.broken - visits.begin),
            (True, visits.broken - visits.begin, count),
        ):
            lax.fori_loop(begin, end, partial(step, masked, d_queries), None)
        plgpu.wgmma_wait(0)
        plgpu.barrier_arrive(keys_free.at[lax.rem(count - 1, stages)])
        for d_query, query in zip(d_queries, queries, strict=True):
            query[thread] = (plgpu.wgmma_accumulator_load(d_query) * scale).astype(dtype)

    plgpu.barrier_wait(own_ready.at[thread])
    pl.run_scoped(sums, *(warpgroup.accumulator((ROWS, query.shape[-1])) for query in queries))
    plgpu.commit_smem()
    for query, output in zip(queries, outputs, strict=True):
        plgpu.copy_smem_to_gmem(query.at[thread], output.at[batch, head, at])
    plgpu.wait_smem_to_gmem(0)
