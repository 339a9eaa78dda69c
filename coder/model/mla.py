# SPDX-License-Identifier: Apache-2.0
"""Multi-head latent attention (DeepSeek-V2, section 2.1).

Further letters of array names: C width of the latent, P width of the rotated part of a head, X = C
+ P, H width of the part that is not rotated, W width of a value head, R width of the queries'
latent, Q all query heads side by side, Y the heads' unrotated keys and values side by side (in an
array by heads: of one), O all value heads.
"""

from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax import Array

from coder.config import MlaConfig, ModelConfig
from coder.model.attention import by_head, side_by_side
from coder.model.layers import RmsNorm, adapted_weight, project_by, weight
from coder.model.rope import Rotation, rotate_pairs, score_factor
from coder.sharding import per_device
from kernels.attention import attention
from kernels.decode import decode

_LATENT_EPSILON = 1e-6
"""Of the norms of both latents, whatever rms_norm_eps is: the released model code fixes it."""


class Queries(NamedTuple):
    """Of every head, in two parts, as the keys are."""

    content_BNTH: Array
    rope_BNTP: Array
    """Rotated."""


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
        self.scale = _key_width(config.mla) ** -0.5 * score_factor(config.rope_scaling)
        mla, std, d_model, num_heads = config.mla, config.init_std, config.d_model, config.num_heads
        queries, made = num_heads * _key_width(mla), num_heads * _made_width(mla)
        if mla.q_lora_rank:
            self.query_down_DR = weight(rngs, (d_model, mla.q_lora_rank), ("embed", None), std)
            self.query_norm = RmsNorm(mla.q_lora_rank, _LATENT_EPSILON)
            self.query_up_RQ = weight(rngs, (mla.q_lora_rank, queries), (None, "heads"), std)
        else:
            self.query_DQ = weight(rngs, (d_model, queries), ("embed", "heads"), std)
        kept = mla.kv_lora_rank + mla.qk_rope_head_dim
        self.down_DX = weight(rngs, (d_model, kept), ("embed", None), std)
        self.latent_norm = RmsNorm(mla.kv_lora_rank, _LATENT_EPSILON)
        self.up_CY = weight(rngs, (mla.kv_lora_rank, made), (None, "heads"), std)
        values = num_heads * mla.v_head_dim
        self.output_OD = weight(rngs, (values, d_model), ("heads", "embed"), std)

    def heads(self, x_BTD: Array, rotation: Rotation) -> tuple[Queries, Kept]:
        """Queries, and what is kept of the positions."""
        shape = self.shape
        both_BNTI = by_head(self._queries(x_BTD), _key_width(shape), "heads")
        content_BNTH, rope_BNTP = jnp.split(both_BNTI, [shape.qk_nope_head_dim], axis=-1)
        queries = Queries(content_BNTH, rotate_pairs(rope_BNTP, rotation))
        kept_BTX = project_by(self, "down_DX", x_BTD, None)
        latent_BTC, rope_key_BTP = jnp.split(kept_BTX, [shape.kv_lora_rank], axis=-1)
        rope_key_BTP = rotate_pairs(rope_key_BTP[:, None], rotation)[:, 0]
        return queries, Kept(self.latent_norm(latent_BTC), rope_key_BTP)

    def attend(self, queries: Queries, kept: Kept, segment_ids_BT: Array) -> Array:
        """Causal attention within segments, with keys and values made anew: [B, T, O]."""
        made_BTY = project_by(self, "up_CY", kept.latent_BTC, "heads")
        made_BNTY = by_head(made_BTY, _made_width(self.shape), "heads")
        heads, shared = ("batch", "heads", None, None), ("batch", None, None)
        compute = per_device(self._expanded, (heads, heads, heads, shared, shared[:-1]), heads)
        return side_by_side(compute(*queries, made_BNTY, kept.rope_key_BTP, segment_ids_BT))

    def attend_cached(self, queries: Queries, kept: Kept, filled_B: Array, places: int) -> Array:
        """Attention of one new position over kept ones, [B, 1, O], in the absorbed form.

        Args:
            queries: the new position's, T = 1.
            kept: of all places of a cache; anything finite where there is no position yet.
            filled_B: places of each row that hold a position of its text, at least 1.
            places: the first places, which are all that is looked at.
        """
        return self.absorbed().attend_cached(queries, kept, filled_B, places)

    def absorbed(self) -> "AbsorbedAttention":
        """The same attention for many steps of decoding, its matrix laid out once for all."""
        shape = self.shape
        up_CNY = adapted_weight(self, "up_CY").reshape(shape.kv_lora_rank, -1, _made_width(shape))
        key_CNH, value_CNW = jnp.split(up_CNY, [shape.qk_nope_head_dim], axis=-1)
        return AbsorbedAttention(self, key_CNH.transpose(1, 2, 0), value_CNW.swapaxes(0, 1))

    def merge(self, attended_BTO: Array) -> Array:
        """The output projection of all heads, [B, T, D]."""
        return project_by(self, "output_OD", attended_BTO, None)

    def _queries(self, x_BTD: Array) -> Array:
        """All query heads side by side, [B, T, Q]."""
        if not self.shape.q_lora_rank:
            return project_by(self, "query_DQ", x_BTD, "heads")
        latent_BTR = self.query_norm(project_by(self, "query_down_DR", x_BTD, None))
        return project_by(self, "query_up_RQ", latent_BTR, "heads")

    def _expanded(
        self,
        query_BNTH: Array,
        rope_query_BNTP: Array,
        made_BNTY: Array,
        rope_key_BTP: Array,
        segment_ids_BT: Array,
    ) -> Array:
        """Attention with the keys and values of every head, [B, N, T, W]."""
        key_BNTH, value_BNTW = jnp.split(made_BNTY, [self.shape.qk_nope_head_dim], axis=-1)
        return attention(
            query_BNTH,
            key_BNTH,
            value_BNTW,
            q_rope_BNTP=rope_query_BNTP,
            k_rope_BTP=rope_key_BTP,
            segment_ids=segment_ids_BT,
            scale=self.scale,
        )


