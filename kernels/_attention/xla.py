# SPDX-License-Identifier: Apache-2.0
"""Attention in plain XLA operations, the portable implementation.

The backward pass computes the weights anew from queries, keys and the logarithm of each row's sum
(Dao et al., "FlashAttention", 2022, section 3.1), so that nothing of size T * T is kept between
the passes: on a CPU, writing and reading it costs more than its products.
"""

import jax
import jax.numpy as jnp
from jax import Array

# Finite, so that the difference of two masked scores is a number.
_MASKED = -1e30

Residuals = tuple[Array, Array, Array, Array | None, Array, Array]


def attention(
    q_BNTH: Array, k_BKTH: Array, v_BKTH: Array, segment_ids_BT: Array | None, scale: float
) -> Array:
    """See `kernels.attention.attention`."""
    return _attention(q_BNTH, k_BKTH, v_BKTH, segment_ids_BT, scale)


def _value(
    q_BNTH: Array, k_BKTH: Array, v_BKTH: Array, segment_ids_BT: Array | None, scale: float
) -> Array:
    return _forward(q_BNTH, k_BKTH, v_BKTH, segment_ids_BT, scale)[0]


def _forward(
    q_BNTH: Array, k_BKTH: Array, v_BKTH: Array, segment_ids_BT: Array | None, scale: float
) -> tuple[Array, Residuals]:
    scores_BKRS = _scores(_rows(q_BNTH, k_BKTH), k_BKTH, segment_ids_BT, scale)
    largest_BKR1 = jnp.max(scores_BKRS, axis=-1, keepdims=True)
    weights_BKRS = jnp.exp(scores_BKRS - largest_BKR1)
    total_BKR1 = jnp.sum(weights_BKRS, axis=-1, keepdims=True)
    out_BKRH = _product("BKRS,BKSH->BKRH", weights_BKRS.astype(v_BKTH.dtype), v_BKTH) / total_BKR1
    out_BNTH = out_BKRH.astype(q_BNTH.dtype).reshape(q_BNTH.shape)
    log_total_BKR1 = largest_BKR1 + jnp.log(total_BKR1)
    return out_BNTH, (q_BNTH, k_BKTH, v_BKTH, segment_ids_BT, out_BNTH, log_total_BKR1)


def _backward(
    scale: float, residuals: Residuals, d_out_BNTH: Array
) -> tuple[Array, Array, Array, None]:
    q_BNTH, k_BKTH, v_BKTH, segment_ids_BT, out_BNTH, log_total_BKR1 = residuals
    dtype = q_BNTH.dtype
    q_BKRH, out_BKRH, d_out_BKRH = (_rows(x, k_BKTH) for x in (q_BNTH, out_BNTH, d_out_BNTH))
    weights_BKRS = jnp.exp(_scores(q_BKRH, k_BKTH, segment_ids_BT, scale) - log_total_BKR1)
    d_weights_BKRS = _product("BKRH,BKSH->BKRS", d_out_BKRH, v_BKTH)
    # The sum over s of weight * d_weight, by exchanging the two sums.
    mean_BKR1 = jnp.sum((out_BKRH * d_out_BKRH).astype(jnp.float32), axis=-1, keepdims=True)
    d_scores_BKRS = (scale * weights_BKRS * (d_weights_BKRS - mean_BKR1)).astype(dtype)
    d_q_BKRH = _product("BKRS,BKSH->BKRH", d_scores_BKRS, k_BKTH)
    d_k_BKTH = _product("BKRS,BKRH->BKSH", d_scores_BKRS, q_BKRH)
    d_v_BKTH = _product("BKRS,BKRH->BKSH", weights_BKRS.astype(dtype), d_out_BKRH)
    return (
        d_q_BKRH.astype(dtype).reshape(q_BNTH.shape),
        d_k_BKTH.astype(dtype),
        d_v_BKTH.astype(dtype),
        None,
    )


_attention = jax.custom_vjp(_value, nondiff_argnums=(4,))
_attention.defvjp(_forward, _backward)


def _rows(x_BNTH: Array, k_BKTH: Array) -> Array:
    """The N / K query heads of a key head as R = N / K * T rows of one matrix: [B, K, R, H]."""
    batch, num_kv_heads, _, head_dim = k_BKTH.shape
    return x_BNTH.reshape(batch, num_kv_heads, -1, head_dim)


def _scores(q_BKRH: Array, k_BKTH: Array, segment_ids_BT: Array | None, scale: float) -> Array:
    """Scaled products of queries and keys in float32; where row t may not see column s, -1e30."""
    scores_BKRS = scale * _product("BKRH,BKSH->BKRS", q_BKRH, k_BKTH)
    batch, num_kv_heads, _, length = scores_BKRS.shape
    visible_BTS = jnp.tril(jnp.ones((1, length, length), bool))
    if segment_ids_BT is not None:
        visible_BTS &= segment_ids_BT[:, :, None] == segment_ids_BT[:, None, :]
    scores_BKGTS = scores_BKRS.reshape(batch, num_kv_heads, -1, length, length)
    masked_BKGTS = jnp.where(visible_BTS[:, None, None], scores_BKGTS, _MASKED)
    return masked_BKGTS.reshape(scores_BKRS.shape)


def _product(formula: str, left: Array, right: Array) -> Array:
    return jnp.einsum(formula, left, right, preferred_element_type=jnp.float32)
