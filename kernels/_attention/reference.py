# SPDX-License-Identifier: Apache-2.0
"""Attention as its definition reads, in float32: the oracle of the other implementations."""

import jax
import jax.numpy as jnp
from jax import Array

from kernels._attention.operands import Operands


def attention(
    operands: Operands, segment_ids_BT: Array | None, scale: float
) -> tuple[Array, Array]:
    """See `kernels.attention.attention_and_logsumexp`."""
    joined = operands.joined()
    q_BNTH, k_BKTH, v_BKTW = (x.astype(jnp.float32) for x in joined[:3])
    k_BNTH = jnp.repeat(k_BKTH, operands.group, axis=1)
    v_BNTW = jnp.repeat(v_BKTW, operands.group, axis=1)
    scores_BNTS = scale * jnp.einsum("BNTH,BNSH->BNTS", q_BNTH, k_BNTH, precision="highest")
    length = q_BNTH.shape[2]
    visible_BTS = jnp.tril(jnp.ones((1, length, length), bool))
    if segment_ids_BT is not None:
        visible_BTS &= segment_ids_BT[:, :, None] == segment_ids_BT[:, None, :]
    scores_BNTS = jnp.where(visible_BTS[:, None], scores_BNTS, -jnp.inf)
    weights_BNTS = jax.nn.softmax(scores_BNTS, axis=-1)
    out_BNTW = jnp.einsum("BNTS,BNSW->BNTW", weights_BNTS, v_BNTW, precision="highest")
    return out_BNTW.astype(operands.q_BNTH.dtype), jax.nn.logsumexp(scores_BNTS, axis=-1)
