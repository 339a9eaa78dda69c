# SPDX-License-Identifier: Apache-2.0
"""What the kernels in Mosaic multiply: rows by their group's matrix, or by rows of their group.

A block of the result is the turn of one program. In it, a warpgroup computes 64 rows, in steps that
each multiply one part of either array. Copies of parts begin at whole pieces of shared memory,
which groups do not: a group's first part reaches back into the group before, and its last into the
next.

Further letters of array names: R, C, D a tile's rows, columns and depth, W a work item.
"""

import dataclasses
from typing import NamedTuple, Protocol

import jax.experimental.pallas.mosaic_gpu as plgpu
import jax.numpy as jnp
from jax import Array, lax
from jax.experimental import pallas as pl

from kernels import tiles, warpgroup
from kernels._grouped_matmul import work
from kernels.warpgroup import ROWS, Ref

PIECE = warpgroup.piece(jnp.bfloat16)


class Turn(NamedTuple):
    """A block of the result."""

    group: Array
    row: Array
    """Its first."""
    column: Array
    """Its first."""
    start: Array
    """First row of the group."""
    end: Array
    """The row behind it."""
    num_steps: Array


class Part(NamedTuple):
    """A warpgroup's rows of a block of the result."""

    matrix: Ref
    """Which has the block's columns."""
    row: Array
    """The first of 64."""
    begin: Array
    """Of these, the first that counts."""
    end: Array
    """The one behind those that count."""


class Product(Protocol):
    """What the two products differ in."""

    @property
    def tile(self) -> tiles.Tile: ...

    @property
    def num_turns(self) -> int: ...

    @property
    def shapes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Of the parts of the two arrays that a step multiplies."""
        ...

    def turn(self, places: Ref, number: Array) -> Turn:
        """The block of the result with this number."""
        ...

    def parts(self, left: Ref, right: Ref, turn: Turn, step: Array) -> tuple[Ref, Ref]:
        """What a step multiplies."""
        ...

    def factors(self, left: Ref, right: Ref, thread: Array) -> tuple[Ref, Ref]:
        """What of these parts a warpgroup multiplies, [64, D] and [D, C]."""
        ...

    def clean(
        self, left: Ref, right: Ref, turn: Turn, step: Array, thread: Array, cleaned: Ref
    ) -> None:
        """Writes 0 into these parts where others than the group's rows would count."""
        ...

    def own(self, out: Ref, turn: Turn, thread: Array) -> Part:
        """What a warpgroup writes."""
        ...


