# SPDX-License-Identifier: Apache-2.0
"""Experts against every expert on every token, and what has to hold however tokens are routed."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import Array

from coder.config import ModelConfig, MoeConfig
from coder.model.moe import Experts

MOE = MoeConfig(
    num_experts=16,
    num_shared_experts=2,
    experts_per_token=3,
    d_expert=12,
    routing="group_limited_greedy",
    num_groups=4,
    groups_per_token=2,
    routed_scaling_factor=2.5,
    capacity_factor=1.0,
)
CONFIG = ModelConfig(
    vocab_size=50,
    d_model=16,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
    d_ff=24,
    init_std=0.3,
    moe=MOE,
)
SEGMENTS_BT = jnp.asarray([[1] * 7 + [2] * 11, [1] * 12 + [0] * 6], jnp.int32)


def draw(moe: MoeConfig = MOE) -> Experts:
    return Experts(dataclasses.replace(CONFIG, moe=moe), nnx.Rngs(params=0))


def activations(seed: int = 0) -> Array:
    return jax.random.normal(jax.random.key(seed), (*SEGMENTS_BT.shape, CONFIG.d_model))


def dense(experts: Experts, x_BTD: Array, segment_ids_BT: Array) -> Array:
    """Every expert on every token, times its weight, which is 0 where it is not chosen."""
    moe = experts.settings
    scores = jax.nn.softmax(jnp.einsum("btd,de->bte", x_BTD, experts.router_DE[...]), -1)
    allowed = jnp.ones_like(scores, bool)
    if moe.routing == "group_limited_greedy":
        groups = scores.reshape(*scores.shape[:-1], moe.num_groups, -1).max(-1)
        best = groups >= jnp.sort(groups, -1)[..., -moe.groups_per_token, None]
        allowed = jnp.repeat(best, moe.num_experts // moe.num_groups, -1)
    among = jnp.where(allowed, scores, 0.0)
    chosen = among >= jnp.sort(among, -1)[..., -moe.experts_per_token, None]
    weights = jnp.where(chosen, scores, 0.0)
    if moe.normalise_weights:
        weights /= weights.sum(-1, keepdims=True)
    else:
        weights *= moe.routed_scaling_factor
    gate = jnp.einsum("btd,edf->btef", x_BTD, experts.gate_EDF[...])
    up = jnp.einsum("btd,edf->btef", x_BTD, experts.up_EDF[...])
    out = jnp.einsum("btef,efd->bted", jax.nn.silu(gate) * up, experts.down_EFD[...])
    real = (segment_ids_BT > 0)[..., None]
    routed = jnp.einsum("bted,bte->btd", out, weights) * real
    return routed + (experts.shared(x_BTD) if moe.num_shared_experts else 0.0)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"routing": "greedy"},
        {"normalise_weights": True, "num_shared_experts": 0},
        {"num_groups": 1, "groups_per_token": 1, "experts_per_token": 16},
    ],
    ids=["grouped", "greedy", "normalised", "all"],
)
def test_values_and_gradients_are_those_of_every_expert_on_every_token(settings: dict[str, Any]):
    experts = draw(dataclasses.replace(MOE, **settings))
    towards = activations(1)

    def loss(apply: Any) -> Any:
        return lambda experts, x: jnp.sum(apply(experts, x) * towards)

    def fast(experts: Experts, x_BTD: Array) -> Array:
        return experts(x_BTD, SEGMENTS_BT, None)[0]

    def slow(experts: Experts, x_BTD: Array) -> Array:
        return dense(experts, x_BTD, SEGMENTS_BT)

    found, expected = (
        jax.jit(jax.value_and_grad(loss(apply), argnums=(0, 1)))(experts, activations())
        for apply in (fast, slow)
    )
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.linalg.norm(one - other) <= 2e-6 * np.linalg.norm(other)
