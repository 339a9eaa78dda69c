# SPDX-License-Identifier: Apache-2.0
"""Which rows of which group a program of the GPU kernels multiplies.

W is a work item: a block of rows of one group. The rows behind the last group are one more group,
number E, without a matrix: their results are 0.
"""

import jax.numpy as jnp
from jax import Array, lax
from jax.experimental import pallas as pl


def spans(num_rows: int, group_sizes_E: Array) -> Array:
    """First row of each group, and the row behind its last, int32 [2, E]."""
    ends_E = jnp.minimum(jnp.cumsum(group_sizes_E.astype(jnp.int32)), num_rows)
    return jnp.stack([jnp.pad(ends_E[:-1], (1, 0)), ends_E])


def items(num_rows: int, group_sizes_E: Array, size: int, multiple: int = 1) -> Array:
    """All blocks of `size` rows: group, first row, the group's first row and the one behind it.

    The first block of a group begins with its first row, or the last one before it whose number is
    a `multiple`, and each other where the one before ends; the last may reach into further groups.
    W is what is enough for groups of any size; items too many come last, have no rows, and belong
    to group E.

    Returns:
        int32 [4, W].
    """
    starts_E, ends_E = spans(num_rows, group_sizes_E)
    starts_G = jnp.append(starts_E, ends_E[-1])
    ends_G = jnp.append(ends_E, num_rows)
    before_G = starts_G - starts_G % multiple
    counts_G = jnp.where(starts_G < ends_G, pl.cdiv(ends_G - before_G, size), 0)
    behind_G = jnp.cumsum(counts_G)
    most = num_rows + (multiple - 1) * len(starts_G)
    numbers_W = jnp.arange(pl.cdiv(most, size) + len(group_sizes_E), dtype=jnp.int32)
    groups_W = jnp.sum(behind_G[:-1] <= numbers_W[:, None], axis=1, dtype=jnp.int32)
    firsts_W = before_G[groups_W] + (numbers_W - (behind_G - counts_G)[groups_W]) * size
    return jnp.stack([groups_W, firsts_W, starts_G[groups_W], ends_G[groups_W]])


_BAND = 8
"""Work items that take their turns together, column by column: they find in the second-level cache
the columns of the matrix that they share, and each its rows when the next columns come."""


def turn(number: Array, num_items: int, num_columns: int) -> tuple[Array, Array]:
    """Work item and block of columns of the program with this number, of all their pairs."""
    above = lax.div(number, _BAND * num_columns) * _BAND
    within = lax.rem(number, _BAND * num_columns)
    height = jnp.minimum(num_items - above, _BAND)
    return above + lax.rem(within, height), lax.div(within, height)