@dataclasses.dataclass(frozen=True)
class RowsByMatrices:
    """x_TI times the matrices [E, I, O], or [E, O, I] if transposed."""

    tile: tiles.Tile
    num_items: int
    num_groups: int
    widths: tuple[int, int]
    """I and O."""
    transposed: bool

    @property
    def num_turns(self) -> int:
        """Every work item times every block of columns."""
        return self.num_items * self._num_columns

    @property
    def _num_columns(self) -> int:
        return pl.cdiv(self.widths[1], self.tile.columns)

    @property
    def shapes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Of parts."""
        rows, columns, depth = self.tile.rows, self.tile.columns, self.tile.depth
        return (rows, depth), (columns, depth) if self.transposed else (depth, columns)

    def turn(self, places: Ref, number: Array) -> Turn:
        """A work item and some columns; `places` are `work.items`."""
        item, column = work.turn(number, self.num_items, self._num_columns)
        group, row, start, end = (places[field, item] for field in range(4))
        # Rows of no group take no step, and neither do items too many.
        has_matrix = (group < self.num_groups).astype(jnp.int32)
        num_steps = has_matrix * pl.cdiv(self.widths[0], self.tile.depth)
        return Turn(group, row, column * self.tile.columns, start, end, num_steps)

    def parts(self, left: Ref, right: Ref, turn: Turn, step: Array) -> tuple[Ref, Ref]:
        """Rows of x, and some of their matrix."""
        rows = pl.ds(pl.multiple_of(turn.row, PIECE[0]), self.tile.rows)
        inner = pl.ds(step * self.tile.depth, self.tile.depth)
        columns = pl.ds(turn.column, self.tile.columns)
        matrix = (columns, inner) if self.transposed else (inner, columns)
        return left.at[rows, inner], right.at[turn.group, *matrix]

    def factors(self, left: Ref, right: Ref, thread: Array) -> tuple[Ref, Ref]:
        """A warpgroup's rows of x, and all of the matrix's part."""
        rows = pl.ds(pl.multiple_of(thread * ROWS, ROWS), ROWS)
        return left.at[rows], right.transpose((1, 0)) if self.transposed else right

    def clean(
        self, left: Ref, right: Ref, turn: Turn, step: Array, thread: Array, cleaned: Ref
    ) -> None:
        """Nothing: rows of other groups give rows of the result that are not written."""

    def own(self, out: Ref, turn: Turn, thread: Array) -> Part:
        """The rows of the group."""
        row = turn.row + thread * ROWS
        return Part(
            out, row, jnp.clip(turn.start - row, 0, ROWS), jnp.clip(turn.end - row, 0, ROWS)
        )


@dataclasses.dataclass(frozen=True)
class RowsByRows:
    """x_e.T @ y_e for the rows of each group e."""

    tile: tiles.Tile
    num_groups: int
    widths: tuple[int, int]
    """Columns of x and of y."""

    @property
    def num_turns(self) -> int:
        """Every block of every group's matrix."""
        num_rows, num_columns = self._num_blocks
        return self.num_groups * num_rows * num_columns

    @property
    def _num_blocks(self) -> tuple[int, int]:
        return pl.cdiv(self.widths[0], self.tile.rows), pl.cdiv(self.widths[1], self.tile.columns)

    @property
    def shapes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Of parts."""
        return (self.tile.depth, self.tile.rows), (self.tile.depth, self.tile.columns)

    def turn(self, places: Ref, number: Array) -> Turn:
        """A block of a group's matrix; `places` are `work.spans`."""
        num_rows, num_columns = self._num_blocks
        group = lax.div(number, num_rows * num_columns)
        within = lax.rem(number, num_rows * num_columns)
        row = lax.rem(within, num_rows) * self.tile.rows
        column = lax.div(within, num_rows) * self.tile.columns
        start, end = places[0, group], places[1, group]
        has_rows = (start < end).astype(jnp.int32)
        num_steps = has_rows * pl.cdiv(end - _whole_pieces(start), self.tile.depth)
        return Turn(group, row, column, start, end, num_steps)

    def parts(self, left: Ref, right: Ref, turn: Turn, step: Array) -> tuple[Ref, Ref]:
        """The same rows of either array."""
        inner = pl.ds(self._first(turn, step), self.tile.depth)
        rows, columns = pl.ds(turn.row, self.tile.rows), pl.ds(turn.column, self.tile.columns)
        return left.at[inner, rows], right.at[inner, columns]

    def _first(self, turn: Turn, step: Array) -> Array:
        return pl.multiple_of(_whole_pieces(turn.start) + step * self.tile.depth, PIECE[0])

    def factors(self, left: Ref, right: Ref, thread: Array) -> tuple[Ref, Ref]:
        """Some columns of x, and all of the part of y."""
        columns = pl.ds(pl.multiple_of(thread * ROWS, ROWS), ROWS)
        return left.at[:, columns].transpose((1, 0)), right

    def clean(
        self, left: Ref, right: Ref, turn: Turn, step: Array, thread: Array, cleaned: Ref
    ) -> None:
        """The rows of other groups, of which there are only in the first and the last step.

        Each warpgroup cleans those columns of x that it multiplies, and its share of y.
        """
        first = self._first(turn, step)
        begin, end = turn.start - first, turn.end - first

        @pl.when((begin > 0) | (end < self.tile.depth))
        def _() -> None:
            shape, layout = (self.tile.depth, ROWS), plgpu.Layout.WGMMA
            numbers = plgpu.broadcasted_iota(jnp.int32, shape, 0, layout=layout)
            counts = (numbers >= begin) & (numbers < end)
            share = self.tile.columns // (self.tile.num_warps // 4)
            for ref, width in ((left, ROWS), (right, share)):
                for column in range(0, width, ROWS):
                    at = pl.multiple_of(thread * width + column, ROWS)
                    part = ref.at[:, pl.ds(at, ROWS)]
                    part[...] = jnp.where(counts, part[...], 0)
            plgpu.commit_smem()
            plgpu.barrier_arrive(cleaned)
            plgpu.barrier_wait(cleaned)

    def own(self, out: Ref, turn: Turn, thread: Array) -> Part:
        """All rows of the block."""
        return Part(out.at[turn.group], turn.row + thread * ROWS, jnp.int32(0), jnp.int32(ROWS))


def _whole_pieces(row: Array) -> Array:
    """The last row up to this one with which a piece begins."""
    return row - lax.rem(row, PIECE[0])
