# SPDX-License-Identifier: Apache-2.0
"""What the Triton kernels of attention share: which program does what, loops, and products."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from kernels import target, tiles
from kernels._attention.operands import Visits

# Of the 40 MB of an A100's second-level cache and the 50 MB of an H200's.
_CACHE = 16 * 2**20


@dataclasses.dataclass(frozen=True)
class Programs:
    """One program for each block of positions of each head.

    Programs start in the order of the first axis of the grid, then of the second, then of the
    third. Heads whose inputs fit into the cache together run side by side, and of these the blocks
    that have most to do come first, so that no long program is left over at the end.
    """

    batch: int
    heads: int
    blocks: int
    together: int
    """Heads that run side by side; a divisor of all heads."""
    descending: bool
    """Whether the last block has most to do, as the last queries have."""

    @property
    def grid(self) -> tuple[int, int, int]:
        """Heads of a set, blocks, sets."""
        return self.together, self.blocks, self.batch * self.heads // self.together

    def place(self, member: Array, step: Array, number: Array) -> tuple[Array, Array, Array]:
        """Batch row, head and block of the program with these coordinates."""
        head = number * self.together + member
        block = self.blocks - 1 - step if self.descending else step
        return head // self.heads, head % self.heads, block

    def begin(self, size: int) -> Array:
        """First position of the program that is being traced, where blocks have `size`."""
        return self.place(*(pl.program_id(axis) for axis in range(3)))[2] * size

    # What follows is typed Any, since it stands where arrays do in what a kernel is called with.

    def own(self, size: int, *width: int) -> Any:
        """Of an array [B, heads, T, ...]: the program's own positions, a `pl.BlockSpec`."""
        return pl.BlockSpec(
            (None, None, size, *width), lambda *at: (*self.place(*at), *(0 for _ in width))
        )

    def of_row(self, *shape: int) -> Any:
        """Of an array [B, ...]: all of the program's row, a `pl.BlockSpec`."""
        return pl.BlockSpec((None, *shape), lambda *at: (self.place(*at)[0], *(0 for _ in shape)))


def fitting_together(heads: int, bytes_of_a_head: int) -> int:
    """The largest divisor of `heads` for which that many heads' inputs fit into the cache."""
    most = max(1, _CACHE // bytes_of_a_head)
    return max(count for count in range(1, heads + 1) if heads % count == 0 and count <= most)


def call(
    kernel: Callable[..., None], name: str, programs: Programs, tile: tiles.Tile, **arguments: Any
) -> Callable[..., Any]:
    """`pl.pallas_call` in Triton, or in the interpreter where there is no GPU."""
    return pl.pallas_call(
        kernel,
        name=name,
        grid=programs.grid,
        compiler_params=triton.CompilerParams(num_warps=tile.num_warps, num_stages=tile.num_stages),
        interpret=target.is_interpreted(),
        **arguments,
    )


def over(visits: Visits, step: Callable[[bool, Array, Any], Any], carry: Any) -> Any:
    """`carry` after `step(masked, block, carry)` for every block.

    The blocks that need a mask come first, in one loop for both ends: every loop waits for its
    first loads.
    """
    before = visits.whole - visits.begin

    def at_an_end(i: Array, carry: Any) -> Any:
        block = jnp.where(i < before, visits.begin + i, visits.broken + i - before)
        return step(True, block, carry)

    masked = before + visits.end - visits.broken
    carry = jax.lax.fori_loop(0, masked, at_an_end, carry)
    return jax.lax.fori_loop(
        visits.whole, visits.broken, lambda i, carry: step(False, i, carry), carry
    )


def power(factor: float, x: Array, minus: Array) -> Array:
    """2 ** (factor * x - minus), to float32's last place but one.

    XLA keeps products and differences apart and computes powers below 2 ** -126 exactly, in seven
    instructions for each number in place of these two; they are what bounds the kernels.
    """
    if target.is_interpreted():
        return jnp.exp2(factor * x - minus)
    (found,) = triton.elementwise_inline_asm(
        "{ .reg .f32 y; fma.rn.f32 y, $1, $2, $3; ex2.approx.ftz.f32 $0, y; }",
        args=[x, jnp.full_like(x, factor), jnp.broadcast_to(-minus, x.shape)],
        constraints="=f,f,f,f",
        pack=1,
        result_shape_dtypes=[jax.ShapeDtypeStruct(x.shape, x.dtype)],
    )
    return found


def scores(pairs: Iterable[tuple[Array, Array]]) -> Array:
    """Sums over the columns of both of each pair, together, in float32."""
    first, *others = (product(left, right, 1) for left, right in pairs)
    return sum(others, start=first)


def product(left: Array, right: Array, right_axis: int = 0) -> Array:
    """Sums over `left`'s columns and `right_axis` of the other, in float32."""
    return jax.lax.dot_general(
        left,
        right,
        (((1,), (right_axis,)), ((), ())),
        precision="highest" if left.dtype == jnp.float32 else None,
        preferred_element_type=jnp.float32,
    )
