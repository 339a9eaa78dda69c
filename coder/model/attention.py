# SPDX-License-Identifier: Apache-2.0
"""Grouped-query self-attention (Ainslie et al., 2023) of a decoder layer."""

from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax import Array

from coder.config import ModelConfig
from coder.model.layers import project_by, weight
from coder.model.rope import Rotation, rotate_halves
from coder.sharding import per_device, spec
from kernels.attention import attention
from kernels.decode import decode


class Kept(NamedTuple):
    """What later positions need of earlier ones."""

    key_BKTH: Array
    """Rotated keys."""
    value_BKTH: Array
    """Values."""


class SelfAttention(nnx.Module):
    """Projections and rotary positions around `kernels.attention` and `kernels.decode`."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        """Draws the four matrices, heads side by side."""
        self.head_dim = config.head_dim
        queries, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        std, d_model = config.init_std, config.d_model
        self.query_DQ = weight(rngs, (d_model, queries), ("embed", "heads"), std)
        self.key_DK = weight(rngs, (d_model, keys), ("embed", "kv_heads"), std)
        self.value_DK = weight(rngs, (d_model, keys), ("embed", "kv_heads"), std)
        self.output_QD = weight(rngs, (queries, d_model), ("heads", "embed"), std)

    def heads(self, x_BTD: Array, rotation: Rotation) -> tuple[Array, Kept]:
        """Queries [B, N, T, H] and what is kept of the positions; queries and keys are rotated."""
        query_BNTH = rotate_halves(self._split(x_BTD, "query_DQ", "heads"), rotation)
        key_BKTH = rotate_halves(self._split(x_BTD, "key_DK", "kv_heads"), rotation)
        return query_BNTH, Kept(key_BKTH, self._split(x_BTD, "value_DK", "kv_heads"))

    def attend(self, query_BNTH: Array, kept: Kept, segment_ids_BT: Array) -> Array:
        """Causal attention within segments, heads side by side: [B, T, Q]."""
        queries, keys = ("batch", "heads", None, None), ("batch", "kv_heads", None, None)
        compute = per_device(
            lambda q, k, v, segment_ids: attention(q, k, v, segment_ids=segment_ids),
            (queries, keys, keys, ("batch", None)),
            queries,
        )
        return side_by_side(compute(query_BNTH, *kept, segment_ids_BT))

    def attend_cached(self, query_BN1H: Array, kept: Kept, filled_B: Array, places: int) -> Array:
        """Attention of one new position over kept ones, [B, 1, Q].

        Args:
            query_BN1H: the new position's queries.
            kept: of all places of a cache; anything finite where there is no position yet.
            filled_B: places of each row that hold a position of its text, at least 1.
            places: the first places, which are all that is looked at.
        """
        query_BNH = query_BN1H[:, :, 0]
        attended_BNH = decode(query_BNH, *kept, filled_B, places=places)
        return side_by_side(attended_BNH[:, :, None])

    def merge(self, attended_BTQ: Array) -> Array:
        """The output projection of all heads, [B, T, D]."""
        return project_by(self, "output_QD", attended_BTQ, None)

    def _split(self, x_BTD: Array, name: str, axis: str) -> Array:
        """One of the input projections, by heads: [B, N, T, H]."""
        return by_head(project_by(self, name, x_BTD, axis), self.head_dim, axis)


def by_head(x_BTQ: Array, head_dim: int, axis: str) -> Array:
    """[B, T, N * H] as [B, N, T, H]; `axis` is the heads' logical axis."""
    batch, length, width = x_BTQ.shape
    x_BTNH = jnp.reshape(
        x_BTQ,
        (batch, length, width // head_dim, head_dim),
        out_sharding=spec("batch", None, axis, None),
    )
    return x_BTNH.swapaxes(1, 2)


def side_by_side(x_BNTH: Array) -> Array:
    """[B, N, T, H] as [B, T, N * H]."""
    batch, num_heads, length, head_dim = x_BNTH.shape
    return jnp.reshape(
        x_BNTH.swapaxes(1, 2),
        (batch, length, num_heads * head_dim),
        out_sharding=spec("batch", None, "heads"),
    )


def check(config: ModelConfig) -> None:
    """Raises ValueError, which names the setting, where the heads do not fit each other."""
    for name in ("num_kv_heads", "head_dim"):
        if getattr(config, name) < 1:
            raise ValueError(f"model.{name}={getattr(config, name)}: must be at least 1")
    if config.num_heads % config.num_kv_heads:
        raise ValueError(
            f"model.num_kv_heads={config.num_kv_heads} does not divide "
            f"model.num_heads={config.num_heads}"
        )
    if config.head_dim % 2:
        raise ValueError(f"model.head_dim={config.head_dim}: must be even, RoPE rotates pairs")
