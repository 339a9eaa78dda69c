# SPDX-License-Identifier: Apache-2.0
"""Attention as its definition reads, in float32: the oracle of the other implementations."""

import jax
import jax.numpy as jnp
from jax import Array


def attention(
    q_BNTH: Array, k_BKTH: Array, v_BKTW: Array, segment_ids_BT: Array | None, scale: float
) -> Array:
    """See `kernels.attention.attention`."""
    group = q_BNTH.shape[1] // k_BKTH.shape[1]
    q, k, v = (x.astype(jnp.float32) for x in (q_BNTH, k_BKTH, v_BKTW))
    k_BNTH, v_BNTW = jnp.repeat(k, group, axis=1), jnp.repeat(v, group, axis=1)
    scores_BNTS = scale * jnp.einsum("BNTH,BNSH->BNTS", q, k_BNTH, precision="highest")
    length = q_BNTH.shape[2]
    visible_BTS = jnp.tril(jnp.ones((1, length, length), bool))
    if segment_ids_BT is not None:
        visible_BTS &= segment_ids_BT[:, :, None] == segment_ids_BT[:, None, :]
    scores_BNTS = jnp.where(visible_BTS[:, None], scores_BNTS, -jnp.inf)
    weights_BNTS = jax.nn.softmax(scores_BNTS, axis=-1)
    return jnp.einsum("BNTS,BNSW->BNTW", weights_BNTS, v_BNTW, precision="highest").astype(
        q_BNTH.dtype
    )
