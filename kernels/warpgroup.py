# SPDX-License-Identifier: Apache-2.0
"""What the Mosaic kernels share.

The threads of such a kernel are warpgroups of 128 lanes. All but one compute, 64 rows each or a
multiple; the last one copies what the others read.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.experimental.pallas.mosaic_gpu as plgpu
import jax.numpy as jnp
from jax import Array, lax
from jax.experimental import pallas as pl

from kernels import target

ROWS = 64
"""Rows of a warpgroup, the height of a wgmma."""

LOG2_E = math.log2(math.e)

AXIS = "warpgroup"

Ref = Any
"""A reference to memory; Pallas has no public type of it."""

_SWIZZLE = 128
_REGISTERS = 512
"""Of one lane of each of a core's warpgroups, together."""
_MOST_REGISTERS = 240
"""Of a lane."""
_COPYING = 24
"""Registers of a lane that only starts copies."""


def launch(
    kernel: Callable[..., None],
    inputs: Any,
    out_type: Sequence[jax.ShapeDtypeStruct],
    grid: dict[str, int],
    num_computing: int,
    scratch: dict[str, Any],
    name: str,
) -> Sequence[Array]:
    """Runs `kernel(inputs, outputs, **scratch)` on references, once for each point of the grid.

    Args:
        kernel: what all warpgroups run.
        inputs: a tree of arrays.
        out_type: of the results.
        grid: its axes' names and sizes; the last axis is the first to advance.
        num_computing: warpgroups beside the one that copies.
        scratch: trees of what the warpgroups share.
        name: what profiles call it.
    """
    arrays, structure = jax.tree.flatten(inputs)

    def body(*refs: Ref, **scratch: Ref) -> None:
        kernel(structure.unflatten(refs[: len(arrays)]), refs[len(arrays) :], **scratch)

    return plgpu.kernel(
        body,
        out_type=out_type,
        scratch_types=scratch,
        compiler_params=plgpu.CompilerParams(approx_math=True),
        grid=tuple(grid.values()),
        grid_names=tuple(grid),
        num_threads=num_computing + 1,
        thread_name=AXIS,
        kernel_name=name,
        interpret=plgpu.InterpretGPUParams() if target.is_interpreted() else False,
    )(*arrays)


def split(num_computing: int, copy: Callable[[], None], compute: Callable[[], None]) -> None:
    """Has the last warpgroup copy and the others compute."""
    thread = lax.axis_index(AXIS)

    @pl.when(thread == num_computing)
    def _() -> None:
        plgpu.set_max_registers(_COPYING, action="decrease")
        copy()

    @pl.when(thread < num_computing)
    def _() -> None:
        plgpu.set_max_registers(registers(num_computing), action="increase")
        compute()


