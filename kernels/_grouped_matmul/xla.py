# SPDX-License-Identifier: Apache-2.0
"""XLA's own ragged product."""

import jax
import jax.numpy as jnp
from jax import Array


def grouped_matmul(x_TI: Array, weight_EIO: Array, group_sizes_E: Array) -> Array:
    """See `kernels.grouped_matmul.grouped_matmul`."""
    in_a_group_T1 = (jnp.arange(x_TI.shape[0]) < jnp.sum(group_sizes_E))[:, None]
    # What the product has in rows of no group is not defined, nor what its derivative has.
    x_TI = jnp.where(in_a_group_T1, x_TI, 0)
    out_TO = jax.lax.ragged_dot(x_TI, weight_EIO.astype(x_TI.dtype), group_sizes_E)
    return jnp.where(in_a_group_T1, out_TO, 0)
