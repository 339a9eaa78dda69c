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


class SelfAttention(nnx.Module):
    """Projections and rotary positions around `kernels.attention`."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        """Draws the four matrices, heads side by side."""
        self.head_dim = config.head_dim
        queries, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        std, d_model = config.init_std, config.d_model
        self.query_DQ = weight(rngs, (d_model, queries), ("embed", "heads"), std)
        self.key_DK = weight(rngs, (d_model, keys), ("embed", "kv_heads"), std)
        self.value_DK = weight(rngs, (d_model, keys), ("embed", "kv_heads"), std)
        self.output_QD = weight(rngs, (queries, d_model), ("heads", "embed"), std)

    def heads(self, x_BTD: Array, rotation: Rotation) -> tuple[Array, Array, Array]:
        """Queries [B, N, T, H], keys and values [B, K, T, H]; queries and keys are rotated."""
        query_BNTH = self._split(x_BTD, self.query_DQ, "heads")
        key_BKTH = self._split(x_BTD, self.key_DK, "kv_heads")
        value_BKTH = self._split(x_BTD, self.value_DK, "kv_heads")
        return rotate(query_BNTH, rotation), rotate(key_BKTH, rotation), value_BKTH

    def attend(
        self, query_BNTH: Array, key_BKTH: Array, value_BKTH: Array, segment_ids_BT: Array
    ) -> Array:
        """Causal attention within segments, [B, N, T, H]."""
        queries, keys = ("batch", "heads", None, None), ("batch", "kv_heads", None, None)
        compute = per_device(
            lambda q, k, v, segment_ids: attention(q, k, v, segment_ids=segment_ids),
            (queries, keys, keys, ("batch", None)),
            queries,
        )
        return compute(query_BNTH, key_BKTH, value_BKTH, segment_ids_BT)

    def merge(self, attended_BNTH: Array) -> Array:
        """The output projection of all heads, [B, T, D]."""
        batch, num_heads, length, head_dim = attended_BNTH.shape
        attended_BTQ = jnp.reshape(
            attended_BNTH.swapaxes(1, 2),
            (batch, length, num_heads * head_dim),
            out_sharding=spec("batch", None, "heads"),
        )
        return project(attended_BTQ, self.output_QD[...], None)

    def _split(self, x_BTD: Array, weight_DQ: nnx.Param, axis: str) -> Array:
        """One of the input projections, by heads: [B, N, T, H]."""
        x_BTQ = project(x_BTD, weight_DQ[...], axis)
        batch, length, width = x_BTQ.shape
        x_BTNH = jnp.reshape(
            x_BTQ,
            (batch, length, width // self.head_dim, self.head_dim),
            out_sharding=spec("batch", None, axis, None),
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
