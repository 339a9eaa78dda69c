# SPDX-License-Identifier: Apache-2.0
"""Which rows of which group a program of the GPU kernels multiplies.

W is a work item: a block of rows of one group. The rows behind the last group are one more group,
number E, without a matrix: their results are 0.
"""

import jax.numpy as jnp
from jax import Array
from jax.experimental import pallas as pl


def spans(num_rows: int, group_sizes_E: Array) -> Array:
    """First row of each group, and the row behind its last, int32 [2, E]."""
    ends_E = jnp.minimum(jnp.cumsum(group_sizes_E.astype(jnp.int32)), num_rows)
    return jnp.stack([jnp.pad(ends_E[:-1], (1, 0)), ends_E])


def items(num_rows: int, group_sizes_E: Array, size: int) -> Array:
    """All blocks of `size` rows: group, first row, row behind the group; int32 [3, W].

    A block begins where its group or the block before it ends, so that only the last of a group
    reaches into the next. W is what is enough for groups of any size; items too many come last,
    have no rows, and belong to group E.
    """
    starts_E, ends_E = spans(num_rows, group_sizes_E)
    starts_G = jnp.append(starts_E, ends_E[-1])
    ends_G = jnp.append(ends_E, num_rows)
    counts_G = pl.cdiv(ends_G - starts_G, size)
    behind_G = jnp.cumsum(counts_G)
    numbers_W = jnp.arange(pl.cdiv(num_rows, size) + len(group_sizes_E), dtype=jnp.int32)
    groups_W = jnp.sum(behind_G[:-1] <= numbers_W[:, None], axis=1, dtype=jnp.int32)
    before_W = (behind_G - counts_G)[groups_W]
    firsts_W = starts_G[groups_W] + (numbers_W - before_W) * size
    return jnp.stack([groups_W, firsts_W, ends_G[groups_W]])
