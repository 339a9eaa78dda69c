# SPDX-License-Identifier: Apache-2.0
"""The programs that compute a grouped product in Mosaic, as many as the GPU has cores.

They take turns at the blocks of the result. In each, one warpgroup copies what the others multiply,
and runs ahead of them into the next turn while they write the last one's results.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.experimental.pallas.mosaic_gpu as plgpu
import jax.numpy as jnp
from jax import Array, lax
from jax.experimental import pallas as pl

from kernels import target, warpgroup
from kernels._grouped_matmul.mosaic_products import PIECE, Part, Product, Turn
from kernels.warpgroup import ROWS, Ref

_CORES = 132
"""Of an H100 (SXM) and an H200."""


def launch(
    name: str, product: Product, inputs: tuple[Array, Array, Array], out: jax.ShapeDtypeStruct
) -> Array:
    """Runs a kernel on places and the two arrays."""
    num_computing = product.tile.num_warps // 4
    cores = 2 if target.is_interpreted() else _CORES

    def kernel(inputs: tuple[Ref, Ref, Ref], outputs: Sequence[Ref], scratch: Any) -> None:
        program = _Program(product, (*inputs, *outputs), scratch)
        warpgroup.split(num_computing, program.copy, program.compute)

    (result,) = warpgroup.launch(
        kernel,
        inputs,
        [out],
        {"program": min(cores, product.num_turns)},
        num_computing,
        {"scratch": _scratch(product, inputs[1].dtype, out.dtype)},
        name,
    )
    return result


def _scratch(product: Product, dtype: Any, out_dtype: Any) -> dict[str, Any]:
    """What the warpgroups of a program share; `whole` and `some` are each one's own."""
    num_computing, stages = product.tile.num_warps // 4, product.tile.num_stages
    left, right = product.shapes
    _, columns = warpgroup.piece(out_dtype)
    return {
        "lefts": warpgroup.matrix((stages, *left), dtype),
        "rights": warpgroup.matrix((stages, *right), dtype),
        "ready": plgpu.Barrier(num_arrivals=2, num_barriers=stages),
        "free": plgpu.Barrier(num_arrivals=num_computing, num_barriers=stages),
        "cleaned": plgpu.Barrier(num_arrivals=num_computing),
        "whole": warpgroup.matrix((num_computing, ROWS, columns), out_dtype),
        "some": plgpu.SMEM((num_computing, ROWS, columns), out_dtype),
    }


