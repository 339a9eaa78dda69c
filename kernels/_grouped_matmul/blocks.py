# SPDX-License-Identifier: Apache-2.0
"""A loop over blocks of rows, for CPUs, where XLA's ragged product is E dense ones.

A block is some rows of one group, so a group takes as many turns as it has blocks: none where it is
empty, whose matrix is then not even read. Blocks are as long as a group is on average. The last of
a group reaches into the rows of the next; what it writes there is overwritten in the turns after.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

_SMALLEST, _LARGEST = 4, 128
"""Rows of a block: fewer multiply no faster, unless it is one; more are wasted in uneven groups."""


class _Blocks(NamedTuple):
    """Where the blocks lie; in order, groups one after the other."""

    size: int
    """Rows of a block."""
    first_E: Array
    """Number of each group's first block."""
    count: Array
    """Blocks of all groups."""
    start_E: Array
    """First row of each group."""
    end_E: Array
    """Row behind each group."""

    def place(self, number: Array) -> tuple[Array, Array]:
        """Group and first row of a block."""
        group = jnp.sum(self.first_E <= number) - 1
        return group, self.start_E[group] + (number - self.first_E[group]) * self.size


@jax.custom_vjp
def grouped_matmul(x_TI: Array, weight_EIO: Array, group_sizes_E: Array) -> Array:
    """See `kernels.grouped_matmul.grouped_matmul`."""
    return _rows_by_matrices(x_TI, weight_EIO, group_sizes_E, transposed=False)


def _forward(
    x_TI: Array, weight_EIO: Array, group_sizes_E: Array
) -> tuple[Array, tuple[Array, Array, Array]]:
    out_TO = grouped_matmul(x_TI, weight_EIO, group_sizes_E)
    return out_TO, (x_TI, weight_EIO, group_sizes_E)


def _backward(residuals: tuple[Array, Array, Array], d_out_TO: Array) -> tuple[Array, Array, None]:
    x_TI, weight_EIO, group_sizes_E = residuals
    d_x_TI = _rows_by_matrices(d_out_TO, weight_EIO, group_sizes_E, transposed=True)
    d_weight_EIO = _rows_by_rows(x_TI, d_out_TO, group_sizes_E)
    return d_x_TI, d_weight_EIO.astype(weight_EIO.dtype), None


grouped_matmul.defvjp(_forward, _backward)


def _rows_by_matrices(
    x_TI: Array, weight_EIO: Array, group_sizes_E: Array, transposed: bool
) -> Array:
    """The rows of each group e times weight[e], or times its transpose."""
    blocks = _blocks(len(x_TI), group_sizes_E)
    padded_XI = jnp.pad(x_TI, ((0, blocks.size), (0, 0)))
    width = weight_EIO.shape[1 if transposed else 2]
    contracted = (((1,), (1 if transposed else 0,)), ((), ()))

    def turn(number: Array, out_XO: Array) -> Array:
        group, start = blocks.place(number)
        rows_RI = jax.lax.dynamic_slice_in_dim(padded_XI, start, blocks.size)
        weight_IO = weight_EIO[group].astype(x_TI.dtype)
        out_RO = jax.lax.dot_general(rows_RI, weight_IO, contracted)
        return jax.lax.dynamic_update_slice_in_dim(out_XO, out_RO, start, axis=0)

    nothing_XO = jnp.zeros((len(padded_XI), width), x_TI.dtype)
    out_TO = jax.lax.fori_loop(0, blocks.count, turn, nothing_XO)[: len(x_TI)]
    return jnp.where((jnp.arange(len(x_TI)) < blocks.end_E[-1])[:, None], out_TO, 0)


def _rows_by_rows(x_TI: Array, y_TO: Array, group_sizes_E: Array) -> Array:
    """x.T @ y of the rows of each group, float32 [E, I, O]."""
    blocks = _blocks(len(x_TI), group_sizes_E)
    x_XI, y_XO = (jnp.pad(rows, ((0, blocks.size), (0, 0))) for rows in (x_TI, y_TO))

    def turn(number: Array, sums_EIO: Array) -> Array:
        group, start = blocks.place(number)
        x_RI, y_RO = (
            jax.lax.dynamic_slice_in_dim(rows, start, blocks.size) for rows in (x_XI, y_XO)
        )
        mine_R = start + jnp.arange(blocks.size) < blocks.end_E[group]
        y_RO = jnp.where(mine_R[:, None], y_RO, 0)
        product_IO = jnp.einsum("RI,RO->IO", x_RI, y_RO, preferred_element_type=jnp.float32)
        return sums_EIO.at[group].add(product_IO)

    shape = (len(group_sizes_E), x_TI.shape[1], y_TO.shape[1])
    return jax.lax.fori_loop(0, blocks.count, turn, jnp.zeros(shape, jnp.float32))


def _blocks(num_rows: int, group_sizes_E: Array) -> _Blocks:
    """Cuts the groups into blocks."""
    on_average = -(-num_rows // len(group_sizes_E))
    size = min(max(1 << (on_average - 1).bit_length(), _SMALLEST), _LARGEST)
    if on_average == 1:  # As in decoding few texts: products with vectors, which read faster.
        size = 1
    counts_E, end_E = -(-group_sizes_E // size), jnp.cumsum(group_sizes_E)
    behind_E = jnp.cumsum(counts_E)
    return _Blocks(size, behind_E - counts_E, behind_E[-1], end_E - group_sizes_E, end_E)
