# SPDX-License-Identifier: Apache-2.0
"""The grouped products in Triton, for Ampere and later.

Further letters of array names: R, C, D a tile's rows, columns and depth, W a work item.
"""

import operator
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plt

from kernels import target, tiles
from kernels._grouped_matmul import work


class _Triton:
    name = "pallas_triton"

    def rows_by_matrices(
        self,
        x_TI: Array,
        weight_EIO: Array,
        group_sizes_E: Array,
        tile: tiles.Tile,
        *,
        transposed: bool,
    ) -> Array:
        width = weight_EIO.shape[1 if transposed else 2]
        items_4W = work.items(len(x_TI), group_sizes_E, tile.rows)
        return pl.pallas_call(
            partial(_rows_by_matrices, tile=tile, transposed=transposed),
            out_shape=jax.ShapeDtypeStruct((len(x_TI), width), x_TI.dtype),
            grid=(items_4W.shape[1] * pl.cdiv(width, tile.columns),),
            name="grouped_matmul",
            **_parameters(tile),
        )(items_4W, x_TI, weight_EIO)

    def rows_by_rows(
        self,
        x_TI: Array,
        y_TO: Array,
        group_sizes_E: Array,
        dtype: jax.typing.DTypeLike,
        tile: tiles.Tile,
    ) -> Array:
        num_groups, width, out_width = len(group_sizes_E), x_TI.shape[1], y_TO.shape[1]
        return pl.pallas_call(
            partial(_rows_by_rows, tile=tile),
            out_shape=jax.ShapeDtypeStruct((num_groups, width, out_width), dtype),
            grid=(pl.cdiv(width, tile.rows), pl.cdiv(out_width, tile.columns), num_groups),
            name="grouped_matmul_transposed",
            **_parameters(tile),
        )(work.spans(len(x_TI), group_sizes_E), x_TI, y_TO)


BACKEND = _Triton()


def candidates(key: tiles.Key) -> tuple[tiles.Tile, ...]:
    """Tiles that a sweep tries for `key`."""
    if key.dtype == "float32":
        shapes = (128, 64, 16), (64, 128, 16), (128, 128, 16), (64, 64, 16)
        return tuple(
            tiles.Tile(*shape, num_warps=4 if shape[0] * shape[1] < 128 * 128 else 8, num_stages=3)
            for shape in shapes
        )
    if key.architecture == "sm80":
        cuts = (
            (128, 128, 32, 4, 4),
            (128, 128, 32, 4, 5),
            (128, 128, 32, 8, 4),
            (128, 128, 64, 8, 3),
            (128, 256, 32, 8, 4),
            (128, 256, 64, 8, 3),
            (64, 256, 64, 4, 3),
            (64, 128, 64, 4, 3),
        )
    else:
        cuts = (
            (128, 128, 64, 8, 3),
            (128, 128, 64, 4, 3),
            (128, 128, 64, 8, 4),
            (128, 256, 64, 8, 3),
            (128, 256, 64, 8, 4),
            (256, 128, 64, 8, 3),
            (256, 128, 64, 8, 4),
            (64, 256, 64, 4, 3),
            (64, 128, 64, 4, 4),
        )
    return tuple(tiles.Tile(*cut) for cut in cuts)


def _parameters(tile: tiles.Tile) -> dict[str, Any]:
    return {
        "compiler_params": plt.CompilerParams(num_warps=tile.num_warps, num_stages=tile.num_stages),
        "interpret": target.is_interpreted(),
    }


