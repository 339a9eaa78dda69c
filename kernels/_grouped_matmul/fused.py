# SPDX-License-Identifier: Apache-2.0
"""What the Pallas implementations share: gradients, and the types in which sums are kept."""

from functools import partial
from typing import NamedTuple, Protocol

import jax
from jax import Array

from kernels import tiles
from kernels._grouped_matmul.choice import OPERATIONS


class Backend(Protocol):
    """The kernels of an implementation. All sum in float32 and round once, at the end."""

    name: str

    def rows_by_matrices(
        self,
        x_TI: Array,
        weight_EIO: Array,
        group_sizes_E: Array,
        tile: tiles.Tile,
        *,
        transposed: bool,
    ) -> Array:
        """The rows of each group times its matrix, [T, O]; 0 in rows of no group.

        With `transposed`, `weight_EIO` is [E, O, I]: each matrix is read the other way round.
        """
        ...

    def rows_by_rows(
        self,
        x_TI: Array,
        y_TO: Array,
        group_sizes_E: Array,
        dtype: jax.typing.DTypeLike,
        tile: tiles.Tile,
    ) -> Array:
        """x.T @ y of the rows of each group, [E, I, O] in `dtype`; 0 where a group is empty."""
        ...


class _Tiles(NamedTuple):
    product: tiles.Tile
    transposed: tiles.Tile


def grouped_matmul(backend: Backend, x_TI: Array, weight_EIO: Array, group_sizes_E: Array) -> Array:
    """See `kernels.grouped_matmul.grouped_matmul`."""
    cuts = _Tiles(*(tiles.find(backend.name, operation, x_TI.dtype) for operation in OPERATIONS))
    return _grouped_matmul(x_TI, weight_EIO, group_sizes_E, backend, cuts)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _grouped_matmul(
    x_TI: Array, weight_EIO: Array, group_sizes_E: Array, backend: Backend, cuts: _Tiles
) -> Array:
    return _forward(x_TI, weight_EIO, group_sizes_E, backend, cuts)[0]


def _forward(
    x_TI: Array, weight_EIO: Array, group_sizes_E: Array, backend: Backend, cuts: _Tiles
) -> tuple[Array, tuple[Array, Array, Array]]:
    out_TO = backend.rows_by_matrices(
        x_TI, weight_EIO.astype(x_TI.dtype), group_sizes_E, cuts.product, transposed=False
    )
    return out_TO, (x_TI, weight_EIO, group_sizes_E)


def _backward(
    backend: Backend, cuts: _Tiles, kept: tuple[Array, Array, Array], d_out_TO: Array
) -> tuple[Array, Array, None]:
    x_TI, weight_EIO, group_sizes_E = kept
    d_x_TI = backend.rows_by_matrices(
        d_out_TO, weight_EIO.astype(x_TI.dtype), group_sizes_E, cuts.product, transposed=True
    )
    d_weight_EIO = backend.rows_by_rows(
        x_TI, d_out_TO, group_sizes_E, weight_EIO.dtype, cuts.transposed
    )
    return d_x_TI, d_weight_EIO, None


_grouped_matmul.defvjp(_forward, _backward)
