# SPDX-License-Identifier: Apache-2.0
"""XLA's own ragged product."""

import jax
import jax.numpy as jnp
from jax import Array


def grouped_matmul(x_TI: Array, weight_EIO: Array, group_sizes_E: Array) -> Array:
    """See `kernels.grouped_matmul.grouped_matmul`."""
    out_TO = jax.lax.ragged_dot(x_TI, weight_EIO.astype(x_TI.dtype), group_sizes_E)
    in_a_group_T = jnp.arange(x_TI.shape[0]) < jnp.sum(group_sizes_E)
    return jnp.where(in_a_group_T[:, None], out_TO, 0)
