# SPDX-License-Identifier: Apache-2.0
"""Which experts see a token (DeepSeek-V2, sections 2.2.1 and 2.2.2), and whom it is kept from.

Letters of array names: B sequence, T position, D model, E routed experts, G groups of experts, K
experts of a token.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from coder.config import MoeConfig


class Choice(NamedTuple):
    """A token's experts, the likeliest first."""

    experts_BTK: Array
    """Their numbers."""
    affinities_BTK: Array
    """Their share in the softmax over all experts."""


def affinities(x_BTD: Array, router_DE: Array) -> Array:
    """softmax(x @ router) over all experts, in float32 whatever the types are."""
    logits_BTE = jnp.einsum(
        "BTD,DE->BTE",
        x_BTD.astype(jnp.float32),
        router_DE.astype(jnp.float32),
        precision="highest",
    )
    return jax.nn.softmax(logits_BTE, axis=-1)


def choose(affinities_BTE: Array, moe: MoeConfig) -> Choice:
    """The K likeliest experts, in group-limited routing among those of the M likeliest groups.

    A group is as likely as its likeliest expert. Of equals the first is taken.
    """
    candidates_BTE = affinities_BTE
    if moe.routing == "group_limited_greedy":
        candidates_BTE = jnp.where(_in_best_groups(affinities_BTE, moe), affinities_BTE, -1.0)
    _, experts_BTK = jax.lax.top_k(candidates_BTE, moe.experts_per_token)
    return Choice(experts_BTK, jnp.take_along_axis(affinities_BTE, experts_BTK, axis=-1))


def num_candidates(moe: MoeConfig) -> int:
    """Experts that a token may be sent to."""
    if moe.routing == "greedy":
        return moe.num_experts
    return moe.num_experts // moe.num_groups * moe.groups_per_token


def weights(affinities_BTK: Array, moe: MoeConfig) -> Array:
    """The factors of the chosen experts' outputs: normalised or scaled, never both."""
    if moe.normalise_weights:
        return affinities_BTK / jnp.sum(affinities_BTK, axis=-1, keepdims=True)
    return affinities_BTK * moe.routed_scaling_factor


def chosen(experts_BTK: Array, num_experts: int) -> Array:
    """[B, T, E]: whether an expert is among the token's."""
    return jnp.any(experts_BTK[..., None] == jnp.arange(num_experts), axis=-2)


def by_group(x_BTE: Array, num_groups: int) -> Array:
    """[..., E] as [..., G, E / G]."""
    return x_BTE.reshape(*x_BTE.shape[:-1], num_groups, -1)


def _in_best_groups(affinities_BTE: Array, moe: MoeConfig) -> Array:
    groups_BTG = jnp.max(by_group(affinities_BTE, moe.num_groups), axis=-1)
    _, best_BTM = jax.lax.top_k(groups_BTG, moe.groups_per_token)
    best_BTG = chosen(best_BTM, moe.num_groups)
    return jnp.repeat(best_BTG, moe.num_experts // moe.num_groups, axis=-1)
