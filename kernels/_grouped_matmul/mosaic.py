# SPDX-License-Identifier: Apache-2.0
"""The grouped products in Mosaic GPU, for Hopper: TMA, wgmma and specialised warpgroups."""

import jax
import jax.numpy as jnp
from jax import Array

from kernels import tiles
from kernels._grouped_matmul import mosaic_program, work
from kernels._grouped_matmul.mosaic_products import PIECE, Product, RowsByMatrices, RowsByRows


class _Mosaic:
    name = "pallas_mosaic"

    def rows_by_matrices(
        self,
        x_TI: Array,
        weight_EIO: Array,
        group_sizes_E: Array,
        tile: tiles.Tile,
        *,
        transposed: bool,
    ) -> Array:
        num_rows, width = x_TI.shape
        out_width = weight_EIO.shape[1 if transposed else 2]
        items_4W = work.items(num_rows, group_sizes_E, tile.rows, PIECE[0])
        product = RowsByMatrices(
            tile, items_4W.shape[1], len(weight_EIO), (width, out_width), transposed
        )
        out_TO = jax.ShapeDtypeStruct((num_rows, out_width), x_TI.dtype)
        return _launch("grouped_matmul", product, items_4W, x_TI, weight_EIO, out_TO)

    def rows_by_rows(
        self,
        x_TI: Array,
        y_TO: Array,
        group_sizes_E: Array,
        dtype: jax.typing.DTypeLike,
        tile: tiles.Tile,
    ) -> Array:
        num_groups, widths = len(group_sizes_E), (x_TI.shape[1], y_TO.shape[1])
        out_EIO = jax.ShapeDtypeStruct((num_groups, *widths), dtype)
        spans_2E = work.spans(len(x_TI), group_sizes_E)
        product = RowsByRows(tile, num_groups, widths)
        return _launch("grouped_matmul_transposed", product, spans_2E, x_TI, y_TO, out_EIO)


BACKEND = _Mosaic()


def candidates(key: tiles.Key) -> tuple[tiles.Tile, ...]:
    """Tiles that a sweep tries for `key`."""
    cuts = [
        (128, 256, 64, 8, 4),
        (128, 256, 64, 8, 3),
        (128, 128, 64, 8, 6),
        (128, 128, 64, 8, 4),
        (128, 128, 128, 8, 3),
        (192, 192, 64, 12, 3),
        (64, 256, 64, 4, 4),
    ]
    if key.operation == "grouped_matmul":
        cuts += [(128, 192, 64, 8, 4), (192, 128, 64, 12, 4)]
    return tuple(tiles.Tile(*cut) for cut in cuts)


def _launch(
    name: str,
    product: Product,
    places: Array,
    left: Array,
    right: Array,
    out: jax.ShapeDtypeStruct,
) -> Array:
    in_pieces = jax.ShapeDtypeStruct(_in_pieces(out.shape), out.dtype)
    inputs = places, _padded(left), _padded(right)
    result = mosaic_program.launch(name, product, inputs, in_pieces)
    return result[tuple(map(slice, out.shape))]


def _in_pieces(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of matrices that consist of whole pieces, so that all of them can be copied."""
    sizes = zip(shape[-2:], PIECE, strict=True)
    return *shape[:-2], *(size + -size % piece for size, piece in sizes)


def _padded(x: Array) -> Array:
    sizes = zip(x.shape, _in_pieces(x.shape), strict=True)
    return jnp.pad(x, [(0, whole - size) for size, whole in sizes])
