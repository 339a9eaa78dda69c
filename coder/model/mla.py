# SPDX-License-Identifier: Apache-2.0
"""Multi-head latent attention (DeepSeek-V2, section 2.1).

Further letters of array names: C width of the latent, P width of the rotated part of a head, X = C
+ P, H width of the part that is not rotated, W width of a value head, R width of the queries'
latent, Q all query heads side by side, Y the heads' unrotated keys and values side by side, O all
value heads.
"""

from typing import Any, NamedTuple

from flax import nnx
from jax import Array

from coder.config import ModelConfig
from coder.model.layers import RmsNorm, weight
from coder.model.rope import Rotation

_LATENT_EPSILON = 1e-6
"""Of the norms of both latents, whatever rms_norm_eps is: the released model code fixes it."""


class Kept(NamedTuple):
    """What later positions need of earlier ones: C + P numbers a position, whatever N is."""

    latent_BTC: Array
    """Normalised latents."""
    rope_key_BTP: Array
    """The rotated key that all heads share."""


class LatentAttention(nnx.Module):
    """Keys and values made from a latent, which is all that is kept."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        """Draws the matrices."""
        self.shape = config.mla
        mla, std, d_model, num_heads = config.mla, config.init_std, config.d_model, config.num_heads
        queries = num_heads * (mla.qk_nope_head_dim + mla.qk_rope_head_dim)
        if mla.q_lora_rank:
            rank = mla.q_lora_rank
            self.query_down_DR = weight(rngs, (d_model, rank), ("embed", None), std)
            self.query_norm = RmsNorm(rank, _LATENT_EPSILON)
            self.query_up_RQ = weight(rngs, (rank, queries), (None, "heads"), std)
        else:
            self.query_DQ = weight(rngs, (d_model, queries), ("embed", "heads"), std)
        kept, rank = mla.kv_lora_rank + mla.qk_rope_head_dim, mla.kv_lora_rank
        made = num_heads * (mla.qk_nope_head_dim + mla.v_head_dim)
        self.down_DX = weight(rngs, (d_model, kept), ("embed", None), std)
        self.latent_norm = RmsNorm(rank, _LATENT_EPSILON)
        self.up_CY = weight(rngs, (rank, made), (None, "heads"), std)
        values = num_heads * mla.v_head_dim
        self.output_OD = weight(rngs, (values, d_model), ("heads", "embed"), std)

    def heads(self, x_BTD: Array, rotation: Rotation) -> tuple[Any, Kept]:
        """Queries of both parts, and what is kept of the positions."""
        raise NotImplementedError

    def attend(self, query: Any, kept: Kept, segment_ids_BT: Array) -> Array:
        """Causal attention within segments, with keys and values made anew: [B, T, O]."""
        raise NotImplementedError

    def attend_cached(self, query: Any, kept: Kept, visible_BS: Array) -> Array:
        """Attention of one new position over S kept ones in the absorbed form, [B, 1, O]."""
        raise NotImplementedError

    def merge(self, attended_BTO: Array) -> Array:
        """The output projection of all heads, [B, T, D]."""
        raise NotImplementedError