def registers(num_computing: int) -> int:
    """Of a lane of those that compute: what the one that copies leaves.

    Registers come in steps of eight. A program begins with as many for each lane, and who asks for
    more than that are in all waits for ever.
    """
    num_warpgroups = num_computing + 1
    at_first = _REGISTERS // num_warpgroups // 8 * 8 * num_warpgroups
    return min((at_first - _COPYING) // num_computing // 8 * 8, _MOST_REGISTERS)


def piece(dtype: Any) -> tuple[int, int]:
    """Rows and columns of the pieces of which a `matrix` consists."""
    return 8, _SWIZZLE // jnp.dtype(dtype).itemsize


def matrix(shape: tuple[int, ...], dtype: Any) -> Ref:
    """Shared memory for matrices, the last two axes, as TMA writes and wgmma reads them."""
    # Typed as abstract classes, which they are not.
    tiling: Any = plgpu.TilingTransform
    swizzle: Any = plgpu.SwizzleTransform
    return plgpu.SMEM(shape, dtype, transforms=(tiling(piece(dtype)), swizzle(_SWIZZLE)))


def accumulator(shape: tuple[int, int]) -> Ref:
    """What a warpgroup's products add to, in registers; zero at first."""
    return plgpu.WGMMAAccumulatorRef(shape)


def through(shape: tuple[int, int, int], dtype: Any) -> list[Ref]:
    """What `multiply` needs as scratch: nothing where the kernel is compiled."""
    return [matrix(shape, dtype)] if target.is_interpreted() else []


def multiply(sum_ref: Ref, left: Array, right_ref: Ref, through: list[Ref]) -> None:
    """Starts sum += left right, with `left` in registers.

    The only place where what is interpreted differs from what is compiled: the interpreter
    multiplies nothing but shared memory.
    """
    if not through:
        plgpu.wgmma(sum_ref, left, right_ref)
        return
    left_ref = through[0].at[lax.axis_index(AXIS)]
    left_ref[...] = left
    plgpu.commit_smem()
    plgpu.wgmma(sum_ref, left_ref, right_ref)


def go_on(sum_ref: Ref, start: Array, through: list[Ref]) -> None:
    """Has `sum_ref`, which holds 0, go on from a sum in registers.

    The interpreter cannot, so there it is added in the end, by `sum_of`.
    """
    if not through:
        sum_ref[...] = start


def sum_of(sum_ref: Ref, start: Array, through: list[Ref]) -> Array:
    """What `sum_ref`, which went on from `start`, holds when all products have ended."""
    total = plgpu.wgmma_accumulator_load(sum_ref)
    return start + total if through else total


def stream(
    num_steps: Array | int,
    num_stages: int,
    copies: list[tuple[Ref, Callable[[Array, Array], None]]],
) -> None:
    """Called by the copying warpgroup: fills slots anew as often as the others have freed them.

    Args:
        num_steps: how often one is filled.
        num_stages: how many there are.
        copies: for each part of a slot: the barriers of those who free it, and what fills it,
            called with a step and its slot.
    """

    @pl.loop(0, num_steps + num_stages)
    def _(step: Array) -> None:
        slot = lax.rem(step, num_stages)
        for free, copy in copies:

            @pl.when(step >= num_stages)
            def _(free: Ref = free) -> None:
                plgpu.barrier_wait(free.at[slot])

            @pl.when(step < num_steps)
            def _(copy: Callable[[Array, Array], None] = copy) -> None:
                copy(step, slot)


def by_row(ref: Ref, shape: tuple[int, int]) -> Array:
    """A vector in memory as a matrix whose columns it is."""
    layout = plgpu.Layout.WGMMA.reduce(1)
    return lax.broadcast_in_dim(plgpu.load(ref, layout=layout, optimized=False), shape, (0,))


def by_column(ref: Ref, shape: tuple[int, int]) -> Array:
    """A vector in memory as a matrix whose rows it is."""
    layout = plgpu.Layout.WGMMA.reduce(0)
    return lax.broadcast_in_dim(plgpu.load(ref, layout=layout), shape, (1,))


def row_numbers(shape: tuple[int, int]) -> Array:
    """The number of each element's row."""
    layout = plgpu.Layout.WGMMA.reduce(1)
    numbers = plgpu.broadcasted_iota(jnp.int32, shape[:1], 0, layout=layout)
    return lax.broadcast_in_dim(numbers, shape, (0,))


def within(first: Array, last: Array) -> Array:
    """Whether the number of each element's column is between that element of `first` and `last`."""
    return since(first) & up_to(last)


def since(first: Array) -> Array:
    """Whether the number of each element's column is that element of `first` or more."""
    lane, register = _column_numbers(first.shape)
    return first - lane <= register


def up_to(last: Array) -> Array:
    """Whether the number of each element's column is that element of `last` or less."""
    lane, register = _column_numbers(last.shape)
    return last - lane >= register


def _column_numbers(shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Column numbers as sums: one part depends on the lane alone, the other on the register.

    The latter is a constant in the code. Whole, they would be loop-invariant and fill registers.
    """
    numbers = plgpu.broadcasted_iota(jnp.int32, shape, 1, layout=plgpu.Layout.WGMMA)
    return numbers & 7, numbers & -8