class AbsorbedAttention(nnx.Module):
    """Latent attention that makes no key or value of a kept position (section 2.1.2).

    Queries go through the half of `up_CY` that makes keys, and what they attend to of the latents
    through the half that makes values. Both are products of every head, for which a CPU would
    otherwise bring the matrix into this order at every step, at many times their own cost.
    """

    def __init__(self, attention: LatentAttention, key_NHC: Array, value_NCW: Array):
        """Takes the halves of the matrix beside the attention that they are of."""
        self.attention = attention
        self.key_NHC = nnx.Variable(key_NHC)
        self.value_NCW = nnx.Variable(value_NCW)

    def heads(self, x_BTD: Array, rotation: Rotation) -> tuple[Queries, Kept]:
        """See `LatentAttention`."""
        return self.attention.heads(x_BTD, rotation)

    def attend(self, queries: Queries, kept: Kept, segment_ids_BT: Array) -> Array:
        """See `LatentAttention`."""
        return self.attention.attend(queries, kept, segment_ids_BT)

    def attend_cached(self, queries: Queries, kept: Kept, filled_B: Array, places: int) -> Array:
        """See `LatentAttention`."""
        content_BNH, rope_BNP = (part_BN1[:, :, 0] for part_BN1 in queries)
        dtype = content_BNH.dtype
        latent_BNC = decode(
            _by_each_head(content_BNH, self.key_NHC[...].astype(dtype)),
            kept.latent_BTC[:, None],
            None,
            filled_B,
            q_rope_BNP=rope_BNP,
            k_rope_BSP=kept.rope_key_BTP,
            scale=self.attention.scale,
            places=places,
        )
        attended_BNW = _by_each_head(latent_BNC, self.value_NCW[...].astype(dtype))
        return side_by_side(attended_BNW[:, :, None])

    def merge(self, attended_BTO: Array) -> Array:
        """See `LatentAttention`."""
        return self.attention.merge(attended_BTO)


def check(config: ModelConfig) -> None:
    """Raises ValueError, which names the setting, where the widths do not fit each other."""
    mla = config.mla
    smallest = {
        "kv_lora_rank": 1,
        "q_lora_rank": 0,
        "qk_nope_head_dim": 1,
        "qk_rope_head_dim": 2,
        "v_head_dim": 1,
    }
    for name, least in smallest.items():
        if getattr(mla, name) < least:
            raise ValueError(f"model.mla.{name}={getattr(mla, name)}: must be at least {least}")
    if mla.qk_rope_head_dim % 2:
        raise ValueError(
            f"model.mla.qk_rope_head_dim={mla.qk_rope_head_dim}: must be even, RoPE rotates pairs"
        )


def _key_width(shape: MlaConfig) -> int:
    return shape.qk_nope_head_dim + shape.qk_rope_head_dim


def _made_width(shape: MlaConfig) -> int:
    """Of what a latent makes for a head: its unrotated key and its value."""
    return shape.qk_nope_head_dim + shape.v_head_dim


def _by_each_head(x_BNI: Array, weight_NIO: Array) -> Array:
    """Every head's row by the head's own matrix, [B, N, O]."""
    # Written out for what XLA makes of it on a CPU: a vector times a matrix where there is one row,
    # a product of matrices where there are more. Each takes 4 to 10 times as long for the other.
    if len(x_BNI) == 1:
        return jnp.einsum("BNI,NIO->BNO", x_BNI, weight_NIO)
    return jnp.einsum("BNI,NIO->NBO", x_BNI, weight_NIO).swapaxes(0, 1)
