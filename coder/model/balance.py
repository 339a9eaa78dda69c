# SPDX-License-Identifier: Apache-2.0
"""Losses that keep experts and devices evenly loaded (DeepSeek-V2, section 2.2.3).

Letters of array names: B sequence, T position, E routed experts, G groups of experts (the paper's
devices), K experts of a token.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from coder.config import MoeConfig
from coder.model.routing import by_group, chosen


class Balance(NamedTuple):
    """How a layer's experts are loaded."""

    loss_B: Array
    """Sum of the balance losses of each sequence, float32; 0 where a row is all padding."""
    load_E: Array
    """Tokens that chose each expert, float32."""
    dropped: Array
    """How many of these choices were dropped, float32."""


def losses(
    affinities_BTE: Array, experts_BTK: Array, segment_ids_BT: Array, moe: MoeConfig
) -> tuple[Array, Array]:
    """The sum of the three losses by sequence (equations 23 to 31), [B], and the choices [B, E].

    A sequence is a row; its padding neither counts nor loads. Choices are counted before any is
    dropped, and have no derivative. At uniform routing each loss is its alpha.
    """
    real_BT1 = (segment_ids_BT > 0).astype(jnp.float32)[..., None]
    tokens_B1 = jnp.maximum(jnp.sum(real_BT1, axis=1), 1.0)
    chosen_BTE = jax.lax.stop_gradient(chosen(experts_BTK, moe.num_experts) * real_BT1)
    sent_BTG = jnp.max(by_group(chosen_BTE, moe.num_groups), axis=-1)
    counts_BE = jnp.sum(chosen_BTE, axis=1)
    load_BE = counts_BE / tokens_B1 * (moe.num_experts / moe.experts_per_token)
    share_BE = jnp.sum(affinities_BTE * real_BT1, axis=1) / tokens_B1
    share_BG = jnp.sum(by_group(share_BE, moe.num_groups), axis=-1)
    load_BG = jnp.mean(by_group(load_BE, moe.num_groups), axis=-1)
    sent_BG = jnp.sum(sent_BTG, axis=1) / tokens_B1 * (moe.num_groups / moe.groups_per_token)
    loss_B = (
        moe.expert_balance * jnp.sum(load_BE * share_BE, axis=-1)
        + moe.device_balance * jnp.sum(load_BG * share_BG, axis=-1)
        + moe.communication_balance * jnp.sum(sent_BG * share_BG, axis=-1)
    )
    return loss_B, counts_BE
