# SPDX-License-Identifier: Apache-2.0
"""The balance losses against the paper's equations, written as loops over tokens."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from coder.config import MoeConfig
from coder.model.balance import losses
from coder.model.routing import choose

pytestmark = pytest.mark.usefixtures("compiled_at_once")

MOE = MoeConfig(
    num_experts=12,
    experts_per_token=3,
    routing="group_limited_greedy",
    num_groups=4,
    groups_per_token=2,
    expert_balance=0.3,
    device_balance=0.0,
    communication_balance=0.0,
)
ALPHAS = ("expert_balance", "device_balance", "communication_balance")
ONLY = {
    name: dataclasses.replace(MOE, **{alpha: 0.7 * (alpha == name) for alpha in ALPHAS})
    for name in ALPHAS
}
SEGMENTS_BT = np.asarray([[1] * 9, [1, 1, 1, 2, 2, 0, 0, 0, 0], [0] * 9])


def by_the_equations(scores: Array, chosen: np.ndarray, alpha: float, name: str) -> Any:
    """Equations 23 to 31 for the scores [T, E] and choices [T, K] of one sequence.

    What the paper counts is counted with Python's integers, so that only P has a derivative.
    """
    length, num_experts = scores.shape
    num_groups, size = MOE.num_groups, num_experts // MOE.num_groups
    shares = list(jnp.sum(scores, axis=0) / length)
    counts = [sum(i in chosen[t] for t in range(length)) for i in range(num_experts)]
    loads = [num_experts / (MOE.experts_per_token * length) * count for count in counts]
    if name == "expert_balance":
        return alpha * sum(f * p for f, p in zip(loads, shares, strict=True))
    groups = [range(g * size, (g + 1) * size) for g in range(num_groups)]
    shares = [sum(shares[i] for i in group) for group in groups]
    if name == "device_balance":
        loads = [sum(loads[i] for i in group) / size for group in groups]
    else:
        sent = [sum(any(i in chosen[t] for i in g) for t in range(length)) for g in groups]
        loads = [num_groups / (MOE.groups_per_token * length) * count for count in sent]
    return alpha * sum(f * p for f, p in zip(loads, shares, strict=True))


@pytest.mark.parametrize("name", ALPHAS)
def test_values_and_gradients_are_those_of_the_equations(name: str):
    moe = ONLY[name]
    logits = 2 * jax.random.normal(jax.random.key(0), (*SEGMENTS_BT.shape, moe.num_experts))
    chosen = np.asarray(choose(jax.nn.softmax(logits), moe).experts_BTK)

    def fast(scores: Array) -> Array:
        return losses(scores, jnp.asarray(chosen), jnp.asarray(SEGMENTS_BT), moe)[0]

    def slow(scores: Array) -> Array:
        rows = []
        for row, segments in enumerate(SEGMENTS_BT):
            real = np.flatnonzero(segments)
            if len(real):
                rows.append(by_the_equations(scores[row][real], chosen[row][real], 0.7, name))
        return jnp.stack([*rows, jnp.float32(0.0)])

    def value_and_gradient(function: Callable[[Array], Array]) -> Any:
        weights_B = jnp.asarray([1.0, 3.0, 5.0])
        return jax.value_and_grad(lambda x: jnp.sum(weights_B * function(jax.nn.softmax(x))))(
            logits
        )

    assert fast(jax.nn.softmax(logits))[2] == 0.0
    for found, expected in zip(value_and_gradient(fast), value_and_gradient(slow), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ALPHAS)
def test_uniform_routing_costs_exactly_alpha(name: str):
    """Every expert as likely, and chosen as often, as every other."""
    moe = dataclasses.replace(ONLY[name], groups_per_token=3)
    scores = jnp.full((1, 12, 12), 1 / 12)
    # Token t takes experts t, t + 3 and t + 6, which lie in three of the four groups.
    chosen = (np.arange(12)[:, None] + 3 * np.arange(3)) % 12
    found, counts = losses(scores, jnp.asarray(chosen)[None], jnp.ones((1, 12), jnp.int32), moe)
    np.testing.assert_allclose(found, [0.7], rtol=1e-6)
    np.testing.assert_array_equal(counts, np.full((1, 12), 3.0))
