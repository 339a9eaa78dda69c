# SPDX-License-Identifier: Apache-2.0
"""Attention in plain XLA operations, the portable implementation.

Queries are taken in blocks, each with the keys up to its end, so that most of what causality masks
is never computed. The backward pass computes the weights anew from queries, keys and the logarithm
of each row's sum (Dao et al., "FlashAttention", 2022, section 3.1), so that nothing of size T * T
is kept between the passes: on a CPU, writing and reading it costs more than its products.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from kernels._attention.operands import Operands

# Finite, so that the difference of two masked scores is a number.
_MASKED = -1e30

_SMALLEST_BLOCK, _MOST_BLOCKS = 128, 8

Residuals = tuple[Array, Array, Array, Array | None, Array, Array]


def attention(
    operands: Operands, segment_ids_BT: Array | None, scale: float
) -> tuple[Array, Array]:
    """See `kernels.attention.attention_and_logsumexp`."""
    q_BNTH, k_BKTH, v_BKTW, *_ = operands.joined()
    length = q_BNTH.shape[2]
    block = max(_SMALLEST_BLOCK, -(-length // _MOST_BLOCKS))
    parts = []
    for start in range(0, length, block):
        end = min(start + block, length)
        segments = None if segment_ids_BT is None else segment_ids_BT[:, :end]
        parts.append(
            _last_rows(
                q_BNTH[:, :, start:end], k_BKTH[:, :, :end], v_BKTW[:, :, :end], segments, scale
            )
        )
    outs_BNTW, logsumexps_BNT = zip(*parts, strict=True)
    return jnp.concatenate(outs_BNTW, axis=2), jnp.concatenate(logsumexps_BNT, axis=2)


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _last_rows(
    q_BNTH: Array, k_BKSH: Array, v_BKSW: Array, segment_ids_BS: Array | None, scale: float
) -> tuple[Array, Array]:
    """Attention of the last T of S positions."""
    return _forward(q_BNTH, k_BKSH, v_BKSW, segment_ids_BS, scale)[0]


def _forward(
    q_BNTH: Array, k_BKSH: Array, v_BKSW: Array, segment_ids_BS: Array | None, scale: float
) -> tuple[tuple[Array, Array], Residuals]:
    scores_BKRS = scale * _product("BKRH,BKSH->BKRS", _rows(q_BNTH, k_BKSH), k_BKSH)
    visible_BTS = _visible(segment_ids_BS, q_BNTH.shape[2], k_BKSH.shape[2])
    scores_BKGTS = _by_head(scores_BKRS, q_BNTH.shape[2], axis=2)
    scores_BKGTS = jnp.where(visible_BTS[:, None, None], scores_BKGTS, _MASKED)
    scores_BKRS = scores_BKGTS.reshape(scores_BKRS.shape)
    largest_BKR1 = jnp.max(scores_BKRS, axis=-1, keepdims=True)
    weights_BKRS = jnp.exp(scores_BKRS - largest_BKR1)
    total_BKR1 = jnp.sum(weights_BKRS, axis=-1, keepdims=True)
    out_BKRW = _product("BKRS,BKSW->BKRW", weights_BKRS.astype(v_BKSW.dtype), v_BKSW) / total_BKR1
    out_BNTW = out_BKRW.astype(q_BNTH.dtype).reshape(*q_BNTH.shape[:-1], v_BKSW.shape[-1])
    log_total_BKR = (largest_BKR1 + jnp.log(total_BKR1))[..., 0]
    residuals = q_BNTH, k_BKSH, v_BKSW, segment_ids_BS, out_BNTW, log_total_BKR
    return (out_BNTW, log_total_BKR.reshape(q_BNTH.shape[:-1])), residuals


def _backward(
    scale: float, residuals: Residuals, d_outputs: tuple[Array, Array]
) -> tuple[Array, Array, Array, None]:
    """With the keys as rows: two of the three products that follow need no transposed operand."""
    q_BNTH, k_BKSH, v_BKSW, segment_ids_BS, out_BNTW, log_total_BKR = residuals
    d_out_BNTW, d_logsumexp_BNT = d_outputs
    dtype = q_BNTH.dtype
    q_BKRH, out_BKRW, d_out_BKRW = (_rows(x, k_BKSH) for x in (q_BNTH, out_BNTW, d_out_BNTW))
    scores_BKSR = scale * _product("BKSH,BKRH->BKSR", k_BKSH, q_BKRH)
    visible_BTS = _visible(segment_ids_BS, q_BNTH.shape[2], k_BKSH.shape[2])
    scores_BKSGT = _by_head(scores_BKSR, q_BNTH.shape[2], axis=3)
    visible_BS1T = visible_BTS.swapaxes(1, 2)[:, :, None]
    scores_BKSGT = jnp.where(visible_BS1T[:, None], scores_BKSGT, _MASKED)
    weights_BKSR = jnp.exp(scores_BKSGT.reshape(scores_BKSR.shape) - log_total_BKR[:, :, None])
    d_weights_BKSR = _product("BKSW,BKRW->BKSR", v_BKSW, d_out_BKRW)
    # The sum over s of weight * d_weight, by exchanging the two sums.
    mean_BKR = jnp.sum((out_BKRW * d_out_BKRW).astype(jnp.float32), axis=-1)
    mean_BKR -= d_logsumexp_BNT.reshape(mean_BKR.shape)
    d_scores_BKSR = scale * weights_BKSR * (d_weights_BKSR - mean_BKR[:, :, None])
    d_scores_BKSR = d_scores_BKSR.astype(dtype)
    d_q_BKRH = _product("BKSR,BKSH->BKRH", d_scores_BKSR, k_BKSH)
    d_k_BKSH = _product("BKSR,BKRH->BKSH", d_scores_BKSR, q_BKRH)
    d_v_BKSW = _product("BKSR,BKRW->BKSW", weights_BKSR.astype(dtype), d_out_BKRW)
    d_q_BNTH = d_q_BKRH.astype(dtype).reshape(q_BNTH.shape)
    return d_q_BNTH, d_k_BKSH.astype(dtype), d_v_BKSW.astype(dtype), None


_last_rows.defvjp(_forward, _backward)


def _rows(x_BNTH: Array, k_BKSH: Array) -> Array:
    """The G = N / K query heads of a key head as R = G * T rows of one matrix: [B, K, R, H]."""
    return x_BNTH.reshape(*k_BKSH.shape[:2], -1, x_BNTH.shape[-1])


def _by_head(scores: Array, length: int, axis: int) -> Array:
    """R split into G and T at `axis`."""
    shape = scores.shape
    return scores.reshape(*shape[:axis], -1, length, *shape[axis + 1 :])


def _visible(segment_ids_BS: Array | None, num_queries: int, num_keys: int) -> Array:
    """Whether each of the last positions may see each position, [B or 1, T, S]."""
    positions_S = jnp.arange(num_keys)
    visible_BTS = (positions_S <= positions_S[num_keys - num_queries :, None])[None]
    if segment_ids_BS is not None:
        segment_ids_BT = segment_ids_BS[:, num_keys - num_queries :]
        visible_BTS &= segment_ids_BT[:, :, None] == segment_ids_BS[:, None, :]
    return visible_BTS


def _product(formula: str, left: Array, right: Array) -> Array:
    return jnp.einsum(formula, left, right, preferred_element_type=jnp.float32)
