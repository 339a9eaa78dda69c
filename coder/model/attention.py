# SPDX-License-Identifier: Apache-2.0
"""Grouped-query self-attention (Ainslie et al., 2023) of a decoder layer."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from coder.config import ModelConfig
from coder.model.layers import project, weight
from coder.model.rope import Rotation, rotate
from coder.sharding import per_device, spec
from kernels.attention import attention

_QUERY_AXES = ("batch", "heads", None, None)
_KEY_AXES = ("batch", "kv_heads", None, None)


class SelfAttention(nnx.Module):
    """Projections and rotary positions around `kernels.attention`."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        self.head_dim = config.head_dim
        query_width, key_width = (
            config.num_heads * config.head_dim,
            config.num_kv_heads * config.head_dim,
        )
        std, d_model = config.init_std, config.d_model
        self.query_DQ = weight(rngs, (d_model, query_width), ("embed", "heads"), std)
        self.key_DK = weight(rngs, (d_model, key_width), ("embed", "kv_heads"), std)
        self.value_DK = weight(rngs, (d_model, key_width), ("embed", "kv_heads"), std)
        self.output_QD = weight(rngs, (query_width, d_model), ("heads", "embed"), std)

    def heads(self, x_BTD: Array, rotation: Rotation) -> tuple[Array, Array, Array]:
        """Queries [B, N, T, H], keys and values [B, K, T, H]; queries and keys are rotated."""
        query_BNTH = self._split(project(x_BTD, self.query_DQ, "heads"), _QUERY_AXES)
        key_BKTH = self._split(project(x_BTD, self.key_DK, "kv_heads"), _KEY_AXES)
        value_BKTH = self._split(project(x_BTD, self.value_DK, "kv_heads"), _KEY_AXES)
        return rotate(query_BNTH, rotation), rotate(key_BKTH, rotation), value_BKTH

    def attend(
        self, query_BNTH: Array, key_BKTH: Array, value_BKTH: Array, segment_ids_BT: Array
    ) -> Array:
        """Causal attention within segments, [B, N, T, H]."""
        compute = per_device(
            lambda q, k, v, segment_ids: attention(q, k, v, segment_ids=segment_ids),
            (_QUERY_AXES, _KEY_AXES, _KEY_AXES, ("batch", None)),
            _QUERY_AXES,
        )
        return compute(query_BNTH, key_BKTH, value_BKTH, segment_ids_BT)

    def merge(self, attended_BNTH: Array) -> Array:
        """The output projection of all heads, [B, T, D]."""
        batch, _, length, _ = attended_BNTH.shape
        attended_BTQ = jnp.reshape(
            attended_BNTH.swapaxes(1, 2),
            (batch, length, -1),
            out_sharding=spec("batch", None, "heads"),
        )
        return project(attended_BTQ, self.output_QD, None)

    def _split(self, x_BTQ: Array, axes: tuple[str | None, ...]) -> Array:
        batch, length, width = x_BTQ.shape
        batch_axis, heads_axis, _, _ = axes
        x_BTNH = jnp.reshape(
            x_BTQ,
            (batch, length, width // self.head_dim, self.head_dim),
            out_sharding=spec(batch_axis, None, heads_axis, None),
        )
        return x_BTNH.swapaxes(1, 2)


def attend_cached(
    query_BN1H: Array, key_BKSH: Array, value_BKSH: Array, visible_BS: Array
) -> Array:
    """Attention of one new position over the cached ones, [B, N, 1, H].

    Args:
        query_BN1H: the new position's queries.
        key_BKSH: cached keys, in places that are not visible anything finite.
        value_BKSH: cached values, likewise.
        visible_BS: whether a place holds a position of the row's text.
    """
    batch, num_heads, _, head_dim = query_BN1H.shape
    num_kv_heads = key_BKSH.shape[1]
    query_BKGH = query_BN1H.reshape(batch, num_kv_heads, num_heads // num_kv_heads, head_dim)
    scores_BKGS = jnp.einsum(
        "BKGH,BKSH->BKGS", query_BKGH, key_BKSH, preferred_element_type=jnp.float32
    )
    scores_BKGS = jnp.where(visible_BS[:, None, None], scores_BKGS * head_dim**-0.5, -jnp.inf)
    weights_BKGS = jax.nn.softmax(scores_BKGS, axis=-1).astype(value_BKSH.dtype)
    return jnp.einsum("BKGS,BKSH->BKGH", weights_BKGS, value_BKSH).reshape(query_BN1H.shape)
