# SPDX-License-Identifier: Apache-2.0
"""Attention in plain XLA operations, the portable implementation."""

import jax
import jax.numpy as jnp
from jax import Array

# Finite, so that the gradient of a masked score is 0 and not NaN.
_MASKED = -1e30


def attention(
    q_BNTH: Array, k_BKTH: Array, v_BKTH: Array, segment_ids_BT: Array | None, scale: float
) -> Array:
    """See `kernels.attention.attention`."""
    batch, num_heads, length, head_dim = q_BNTH.shape
    num_kv_heads = k_BKTH.shape[1]
    # The G query heads of a key head are rows of one matrix product with it.
    q_BKGTH = (q_BNTH * scale).reshape(
        batch, num_kv_heads, num_heads // num_kv_heads, length, head_dim
    )
    scores_BKGTS = jnp.einsum(
        "BKGTH,BKSH->BKGTS", q_BKGTH, k_BKTH, preferred_element_type=jnp.float32
    )
    scores_BKGTS += _bias(segment_ids_BT, length)
    weights_BKGTS = jax.nn.softmax(scores_BKGTS, axis=-1).astype(v_BKTH.dtype)
    return jnp.einsum("BKGTS,BKSH->BKGTH", weights_BKGTS, v_BKTH).reshape(q_BNTH.shape)


def _bias(segment_ids_BT: Array | None, length: int) -> Array:
    """0 where row t may see column s, else a large negative number; [B or 1, 1, 1, T, S]."""
    visible_BTS = jnp.tril(jnp.ones((1, length, length), bool))
    if segment_ids_BT is not None:
        visible_BTS &= segment_ids_BT[:, :, None] == segment_ids_BT[:, None, :]
    return jnp.where(visible_BTS, 0.0, _MASKED)[:, None, None]
