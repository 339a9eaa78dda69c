# SPDX-License-Identifier: Apache-2.0
"""Attention's forward pass in Mosaic GPU (Shah et al., "FlashAttention-3", 2024, section 3).

A program owns a block of queries of one head, a part of it for each warpgroup that computes, and
goes through the keys that any of them sees. The warpgroups take turns in starting products, so that
one's softmax falls into the time of the others' products; and a warpgroup starts the product for
the next block's scores before that of the last block's weights and values, so that its own softmax
runs beside the latter.

Letters as in `kernels.attention`; further R the queries of a warpgroup, C the keys of a block.
"""

import dataclasses
import math
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
from kernels._attention.operands import Operands, Spans, Visits, visits
from kernels.warpgroup import LOG2_E, Ref

# Finite, so that the difference of two masked scores is a number.
_MASKED = -1e30


def forward(
    operands: Operands, spans: Spans, scale: float, tile: tiles.Tile
) -> tuple[Array, Array]:
    """See `kernels._attention.fused.Backend`."""
    batch, num_heads, length, _ = operands.q_BNTH.shape
    dtype, width = operands.q_BNTH.dtype, operands.widths[2]

    def kernel(inputs: tuple[Operands, Ref], outputs: Sequence[Ref], scratch: _Scratch) -> None:
        # The last queries see the most keys: what takes longest comes first.
        start = length - (lax.axis_index("block") + 1) * tile.rows
        end = start + tile.rows - 1
        first_T: Ref = inputs[1].at[lax.axis_index("batch")]
        first, first_of_end = first_T[start], first_T[end]
        visited = visits((first, end), (first_of_end, start), tile.columns)
        shared = scale * LOG2_E, operands.group, tile, inputs, outputs, scratch
        program = _Program(*shared, start, visited)
        warpgroup.split(tile.num_warps // 4, program.copy, program.compute)

    out_BNTW, logsumexp_BNT = warpgroup.launch(
        kernel,
        (operands, spans.first_BT),
        [
            jax.ShapeDtypeStruct((batch, num_heads, length, width), dtype),
            jax.ShapeDtypeStruct((batch, num_heads, length), jnp.float32),
        ],
        {"batch": batch, "head": num_heads, "block": length // tile.rows},
        tile.num_warps // 4,
        {"scratch": _scratch(operands, tile)},
        "attention_forward",
    )
    return out_BNTW, logsumexp_BNT


class _Scratch(NamedTuple):
    """Shared memory: what a program owns, one for each warpgroup; and what it goes through."""

    queries: list[Ref]
    """With, where there is one, the rotated query; the first becomes the output."""
    queries_ready: Ref
    turn: Ref
    """To start products."""
    passing: mosaic_keys.Passing
    through: list[Ref]


def _scratch(operands: Operands, tile: tiles.Tile) -> _Scratch:
    dtype = operands.q_BNTH.dtype
    num_computing = tile.num_warps // 4
    own = num_computing, tile.rows // num_computing
    parts = [query.shape[-1] for query, _ in operands.pairs()]
    return _Scratch(
        queries=[warpgroup.matrix((*own, part), dtype) for part in parts],
        queries_ready=plgpu.Barrier(num_arrivals=len(parts), num_barriers=num_computing),
        turn=plgpu.Barrier(num_barriers=num_computing),
        passing=mosaic_keys.passing(operands, tile),
        through=warpgroup.through((*own, tile.columns), dtype),
    )


class _State(NamedTuple):
    """A warpgroup's softmax; weights are exponentials of differences to the largest, to base 2."""

    weights_RC: Array
    """Of the last block, whose values the output does not have yet."""
    out_RW: Array
    largest_R: Array
    total_R: Array
    shrink_R: Array
    """What the output has still to be multiplied with."""


@dataclasses.dataclass(frozen=True)
class _Program:
    """What all warpgroups of a program know."""

    factor: float
    """Of the scores, which makes them logarithms to base 2."""
    group: int
    tile: tiles.Tile
    inputs: tuple[Operands, Ref]
    outputs: Sequence[Ref]
    scratch: _Scratch
    start: Array
    """The first of its queries."""
    visits: Visits

    @property
    def num_computing(self) -> int:
        return self.tile.num_warps // 4

    @property
    def rows(self) -> int:
        """Queries of a warpgroup."""
        return self.tile.rows // self.num_computing

    @property
    def head(self) -> tuple[Array, Array]:
        return lax.axis_index("batch"), lax.axis_index("head")

    def own(self, thread: Array | int) -> Any:
        """The queries of a warpgroup."""
        return pl.ds(self.start + thread * self.rows, self.rows)

    def copy(self) -> None:
        """What the copying warpgroup does."""
        operands, _ = self.inputs
        scratch = self.scratch
        batch, head = self.head
        for i in range(self.num_computing):
            for (query, _), smem in zip(operands.pairs(), scratch.queries, strict=True):
                own: Ref = query.at[batch, head, self.own(i)]
                plgpu.copy_gmem_to_smem(own, smem.at[i], scratch.queries_ready.at[i])
        place = batch, lax.div(head, self.group)
        mosaic_keys.stream(operands, scratch.passing, place, self.visits, self.tile)

    def compute(self) -> None:
        """What the other warpgroups do."""
        turn = self.scratch.turn
        thread = lax.axis_index(warpgroup.AXIS)
        begin, whole, broken, end = self.visits

        @pl.when(thread == self.num_computing - 1)
        def _() -> None:
            plgpu.barrier_arrive(turn.at[0])

        plgpu.barrier_wait(self.scratch.queries_ready.at[thread])
        state = self.first_step()
        for after_last, before_first, first, last in (
            (True, True, begin + 1, whole),
            (False, False, jnp.maximum(whole, begin + 1), broken),
            (True, False, jnp.maximum(broken, begin + 1), end),
        ):
            step = partial(self.step, after_last, before_first)
            state = lax.fori_loop(first - begin, last - begin, step, state)
        self.write(state, self.last_product(state, end - begin - 1))

        @pl.when(thread == 0)
        def _() -> None:
            plgpu.barrier_wait(turn.at[0])

    def first_step(self) -> _State:
        """Takes in the first block's scores."""

        def products(scores_ref: Ref) -> Array:
            self.start_scores(scores_ref, 0)
            return plgpu.wgmma_accumulator_load(scores_ref)

        shape = self.rows, self.tile.columns
        self.await_keys(0)
        scores_RC = pl.run_scoped(products, warpgroup.accumulator(shape))
        plgpu.barrier_arrive(self.scratch.passing.keys_free.at[0])
        scores_RC = self.masked(scores_RC, 0, before_first=True)
        # More than what is masked, whose weights are thus 0 even where a row sees nothing yet.
        largest_R = _filled(self.rows, 0.5 * _MASKED * self.factor)
        weights_RC, *rest = self.softmax(scores_RC, largest_R, _filled(self.rows, 0.0))
        weights_RC = lax.optimization_barrier(weights_RC.astype(self.scratch.passing.values.dtype))
        self.await_keys(1)
        out_RW = jnp.zeros((self.rows, self.scratch.passing.values.shape[-1]), jnp.float32)
        return _State(weights_RC, plgpu.layout_cast(out_RW, plgpu.Layout.WGMMA), *rest)

    def step(self, after_last: bool, before_first: bool, i: Array, state: _State) -> _State:
        """Takes in the scores of the i-th block, and the values of the one before.

        Args:
            after_last: whether there are keys behind a query, to be masked.
            before_first: whether there are keys before those that a query sees.
            i: which block.
            state: the softmax so far.
        """
        scratch = self.scratch
        thread = lax.axis_index(warpgroup.AXIS)
        slot, slot_before = self.slot(i), self.slot(i - 1)

        def products(scores_ref: Ref, out_ref: Ref) -> _State:
            out_RW = state.out_RW * _across(state.shrink_R, state.out_RW)
            plgpu.barrier_wait(scratch.turn.at[thread])
            warpgroup.go_on(out_ref, out_RW, scratch.through)
            self.start_scores(scores_ref, slot)
            plgpu.barrier_wait(scratch.passing.values_ready.at[slot_before])
            values: Ref = scratch.passing.values.at[slot_before]
            warpgroup.multiply(out_ref, state.weights_RC, values, scratch.through)
            plgpu.barrier_arrive(scratch.turn.at[lax.rem(thread + 1, self.num_computing)])
            scores_RC = plgpu.wgmma_accumulator_load(scores_ref, wait_n=1)
            plgpu.barrier_arrive(scratch.passing.keys_free.at[slot])
            if after_last:
                scores_RC = self.masked(scores_RC, i, before_first)
            softmax = self.softmax(scores_RC, state.largest_R, state.total_R)
            # What waits for keys is a branch, which the compiler moves no instruction across: else
            # it would wait for the product before it computes the weights.
            weights_RC, *rest = lax.optimization_barrier(softmax)
            self.await_keys(i + 1)
            out_RW = warpgroup.sum_of(out_ref, out_RW, scratch.through)
            plgpu.barrier_arrive(scratch.passing.values_free.at[slot_before])
            # The product read the registers of the last weights until here.
            weights_RC, out_RW = lax.optimization_barrier((weights_RC, out_RW))
            weights_RC = lax.optimization_barrier(weights_RC.astype(state.weights_RC.dtype))
            return _State(weights_RC, out_RW, *rest)

        width = scratch.passing.values.shape[-1]
        sums = (warpgroup.accumulator((self.rows, n)) for n in (self.tile.columns, width))
        return pl.run_scoped(products, *sums)

    def last_product(self, state: _State, i: Array | int) -> Array:
        """The output with the values of the last block, the i-th."""
        scratch, slot = self.scratch, self.slot(i)

        def product(out_ref: Ref) -> Array:
            out_RW = state.out_RW * _across(state.shrink_R, state.out_RW)
            plgpu.barrier_wait(scratch.passing.values_ready.at[slot])
            warpgroup.go_on(out_ref, out_RW, scratch.through)
            values: Ref = scratch.passing.values.at[slot]
            warpgroup.multiply(out_ref, state.weights_RC, values, scratch.through)
            return warpgroup.sum_of(out_ref, out_RW, scratch.through)

        out_RW = pl.run_scoped(
            product, warpgroup.accumulator((self.rows, scratch.passing.values.shape[-1]))
        )
        plgpu.barrier_arrive(scratch.passing.values_free.at[slot])
        return out_RW

    def write(self, state: _State, out_RW: Array) -> None:
        """The output by way of shared memory, the logarithms at once."""
        thread = lax.axis_index(warpgroup.AXIS)
        out_ref: Ref = self.scratch.queries[0].at[thread]
        out_ref[...] = (out_RW * _across(1 / state.total_R, out_RW)).astype(out_ref.dtype)
        plgpu.commit_smem()
        at = *self.head, self.own(thread)
        plgpu.copy_smem_to_gmem(out_ref, self.outputs[0].at[at])
        self.outputs[1][at] = (state.largest_R + jnp.log2(state.total_R)) * math.log(2)
        plgpu.wait_smem_to_gmem(0, wait_read_only=True)

    def slot(self, i: Array | int) -> Array:
        """Where the i-th block lies."""
        return lax.rem(jnp.int32(i), self.tile.num_stages)

    def await_keys(self, i: Array | int) -> None:
        """Of the i-th block, where there is one."""

        @pl.when(i < self.visits.end - self.visits.begin)
        def _() -> None:
            plgpu.barrier_wait(self.scratch.passing.keys_ready.at[self.slot(i)])

    def start_scores(self, scores_ref: Ref, slot: Array | int) -> None:
        """Starts the products of queries and keys."""
        thread = lax.axis_index(warpgroup.AXIS)
        for query, key in zip(self.scratch.queries, self.scratch.passing.keys, strict=True):
            plgpu.wgmma(scores_ref, query.at[thread], key.at[slot].transpose((1, 0)))

    def masked(self, scores_RC: Array, i: Array | int, before_first: bool) -> Array:
        """Scores of the i-th block, with little for what is not visible."""
        thread = lax.axis_index(warpgroup.AXIS)
        shape = self.rows, self.tile.columns
        begin = (self.visits.begin + i) * self.tile.columns
        last_RC = warpgroup.row_numbers(shape) + (self.start + thread * self.rows - begin)
        visible_RC = warpgroup.up_to(last_RC)
        if before_first:
            batch, _ = self.head
            first_T: Ref = self.inputs[1].at[batch, self.own(thread)]
            visible_RC &= warpgroup.since(warpgroup.by_row(first_T, shape) - begin)
        return jnp.where(visible_RC, scores_RC, _MASKED)

    def softmax(
        self, scores_RC: Array, largest_R: Array, total_R: Array
    ) -> tuple[Array, Array, Array, Array]:
        """Weights, the largest and the sum with them, and what shrinks sums of others."""
        new_R = jnp.maximum(largest_R, jnp.max(scores_RC, axis=1) * self.factor)
        weights_RC = jnp.exp2(scores_RC * self.factor - _across(new_R, scores_RC))
        shrink_R = jnp.exp2(largest_R - new_R)
        return weights_RC, new_R, total_R * shrink_R + jnp.sum(weights_RC, axis=1), shrink_R


def _filled(rows: int, number: float) -> Array:
    """The number for each row of a warpgroup."""
    numbers_R = jnp.full((rows,), number, jnp.float32)
    return plgpu.layout_cast(numbers_R, plgpu.Layout.WGMMA.reduce(1))


def _across(x_R: Array, like: Array) -> Array:
    """Each row's number in all its columns, of which there are as many as `like` has."""
    return lax.broadcast_in_dim(x_R, like.shape, (0,))
