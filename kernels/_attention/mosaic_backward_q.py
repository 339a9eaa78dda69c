# SPDX-License-Identifier: Apache-2.0
"""Gradients of queries in Mosaic GPU.

A program owns a block of queries of one head, 64 for each warpgroup that computes, and goes through
the keys that any of them sees. Gradients of scores are the left operand of the product that adds to
the result, and never leave the registers.

Letters as in `kernels.attention`; T: the queries of a warpgroup, S: the keys of a block.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.experimental.pallas.mosaic_gpu as plgpu
import jax.numpy as jnp
from jax import Array, lax
from jax.experimental import pallas as pl

from kernels import tiles, warpgroup
from kernels._attention import mosaic_keys
from kernels._attention.fused import Towards
from kernels._attention.operands import Operands, Spans, Visits, visits
from kernels.warpgroup import LOG2_E, Ref


def backward_q(
    operands: Operands, spans: Spans, towards: Towards, scale: float, tile: tiles.Tile
) -> tuple[Array, Array | None]:
    """See `kernels._attention.fused.Backend`."""
    batch, num_heads, length, _ = operands.q_BNTH.shape
    towards = towards._replace(logsumexp_BNT=towards.logsumexp_BNT * LOG2_E)

    def kernel(inputs: Any, outputs: Sequence[Ref], scratch: _Scratch) -> None:
        program = _Program(scale, operands.group, tile, inputs, outputs, scratch)
        warpgroup.split(tile.num_warps // 4, program.copy, program.compute)

    d_q, *d_rope = warpgroup.launch(
        kernel,
        (operands, spans, towards),
        [jax.ShapeDtypeStruct(query.shape, query.dtype) for query, _ in operands.pairs()],
        {"batch": batch, "head": num_heads, "block": length // tile.rows},
        tile.num_warps // 4,
        {"scratch": _scratch(operands, tile)},
        "attention_backward_q",
    )
    return d_q, d_rope[0] if d_rope else None


class _Scratch(NamedTuple):
    """Shared memory: what a program owns, one for each warpgroup; and what it goes through."""

    queries: list[Ref]
    """With, where there is one, the rotated query; at last what has been summed."""
    d_outs: Ref
    own_ready: Ref
    passing: mosaic_keys.Passing
    through: list[Ref]


def _scratch(operands: Operands, tile: tiles.Tile) -> _Scratch:
    dtype = operands.q_BNTH.dtype
    num_computing = tile.num_warps // 4
    own = num_computing, tile.rows // num_computing
    parts = [query.shape[-1] for query, _ in operands.pairs()]
    return _Scratch(
        queries=[warpgroup.matrix((*own, part), dtype) for part in parts],
        d_outs=warpgroup.matrix((*own, operands.widths[2]), dtype),
        own_ready=plgpu.Barrier(num_arrivals=len(parts) + 1, num_barriers=num_computing),
        passing=mosaic_keys.passing(operands, tile),
        through=warpgroup.through((*own, tile.columns), dtype),
    )


@dataclasses.dataclass(frozen=True)
class _Program:
    """What all warpgroups of a program know."""

    scale: float
    group: int
    tile: tiles.Tile
    inputs: tuple[Operands, Spans, Towards]
    outputs: Sequence[Ref]
    scratch: _Scratch

    @property
    def rows(self) -> int:
        """Queries of a warpgroup."""
        return self.tile.rows // (self.tile.num_warps // 4)

    @property
    def head(self) -> tuple[Array, Array]:
        return lax.axis_index("batch"), lax.axis_index("head")

    @property
    def start(self) -> Array:
        """The last queries see the most keys: what takes longest comes first."""
        num_blocks = self.inputs[0].q_BNTH.shape[2] // self.tile.rows
        return (num_blocks - 1 - lax.axis_index("block")) * self.tile.rows

    def own(self, thread: Array | int) -> Any:
        """The queries of a warpgroup."""
        return pl.ds(self.start + thread * self.rows, self.rows)

    def visits(self) -> Visits:
        batch, _ = self.head
        first_BT = self.inputs[1].first_BT
        start, end = self.start, self.start + self.tile.rows - 1
        return visits(
            (first_BT[batch, start], end), (first_BT[batch, end], start), self.tile.columns
        )

    def copy(self) -> None:
        """What the copying warpgroup does."""
        operands, _, towards = self.inputs
        scratch = self.scratch
        batch, head = self.head
        owned = [query for query, _ in operands.pairs()] + [towards.d_out_BNTW]
        for i in range(self.tile.num_warps // 4):
            for array, smem in zip(owned, [*scratch.queries, scratch.d_outs], strict=True):
                own: Ref = array.at[batch, head, self.own(i)]
                plgpu.copy_gmem_to_smem(own, smem.at[i], scratch.own_ready.at[i])
        place = batch, lax.div(head, self.group)
        mosaic_keys.stream(operands, scratch.passing, place, self.visits(), self.tile)

    def compute(self) -> None:
        """What the other warpgroups do."""
        scratch = self.scratch
        batch, head = self.head
        thread = lax.axis_index(warpgroup.AXIS)
        _, _, towards = self.inputs
        shape = self.rows, self.tile.columns
        own = batch, head, self.own(thread)
        logsumexp_TS = warpgroup.by_row(towards.logsumexp_BNT.at[own], shape)
        mean_TS = warpgroup.by_row(towards.mean_BNT.at[own], shape)
        plgpu.barrier_wait(scratch.own_ready.at[thread])
        pl.run_scoped(
            partial(self.sum, logsumexp_TS, mean_TS),
            *(warpgroup.accumulator((self.rows, x.shape[-1])) for x in scratch.queries),
        )

    def sum(self, logsumexp_TS: Array, mean_TS: Array, *sums: Ref) -> None:
        """Goes through the keys, then writes what has been summed."""
        scratch = self.scratch
        thread = lax.axis_index(warpgroup.AXIS)
        begin, whole, broken, end = self.visits()
        for masked, first, last in (
            (True, begin, whole),
            (False, whole, broken),
            (True, broken, end),
        ):
            step = partial(self.step, sums, masked, logsumexp_TS, mean_TS)
            lax.fori_loop(first - begin, last - begin, step, None)
        plgpu.wgmma_wait(0)
        last = lax.rem(end - begin - 1, self.tile.num_stages)
        plgpu.barrier_arrive(scratch.passing.keys_free.at[last])
        for sum_ref, smem, output in zip(sums, scratch.queries, self.outputs, strict=True):
            result = plgpu.wgmma_accumulator_load(sum_ref) * self.scale
            smem[thread] = result.astype(smem.dtype)
            plgpu.commit_smem()
            plgpu.copy_smem_to_gmem(smem.at[thread], output.at[*self.head, self.own(thread)])
        plgpu.wait_smem_to_gmem(0)

    def step(
        self,
        sums: Sequence[Ref],
        masked: bool,
        logsumexp_TS: Array,
        mean_TS: Array,
        i: Array,
        _: None,
    ) -> None:
        """Adds what a block of keys contributes.

        Products stay in flight until their results are needed, those of the sums until the next
        step's are.
        """
        scratch, stages = self.scratch, self.tile.num_stages
        thread = lax.axis_index(warpgroup.AXIS)
        slot = lax.rem(i, stages)
        shape = self.rows, self.tile.columns

        def scores(scores_ref: Ref) -> None:
            for query, key in zip(scratch.queries, scratch.passing.keys, strict=True):
                plgpu.wgmma(scores_ref, query.at[thread], key.at[slot].transpose((1, 0)))
            plgpu.wgmma_wait(len(sums))

            @pl.when(i > 0)
            def _() -> None:
                plgpu.barrier_arrive(scratch.passing.keys_free.at[lax.rem(i + stages - 1, stages)])

            plgpu.barrier_wait(scratch.passing.values_ready.at[slot])
            pl.run_scoped(partial(gradients, scores_ref), warpgroup.accumulator(shape))

        def gradients(scores_ref: Ref, d_weights_ref: Ref) -> None:
            value = scratch.passing.values.at[slot].transpose((1, 0))
            plgpu.wgmma(d_weights_ref, scratch.d_outs.at[thread], value)
            scores_TS = plgpu.wgmma_accumulator_load(scores_ref, wait_n=1)
            weights_TS = jnp.exp2(scores_TS * (self.scale * LOG2_E) - logsumexp_TS)
            if masked:
                weights_TS = jnp.where(self.visible(i), weights_TS, 0.0)
            d_weights_TS = plgpu.wgmma_accumulator_load(d_weights_ref, wait_n=0)
            plgpu.barrier_arrive(scratch.passing.values_free.at[slot])
            d_scores_TS = (weights_TS * (d_weights_TS - mean_TS)).astype(scratch.d_outs.dtype)
            for sum_ref, key in zip(sums, scratch.passing.keys, strict=True):
                warpgroup.multiply(sum_ref, d_scores_TS, key.at[slot], scratch.through)

        plgpu.barrier_wait(scratch.passing.keys_ready.at[slot])
        pl.run_scoped(scores, warpgroup.accumulator(shape))

    def visible(self, i: Array) -> Array:
        """Which keys of the i-th block each query of a warpgroup sees."""
        thread = lax.axis_index(warpgroup.AXIS)
        shape = self.rows, self.tile.columns
        begin = (self.visits().begin + i) * self.tile.columns
        batch, _ = self.head
        first_BT = self.inputs[1].first_BT
        first_TS = warpgroup.by_row(first_BT.at[batch, self.own(thread)], shape) - begin
        last_TS = warpgroup.row_numbers(shape) + (self.start + thread * self.rows - begin)
        return warpgroup.within(first_TS, last_TS)
