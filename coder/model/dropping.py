# SPDX-License-Identifier: Apache-2.0
"""Token dropping in training (DeepSeek-V2, section 2.2.4): no group of experts takes too much.

A group takes `capacity_factor` times its even share of the choices of all tokens that are computed
together, all devices' tokens included. Where more choose it, the least liked are dropped; sequences
that are exempt lose none, but count, so that the others make room for them.

Letters of array names: B sequence, T position, K experts of a token, G groups of experts, Y choices
of all tokens side by side.
"""

import jax
import jax.numpy as jnp
from jax import Array

from coder.config import MoeConfig
from coder.model.routing import Choice
from coder.sharding import spec


def dropped(choice: Choice, segment_ids_BT: Array, droppable_B: Array, moe: MoeConfig) -> Array:
    """Whether a choice is dropped, [B, T, K]; no choice of padding is.

    Args:
        choice: what the tokens chose.
        segment_ids_BT: 0 where a position is padding, which takes no room.
        droppable_B: sequences that are not exempt.
        moe: the capacity.
    """
    real_BTK = jnp.broadcast_to(segment_ids_BT[..., None] > 0, choice.experts_BTK.shape)
    groups_BTK = choice.experts_BTK // (moe.num_experts // moe.num_groups)
    groups_BTK = jnp.where(real_BTK, groups_BTK, moe.num_groups)
    exempt_B11 = ~droppable_B[:, None, None]
    liking_BTK = jnp.where(exempt_B11, jnp.inf, jax.lax.stop_gradient(choice.affinities_BTK))
    rank_BTK = _ranks(groups_BTK, liking_BTK, moe.num_groups)
    share = jnp.sum(real_BTK) * (moe.capacity_factor / moe.num_groups)
    return real_BTK & ~exempt_B11 & (rank_BTK >= jnp.ceil(share))


def _ranks(groups_BTK: Array, liking_BTK: Array, num_groups: int) -> Array:
    """How many choices of the same group are liked better; of equals, the earlier one is."""
    groups_Y, liking_Y = (_everywhere(x).reshape(-1) for x in (groups_BTK, liking_BTK))
    order_Y = jnp.lexsort((-liking_Y, groups_Y))
    place_Y = jnp.argsort(order_Y)
    sizes_G = jnp.sum(groups_Y[:, None] == jnp.arange(num_groups + 1), axis=0)
    first_G = jnp.cumsum(sizes_G) - sizes_G
    rank_BTK = (place_Y - first_G[groups_Y]).reshape(groups_BTK.shape)
    place = spec("batch", None, None)
    return rank_BTK if place is None else jax.reshard(rank_BTK, place)


def _everywhere(x: Array) -> Array:
    """`x` whole on every device."""
    return x if spec() is None else jax.reshard(x, jax.P())
