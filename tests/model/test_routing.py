# SPDX-License-Identifier: Apache-2.0
"""Which experts are chosen, and which choices are dropped, against plain loops."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coder.config import MoeConfig
from coder.model.dropping import dropped
from coder.model.routing import Choice, affinities, choose, weights

pytestmark = pytest.mark.usefixtures("compiled_at_once")

GREEDY = MoeConfig(num_experts=12, experts_per_token=3, num_groups=4, groups_per_token=2)
GROUPED = dataclasses.replace(GREEDY, routing="group_limited_greedy")
BATCH, LENGTH = 3, 4

chooses = jax.jit(choose, static_argnums=1)
drops = jax.jit(dropped, static_argnums=3)


def choose_slowly(affinities_E: np.ndarray, moe: MoeConfig) -> list[int]:
    """The chosen experts of one token, the likeliest first."""
    size = moe.num_experts // moe.num_groups
    experts = list(range(moe.num_experts))
    if moe.routing == "group_limited_greedy":
        best = sorted(range(moe.num_groups), key=lambda g: -max(affinities_E[g * size :][:size]))
        experts = [e for e in experts if e // size in best[: moe.groups_per_token]]
    return sorted(experts, key=lambda e: -affinities_E[e])[: moe.experts_per_token]


seeds = st.integers(0, 2**16)


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from([GREEDY, GROUPED]), st.booleans())
def test_the_choice_is_that_of_plain_loops(seed: int, moe: MoeConfig, with_equals: bool):
    rng = np.random.default_rng(seed)
    scores = rng.random((BATCH, LENGTH, moe.num_experts), np.float32)
    if with_equals:
        scores = np.round(4 * scores) / 4
    choice = chooses(scores, moe)
    for place in np.ndindex(BATCH, LENGTH):
        expected = choose_slowly(scores[place], moe)
        assert choice.experts_BTK[place].tolist() == expected
        np.testing.assert_array_equal(choice.affinities_BTK[place], scores[place][expected])


def test_affinities_are_a_softmax_in_float32():
    x = jax.random.normal(jax.random.key(0), (BATCH, LENGTH, 8), jnp.bfloat16)
    router = jax.random.normal(jax.random.key(1), (8, 12))
    logits = np.asarray(x, np.float64) @ np.asarray(router, np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(affinities(x, router), expected, rtol=1e-5)


def test_weights_are_normalised_or_scaled_and_never_both():
    moe = dataclasses.replace(GREEDY, routed_scaling_factor=16.0)
    chosen = jnp.asarray([[[0.4, 0.2, 0.2]]])
    np.testing.assert_allclose(weights(chosen, moe), 16.0 * chosen)
    normalised = dataclasses.replace(moe, normalise_weights=True)
    np.testing.assert_allclose(weights(chosen, normalised), [[[0.5, 0.25, 0.25]]], rtol=1e-6)


def drop_slowly(
    choice: Choice, segment_ids: np.ndarray, droppable: np.ndarray, moe: MoeConfig
) -> np.ndarray:
    """Takes the least liked choice of a group that may be dropped, until the rest fits."""
    size = moe.num_experts // moe.num_groups
    is_dropped = np.zeros(choice.experts_BTK.shape, bool)
    real = [p for p in np.ndindex(is_dropped.shape) if segment_ids[p[:2]] > 0]
    capacity = np.ceil(np.float32(len(real) * (moe.capacity_factor / moe.num_groups)))
    for group in range(moe.num_groups):
        of_group = [p for p in real if choice.experts_BTK[p] // size == group]
        by_liking = sorted(of_group, key=lambda p: -choice.affinities_BTK[p])
        while len(of_group) > capacity:
            candidates = [p for p in by_liking if droppable[p[0]] and not is_dropped[p]]
            if not candidates:
                break
            is_dropped[candidates[-1]] = True
            of_group.remove(candidates[-1])
    return is_dropped


@settings(max_examples=30, deadline=None)
@given(seeds, st.lists(st.booleans(), min_size=BATCH, max_size=BATCH))
def test_what_is_dropped_is_what_plain_loops_drop(seed: int, droppable: list[bool]):
    moe = dataclasses.replace(GROUPED, capacity_factor=1.0)
    rng = np.random.default_rng(seed)
    segments = (rng.random((BATCH, LENGTH)) < 0.8).astype(np.int32)
    # Some experts are liked more, so that groups overflow.
    logits = rng.normal(size=(BATCH, LENGTH, moe.num_experts)) + np.linspace(0, 2, moe.num_experts)
    choice = jax.device_get(chooses(jax.nn.softmax(jnp.asarray(logits, jnp.float32)), moe))
    found = drops(choice, segments, np.asarray(droppable), moe)
    np.testing.assert_array_equal(found, drop_slowly(choice, segments, np.asarray(droppable), moe))
    assert not np.any(found[~np.asarray(droppable)])


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.5, 4.0])
def test_no_group_takes_more_than_its_capacity(factor: float):
    moe = dataclasses.replace(GREEDY, capacity_factor=factor)
    scores = jax.nn.softmax(jax.random.normal(jax.random.key(0), (8, 16, 12)) * 2)
    choice = chooses(scores, moe)
    found = drops(choice, jnp.ones((8, 16), jnp.int32), jnp.ones(8, bool), moe)
    kept = np.where(found, moe.num_experts, choice.experts_BTK) // 3
    loads = np.bincount(kept.ravel(), minlength=5)[:4]
    assert loads.max() <= np.ceil(8 * 16 * 3 * factor / 4)
    assert np.any(found) == (factor <= 1.0)