class _Program:
    """Takes every so many-th turn."""

    def __init__(self, product: Product, refs: tuple[Ref, ...], scratch: Any):
        self._product = product
        self._places, self._left, self._right, self._out = refs
        self._scratch = scratch
        self._stages = product.tile.num_stages
        self._first, self._every = lax.axis_index("program"), lax.axis_size("program")

    def _turns(self, body: Any) -> Array:
        """Calls body(turn, steps before it) for all turns; returns how many steps they take."""

        def one(i: Array, before: Array) -> Array:
            turn = self._product.turn(self._places, self._first + i * self._every)
            body(turn, before)
            return before + turn.num_steps

        behind = self._product.num_turns - self._first
        count = lax.div(behind + self._every - 1, self._every)
        return lax.fori_loop(0, count, one, jnp.int32(0))

    def copy(self) -> None:
        """Fills slots anew as often as the others have freed them."""
        free, ready = self._scratch["free"], self._scratch["ready"]

        def one_turn(turn: Turn, before: Array) -> None:
            @pl.loop(0, turn.num_steps)
            def _(step: Array) -> None:
                slot = lax.rem(before + step, self._stages)

                @pl.when(before + step >= self._stages)
                def _() -> None:
                    plgpu.barrier_wait(free.at[slot])

                parts = self._product.parts(self._left, self._right, turn, step)
                for part, slots in zip(parts, ("lefts", "rights"), strict=True):
                    plgpu.copy_gmem_to_smem(part, self._scratch[slots].at[slot], ready.at[slot])

        total = self._turns(one_turn)

        @pl.loop(jnp.maximum(total - self._stages, 0), total)
        def _(step: Array) -> None:
            plgpu.barrier_wait(free.at[lax.rem(step, self._stages)])

    def compute(self) -> None:
        """Multiplies what is in the slots, and writes the sums."""
        thread = lax.axis_index(warpgroup.AXIS)
        free = self._scratch["free"]

        def one_turn(turn: Turn, before: Array) -> None:
            def sums(sums_ref: Ref) -> Array:
                @pl.loop(0, turn.num_steps)
                def _(step: Array) -> None:
                    slot = lax.rem(before + step, self._stages)
                    self._multiply(sums_ref, turn, step, slot, thread)
                    plgpu.wgmma_wait(1)

                    @pl.when(step > 0)
                    def _() -> None:
                        plgpu.barrier_arrive(free.at[lax.rem(before + step - 1, self._stages)])

                return plgpu.wgmma_accumulator_load(sums_ref)

            sums_ref = plgpu.WGMMAAccumulatorRef((ROWS, self._product.tile.columns))
            sums_RC = pl.run_scoped(sums, sums_ref)

            @pl.when(turn.num_steps > 0)
            def _() -> None:
                last = before + turn.num_steps - 1
                plgpu.barrier_arrive(free.at[lax.rem(last, self._stages)])

            part = self._product.own(self._out, turn, thread)
            whole, some = (self._scratch[name].at[thread] for name in ("whole", "some"))
            _write(part, turn.column, sums_RC, whole, some)

        self._turns(one_turn)
        plgpu.wait_smem_to_gmem(0)

    def _multiply(self, sums_ref: Ref, turn: Turn, step: Array, slot: Array, thread: Array) -> None:
        """Starts what a step adds to the sums."""
        left, right = (self._scratch[slots].at[slot] for slots in ("lefts", "rights"))
        plgpu.barrier_wait(self._scratch["ready"].at[slot])
        self._product.clean(left, right, turn, step, thread, self._scratch["cleaned"])
        plgpu.wgmma(sums_ref, *self._product.factors(left, right, thread))


def _write(part: Part, column: Array, sums_RC: Array, whole: Ref, some: Ref) -> None:
    """Writes those rows that count.

    A copy's size is known before. Whole pieces of shared memory, which are fast to fill, cannot be
    cut at any row; where the rows are cut they go through memory that has them one by one.
    """
    width = some.shape[-1]
    blocks = [
        (pl.ds(column + at, width), sums_RC[:, at : at + width].astype(some.dtype))
        for at in range(0, sums_RC.shape[1], width)
    ]
    num_rows = part.end - part.begin

    @pl.when(num_rows == ROWS)
    def _() -> None:
        rows = pl.ds(pl.multiple_of(part.row, PIECE[0]), ROWS)
        for columns, block_RC in blocks:
            plgpu.wait_smem_to_gmem(0, wait_read_only=True)
            whole[...] = block_RC
            plgpu.commit_smem()
            plgpu.copy_smem_to_gmem(whole, part.matrix.at[rows, columns])

    @pl.when((num_rows > 0) & (num_rows < ROWS))
    def _() -> None:
        for columns, block_RC in blocks:
            plgpu.wait_smem_to_gmem(0, wait_read_only=True)
            some[...] = block_RC
            plgpu.commit_smem()
            _write_some(part, columns, some)


def _write_some(part: Part, columns: pl.Slice, some: Ref) -> None:
    """Writes the rows that count, 32 or none, 16 or none, and so on."""
    num_rows, size = part.end - part.begin, ROWS // 2
    while size:
        at = part.begin + lax.div(num_rows, 2 * size) * (2 * size)

        @pl.when(lax.rem(num_rows, 2 * size) >= size)
        def _(at: Array = at, size: int = size) -> None:
            rows = pl.ds(part.row + at, size)
            plgpu.copy_smem_to_gmem(some.at[pl.ds(at, size)], part.matrix.at[rows, columns])

        size //= 2
