# SPDX-License-Identifier: Apache-2.0
"""Gradients of keys and values in Mosaic GPU.

A program owns a block of keys of one key head, some for each warpgroup that computes, and goes
through the queries that see any of them, head by head of those that read its key head. Scores are
computed transposed, keys as rows: weights and gradients of scores are then the left operands of the
products that add to the results, and never leave the registers.

The sums of keys and values fill the registers of a warpgroup at widths of 128. Where they are wider
together, the gradients of values are the matter of a kernel of their own, which computes the
weights once more: for MLA a sixth more than the backward pass takes otherwise.

Letters as in `kernels.attention`; S: the keys of a warpgroup, T: the queries of a block.
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
from kernels._attention.fused import Towards
from kernels._attention.operands import Operands, Spans, Visits, visits
from kernels.warpgroup import LOG2_E, Ref

_MOST_COLUMNS = 256
"""Of the sums that fit into the registers of a warpgroup beside what else it computes."""


def backward_kv(
    operands: Operands, spans: Spans, towards: Towards, scale: float, tile: tiles.Tile
) -> tuple[Array, Array, Array | None]:
    """See `kernels._attention.fused.Backend`."""
    towards = towards._replace(logsumexp_BNT=towards.logsumexp_BNT * LOG2_E)
    run = partial(_run, operands, spans, towards, scale)
    if sum(operands.widths) <= _MOST_COLUMNS:
        d_v, d_k, *d_rope = run(tile, _Wanted(keys=True, values=True))
    else:
        (d_v,) = run(tile, _Wanted(keys=False, values=True))
        narrow = warpgroup.ROWS * tile.num_warps // 4
        lower = dataclasses.replace(tile, rows=min(tile.rows, narrow))
        d_k, *d_rope = run(lower, _Wanted(keys=True, values=False))
    return d_k, d_v, d_rope[0] if d_rope else None


class _Wanted(NamedTuple):
    """Whose gradients a kernel computes."""

    keys: bool
    values: bool


class _Scratch(NamedTuple):
    """Shared memory: what a program owns, one for each warpgroup; and what it goes through."""

    keys: list[Ref]
    """With, where there is one, the rotated key."""
    values: Ref
    own_ready: Ref
    queries: list[Ref]
    logsumexps: Ref
    d_outs: Ref
    means: Ref
    ready: Ref
    free: Ref
    through: list[Ref]


def _run(
    operands: Operands,
    spans: Spans,
    towards: Towards,
    scale: float,
    tile: tiles.Tile,
    wanted: _Wanted,
) -> Sequence[Array]:
    """Gradients of values, of keys, and of rotated keys: those that are wanted."""
    batch, num_key_heads, length, _ = operands.k_BKTH.shape
    results: list[Any] = [operands.v_BKTW] if wanted.values else []
    if wanted.keys:
        results.append(operands.k_BKTH)
        if rope := operands.widths[1]:
            shape = batch, num_key_heads, length, rope
            results.append(jax.ShapeDtypeStruct(shape, jnp.float32))

    def kernel(inputs: Any, outputs: Sequence[Ref], scratch: _Scratch) -> None:
        program = _Program(scale, operands.group, tile, wanted, inputs, outputs, scratch)
        warpgroup.split(tile.num_warps // 4, program.copy, program.compute)

    return warpgroup.launch(
        kernel,
        (operands, spans, towards),
        [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in results],
        {"batch": batch, "key_head": num_key_heads, "block": length // tile.rows},
        tile.num_warps // 4,
        {"scratch": _scratch(operands, tile, wanted)},
        "attention_backward_kv",
    )


def _scratch(operands: Operands, tile: tiles.Tile, wanted: _Wanted) -> _Scratch:
    dtype = operands.q_BNTH.dtype
    num_computing, stages, columns = tile.num_warps // 4, tile.num_stages, tile.columns
    own = num_computing, tile.rows // num_computing
    parts = [query.shape[-1] for query, _ in operands.pairs()]
    width = operands.widths[2]
    return _Scratch(
        keys=[warpgroup.matrix((*own, part), dtype) for part in parts],
        values=warpgroup.matrix((*own, width), dtype) if wanted.keys else None,
        own_ready=plgpu.Barrier(num_arrivals=len(parts) + wanted.keys, num_barriers=num_computing),
        queries=[warpgroup.matrix((stages, columns, part), dtype) for part in parts],
        logsumexps=plgpu.SMEM((stages, columns), jnp.float32),
        d_outs=warpgroup.matrix((stages, columns, width), dtype),
        means=plgpu.SMEM((stages, columns), jnp.float32) if wanted.keys else None,
        ready=plgpu.Barrier(num_arrivals=len(parts) + 2 + wanted.keys, num_barriers=stages),
        free=plgpu.Barrier(num_arrivals=num_computing, num_barriers=stages),
        through=warpgroup.through((*own, columns), dtype),
    )


class _Sums(NamedTuple):
    """Registers that the products of all steps add to; none of what is not wanted."""

    values: list[Ref]
    keys: list[Ref]


@dataclasses.dataclass(frozen=True)
class _Program:
    """What all warpgroups of a program know."""

    scale: float
    group: int
    tile: tiles.Tile
    wanted: _Wanted
    inputs: tuple[Operands, Spans, Towards]
    outputs: Sequence[Ref]
    scratch: _Scratch

    @property
    def rows(self) -> int:
        """Keys of a warpgroup."""
        return self.tile.rows // (self.tile.num_warps // 4)

    @property
    def head(self) -> tuple[Array, Array]:
        return lax.axis_index("batch"), lax.axis_index("key_head")

    @property
    def start(self) -> Array:
        """The first keys are seen by the most queries: what takes longest comes first."""
        return lax.axis_index("block") * self.tile.rows

    def own(self, thread: Array | int) -> Any:
        """The keys of a warpgroup."""
        return pl.ds(self.start + thread * self.rows, self.rows)

    def visits(self) -> Visits:
        batch, _ = self.head
        last_BT = self.inputs[1].last_BT
        start, end = self.start, self.start + self.tile.rows - 1
        return visits((start, last_BT[batch, end]), (end, last_BT[batch, start]), self.tile.columns)

    def copy(self) -> None:
        """What the copying warpgroup does."""
        operands, _, towards = self.inputs
        scratch, columns = self.scratch, self.tile.columns
        batch, key_head = self.head
        for i in range(self.tile.num_warps // 4):
            own: list[tuple[Ref, Ref]] = [
                (operands.k_BKTH.at[batch, key_head, self.own(i)], scratch.keys[0])
            ]
            if operands.k_rope_BTP is not None:
                own.append((operands.k_rope_BTP.at[batch, self.own(i)], scratch.keys[1]))
            if self.wanted.keys:
                own.append((operands.v_BKTW.at[batch, key_head, self.own(i)], scratch.values))
            for array, smem in own:
                plgpu.copy_gmem_to_smem(array, smem.at[i], scratch.own_ready.at[i])
        begin, _, _, end = self.visits()
        passing = [query for query, _ in operands.pairs()]
        passing = list(zip(passing, scratch.queries, strict=True))
        passing.append((towards.logsumexp_BNT, scratch.logsumexps))
        passing.append((towards.d_out_BNTW, scratch.d_outs))
        if self.wanted.keys:
            passing.append((towards.mean_BNT, scratch.means))

        def fill(step: Array, slot: Array) -> None:
            head = key_head * self.group + lax.div(step, end - begin)
            at = pl.ds((begin + lax.rem(step, end - begin)) * columns, columns)
            for array, smem in passing:
                source: Ref = array.at[batch, head, at]
                plgpu.copy_gmem_to_smem(source, smem.at[slot], scratch.ready.at[slot])

        num_steps = self.group * (end - begin)
        warpgroup.stream(num_steps, self.tile.num_stages, [(scratch.free, fill)])

    def compute(self) -> None:
        """What the other warpgroups do."""
        scratch = self.scratch
        thread = lax.axis_index(warpgroup.AXIS)
        values = [scratch.d_outs.shape[-1]] if self.wanted.values else []
        keys = [key.shape[-1] for key in scratch.keys] if self.wanted.keys else []
        plgpu.barrier_wait(scratch.own_ready.at[thread])
        pl.run_scoped(
            lambda *sums: self.sum(_Sums(list(sums[: len(values)]), list(sums[len(values) :]))),
            *(warpgroup.accumulator((self.rows, columns)) for columns in values + keys),
        )

    def sum(self, sums: _Sums) -> None:
        """Goes through the queries, then writes what has been summed."""
        begin, whole, broken, end = self.visits()

        @pl.loop(0, self.group)
        def _(head: Array) -> None:
            passed = head * (end - begin)
            for masked, first, last in (
                (True, begin, whole),
                (False, whole, broken),
                (True, broken, end),
            ):
                step = partial(self.step, sums, masked, passed)
                lax.fori_loop(first - begin, last - begin, step, None)

        plgpu.wgmma_wait(0)
        last = self.group * (end - begin) - 1
        plgpu.barrier_arrive(self.scratch.free.at[lax.rem(last, self.tile.num_stages)])
        self.write(sums)

    def write(self, sums: _Sums) -> None:
        """By way of shared memory of which a warpgroup has its own part, where types allow it."""
        scratch = self.scratch
        thread = lax.axis_index(warpgroup.AXIS)
        results = []
        if self.wanted.values:
            d_values = plgpu.wgmma_accumulator_load(*sums.values)
            results.append((d_values, scratch.values if self.wanted.keys else scratch.keys[0]))
        if self.wanted.keys:
            d_keys = [plgpu.wgmma_accumulator_load(x) * self.scale for x in sums.keys]
            results.append((d_keys[0], scratch.keys[0]))
        for (result, smem), output in zip(results, self.outputs, strict=False):
            smem[thread] = result.astype(smem.dtype)
            plgpu.commit_smem()
            plgpu.copy_smem_to_gmem(smem.at[thread], output.at[*self.head, self.own(thread)])
        if len(sums.keys) > 1:
            self.outputs[-1][*self.head, self.own(thread)] = d_keys[1]
        plgpu.wait_smem_to_gmem(0)

    def step(self, sums: _Sums, masked: bool, passed: Array, i: Array, _: None) -> None:
        """Adds what a block of queries contributes.

        Products stay in flight until their results are needed, those of the sums until the next
        step's are.
        """
        scratch, stages = self.scratch, self.tile.num_stages
        thread = lax.axis_index(warpgroup.AXIS)
        index = passed + i
        slot = lax.rem(index, stages)
        shape = self.rows, self.tile.columns
        dtype = scratch.d_outs.dtype

        def scores(scores_ref: Ref) -> None:
            for key, query in zip(scratch.keys, scratch.queries, strict=True):
                plgpu.wgmma(scores_ref, key.at[thread], query.at[slot].transpose((1, 0)))
            plgpu.wgmma_wait(len(scratch.keys))

            @pl.when(index > 0)
            def _() -> None:
                plgpu.barrier_arrive(scratch.free.at[lax.rem(index + stages - 1, stages)])

            if self.wanted.keys:
                gradients = partial(with_keys, scores_ref)
                pl.run_scoped(gradients, warpgroup.accumulator(shape))
            else:
                add(sums.values, weights(scores_ref, 0), [scratch.d_outs])
                # With 128 keys there are no registers to have the next scores beside them.
                plgpu.wgmma_wait(0)

        def with_keys(scores_ref: Ref, d_weights_ref: Ref) -> None:
            d_out = scratch.d_outs.at[slot].transpose((1, 0))
            plgpu.wgmma(d_weights_ref, scratch.values.at[thread], d_out)
            weights_ST = weights(scores_ref, 1)
            if self.wanted.values:
                add(sums.values, weights_ST, [scratch.d_outs])
            d_weights_ST = plgpu.wgmma_accumulator_load(d_weights_ref, wait_n=len(sums.values))
            mean_ST = warpgroup.by_column(scratch.means.at[slot], shape)
            add(sums.keys, weights_ST * (d_weights_ST - mean_ST), scratch.queries)

        def weights(scores_ref: Ref, in_flight: int) -> Array:
            scores_ST = plgpu.wgmma_accumulator_load(scores_ref, wait_n=in_flight)
            logsumexp_ST = warpgroup.by_column(scratch.logsumexps.at[slot], shape)
            weights_ST = jnp.exp2(scores_ST * (self.scale * LOG2_E) - logsumexp_ST)
            return jnp.where(self.visible(i), weights_ST, 0.0) if masked else weights_ST

        def add(sum_refs: list[Ref], left: Array, rights: list[Ref]) -> None:
            for sum_ref, right in zip(sum_refs, rights, strict=True):
                warpgroup.multiply(sum_ref, left.astype(dtype), right.at[slot], scratch.through)

        plgpu.barrier_wait(scratch.ready.at[slot])
        pl.run_scoped(scores, warpgroup.accumulator(shape))

    def visible(self, i: Array) -> Array:
        """Which keys of a warpgroup each query of the i-th block sees."""
        thread = lax.axis_index(warpgroup.AXIS)
        shape = self.rows, self.tile.columns
        begin = (self.visits().begin + i) * self.tile.columns
        batch, _ = self.head
        last_BT = self.inputs[1].last_BT
        first_ST = warpgroup.row_numbers(shape) + (self.start + thread * self.rows - begin)
        last_ST = warpgroup.by_row(last_BT.at[batch, self.own(thread)], shape) - begin
        return warpgroup.within(first_ST, last_ST)