def _rows_by_matrices(
    items_4W: Any, x_TI: Any, weight_EIO: Any, out_TO: Any, *, tile: tiles.Tile, transposed: bool
) -> None:
    """A block of rows of a group, times some columns of its matrix."""
    num_columns = pl.cdiv(out_TO.shape[1], tile.columns)
    item, column = work.turn(pl.program_id(0), items_4W.shape[1], num_columns)
    group, first, _, end = (items_4W[field, item] for field in range(4))
    rows = _Part(first, tile.rows, end)
    columns = _part(column, tile.columns, out_TO.shape[1])

    def step(number: Array, sums_RC: Array) -> Array:
        inner = _part(number, tile.depth, x_TI.shape[1])
        x_RD = _load(x_TI, (), rows, inner)
        if transposed:
            weight_CD = _load(weight_EIO, (group,), columns, inner)
            return sums_RC + _product(x_RD, weight_CD, 1, 1)
        weight_DC = _load(weight_EIO, (group,), inner, columns)
        return sums_RC + _product(x_RD, weight_DC, 1, 0)

    # Rows of no group take no step, and neither do items too many.
    has_matrix = (group < len(weight_EIO)).astype(jnp.int32)
    num_steps = has_matrix * pl.cdiv(x_TI.shape[1], tile.depth)
    nothing_RC = jnp.zeros((tile.rows, tile.columns), jnp.float32)
    sums_RC = lax.fori_loop(0, num_steps, step, nothing_RC)
    _store(out_TO, (), rows, columns, sums_RC)


def _rows_by_rows(spans_2E: Any, x_TI: Any, y_TO: Any, out_EIO: Any, *, tile: tiles.Tile) -> None:
    """Some rows and columns of the sum over a group's rows of their outer products."""
    group = pl.program_id(2)
    rows = _part(pl.program_id(0), tile.rows, x_TI.shape[1])
    columns = _part(pl.program_id(1), tile.columns, y_TO.shape[1])
    first, end = (spans_2E[field, group] for field in range(2))

    def step(number: Array, sums_RC: Array) -> Array:
        inner = _Part(first + number * tile.depth, tile.depth, end)
        x_DR, y_DC = _load(x_TI, (), inner, rows), _load(y_TO, (), inner, columns)
        return sums_RC + _product(x_DR, y_DC, 0, 0)

    nothing_RC = jnp.zeros((tile.rows, tile.columns), jnp.float32)
    sums_RC = lax.fori_loop(0, pl.cdiv(end - first, tile.depth), step, nothing_RC)
    _store(out_EIO, (group,), rows, columns, sums_RC)


class _Part(NamedTuple):
    """Some indices of a dimension, of which those from `end` on do not count; None: all count."""

    start: Array
    size: int
    end: Array | int | None

    @property
    def window(self) -> pl.Slice:
        """For indexing."""
        return pl.ds(self.start, self.size)

    def counts(self) -> Array | None:
        """Whether each does."""
        return None if self.end is None else self.start + jnp.arange(self.size) < self.end


def _part(number: Array, size: int, width: int) -> _Part:
    """The part with this number of a width that is cut into parts of this size."""
    return _Part(number * size, size, width if width % size else None)


def _mask(rows: _Part, columns: _Part) -> Array | None:
    """Whether both the row and the column of each place of a tile count; None: all do."""
    rows_R, columns_C = rows.counts(), columns.counts()
    parts = [] if rows_R is None else [rows_R[:, None]]
    parts += [] if columns_C is None else [columns_C[None, :]]
    shape = rows.size, columns.size
    return (
        reduce(operator.and_, [jnp.broadcast_to(part, shape) for part in parts]) if parts else None
    )


def _load(ref: Any, group: tuple[Array, ...], rows: _Part, columns: _Part) -> Array:
    """A tile; 0 where a row or column does not count."""
    mask = _mask(rows, columns)
    view = ref.at[(*group, rows.window, columns.window)]
    return plt.load(view, mask=mask, other=None if mask is None else 0)


def _store(ref: Any, group: tuple[Array, ...], rows: _Part, columns: _Part, tile: Array) -> None:
    """Writes those places of a tile whose rows and columns count."""
    view = ref.at[(*group, rows.window, columns.window)]
    plt.store(view, tile.astype(ref.dtype), mask=_mask(rows, columns))


def _product(left: Array, right: Array, left_axis: int, right_axis: int) -> Array:
    """Two tiles' product over these axes; float32 is not rounded to TF32."""
    return lax.dot_general(
        left,
        right,
        (((left_axis,), (right_axis,)), ((), ())),
        precision=lax.Precision.HIGHEST,
        preferred_element_type=jnp.float32,
    )
