# SPDX-License-Identifier: Apache-2.0
"""Rotations against complex numbers in double precision, and what both kinds of scaling promise."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from coder.config import MlaConfig, ModelConfig, RopeScaling
from coder.model import rope

HALVES = ModelConfig(head_dim=16, rope_theta=10_000.0)
PAIRS = dataclasses.replace(HALVES, mla=MlaConfig(kv_lora_rank=8, qk_rope_head_dim=16))
LAYOUTS = {"halves": (HALVES, rope.rotate_halves), "pairs": (PAIRS, rope.rotate_pairs)}
V2_LITE = RopeScaling("yarn", 40.0, 4096, mscale=0.707, mscale_all_dim=0.707)


def scaled(config: ModelConfig, **scaling: Any) -> ModelConfig:
    return dataclasses.replace(config, rope_scaling=RopeScaling(**scaling))


def expected_rotation(x: np.ndarray, positions: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Su et al., section 3.2.2: pairs as complex numbers, times e ** (i * position * theta_i)."""
    width = x.shape[-1]
    theta = np.array([config.rope_theta ** (-2 * i / width) for i in range(width // 2)])
    turns = np.exp(1j * positions[..., None] * theta)
    if config.mla.kv_lora_rank:
        turned = (x[..., 0::2] + 1j * x[..., 1::2]) * turns
        return np.stack([turned.real, turned.imag], -1).reshape(x.shape)
    turned = (x[..., : width // 2] + 1j * x[..., width // 2 :]) * turns
    return np.concatenate([turned.real, turned.imag], -1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pairs_turn_as_complex_numbers_do(layout):
    config, rotate = LAYOUTS[layout]
    rng = np.random.default_rng(0)
    x, positions = rng.normal(size=(2, 3, 7, 16)), rng.integers(0, 5000, (2, 7))
    found = rotate(jnp.asarray(x, jnp.float32), rope.rotation(jnp.asarray(positions), config))
    np.testing.assert_allclose(found, expected_rotation(x, positions[:, None], config), atol=1e-6)


@jax.jit
def by_pairs_and_by_halves(x, positions):
    """Rotations in both layouts, the second of the same numbers de-interleaved."""
    halves = jnp.concatenate([x[..., 0::2], x[..., 1::2]], -1)
    return (
        rope.rotate_pairs(x, rope.rotation(positions, PAIRS)),
        rope.rotate_halves(halves, rope.rotation(positions, HALVES)),
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), start=st.integers(0, 163_800))
def test_what_every_rotation_keeps(seed, start):
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.normal(size=(1, 2, 5, 16)), jnp.float32)
    positions = jnp.asarray(rng.integers(0, 30, (1, 5)))
    pairs, halves = by_pairs_and_by_halves(x, positions)
    np.testing.assert_allclose(jnp.linalg.norm(pairs, axis=-1), jnp.linalg.norm(x, axis=-1), 1e-5)
    # The layouts differ by the order of the numbers only.
    np.testing.assert_allclose(pairs[..., 0::2], halves[..., :8], atol=1e-6)
    np.testing.assert_allclose(pairs[..., 1::2], halves[..., 8:], atol=1e-6)
    # Scores depend on how far positions are from each other, wherever they are.
    moved, _ = by_pairs_and_by_halves(x, positions + start)
    scores, moved_scores = (jnp.einsum("bnth,bnsh->bnts", y, y) for y in (pairs, moved))
    np.testing.assert_allclose(scores, moved_scores, atol=2e-5)


@pytest.mark.parametrize("config", [HALVES, dataclasses.replace(PAIRS, rope_scaling=V2_LITE)])
def test_angles_are_exact_far_from_the_beginning(config):
    positions = np.array([[0, 1, 4095, 4096, 65_537, 163_839, 999_999]])
    found = rope.rotation(jnp.asarray(positions), config)
    order = np.repeat if config.mla.kv_lora_rank else np.tile
    angles = positions[..., None] * order(rope.frequencies(config), 2)
    np.testing.assert_allclose(found.cos_B1TH[:, 0], np.cos(angles), atol=5e-7)
    np.testing.assert_allclose(abs(found.sin_B1TH[:, 0]), abs(np.sin(angles)), atol=5e-7)


def test_linear_scaling_divides_positions():
    linear = scaled(HALVES, kind="linear", factor=4.0)
    found = rope.rotation(jnp.asarray([[0, 4, 400]]), linear)
    expected = rope.rotation(jnp.asarray([[0, 1, 100]]), HALVES)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_ramp_of_v2():
    config = ModelConfig(mla=MlaConfig(kv_lora_rank=512), rope_theta=10_000.0, rope_scaling=V2_LITE)
    plain = 10_000.0 ** (-np.arange(32) / 32)
    found = rope.frequencies(config)
    np.testing.assert_allclose(found[:11], plain[:11], rtol=1e-6)
    np.testing.assert_allclose(found[23:], plain[23:] / 40, rtol=1e-6)
    for pair in range(11, 23):
        kept = (23 - pair) / 13
        assert found[pair] == pytest.approx(plain[pair] * (kept + (1 - kept) / 40), rel=1e-6)


@settings(max_examples=100, deadline=None)
@given(
    width=st.integers(2, 64).map(lambda pairs: 2 * pairs),
    theta=st.sampled_from([500.0, 10_000.0, 1e6]),
    original=st.integers(64, 10_000),
    factor=st.floats(1.0, 64.0),
    beta_slow=st.floats(0.5, 4.0),
    beta_fast=st.floats(5.0, 64.0),
)
def test_yarn_leaves_fast_angles_and_divides_slow_ones(
    width, theta, original, factor, beta_slow, beta_fast
):
    """YaRN, section 3.2, by the turns that an angle makes within the original positions."""
    assume(width * math.log(original / (2 * math.pi)) / (2 * math.log(theta)) <= width - 1)
    plain = dataclasses.replace(HALVES, head_dim=width, rope_theta=theta)
    yarn = scaled(
        plain,
        kind="yarn",
        factor=factor,
        original_positions=original,
        beta_fast=beta_fast,
        beta_slow=beta_slow,
    )
    divided_by = rope.frequencies(plain) / rope.frequencies(yarn)
    turns = original * rope.frequencies(plain) / (2 * np.pi)
    np.testing.assert_allclose(divided_by[turns >= beta_fast * (1 + 1e-9)], 1.0)
    np.testing.assert_allclose(divided_by[turns <= beta_slow * (1 - 1e-9)], factor)
    assert (np.diff(divided_by) >= -1e-9).all()


@pytest.mark.parametrize(
    ("mscale", "mscale_all_dim", "stretch", "factor"),
    [
        (0.0, 0.0, 0.1 * math.log(40) + 1, 1.0),
        (0.707, 0.707, 1.0, 1.58963),
        (1.0, 1.0, 1.0, 1.87385),
        (1.0, 0.707, (0.1 * math.log(40) + 1) / (0.0707 * math.log(40) + 1), 1.58963),
    ],
)
def test_the_temperature_of_yarn(mscale, mscale_all_dim, stretch, factor):
    """On the rotation (of the square root, twice in a score), and on the scores of MLA."""
    scaling = RopeScaling("yarn", 40.0, mscale=mscale, mscale_all_dim=mscale_all_dim)
    for config, _ in LAYOUTS.values():
        config = dataclasses.replace(config, rope_scaling=scaling)
        cos, sin = rope.rotation(jnp.asarray([[0, 3]]), config)
        np.testing.assert_allclose(cos[0, 0, 0], stretch, rtol=1e-6)
        np.testing.assert_allclose(cos**2 + sin**2, stretch**2, rtol=1e-6)
    assert rope.score_factor(scaling) == pytest.approx(factor, abs=1e-5)


def test_linear_scaling_has_no_temperature():
    linear = RopeScaling("linear", 40.0, mscale=1.0, mscale_all_dim=1.0)
    cos, _ = rope.rotation(jnp.asarray([[0]]), dataclasses.replace(HALVES, rope_scaling=linear))
    assert rope.score_factor(linear) == 1.0
    np.testing.assert_array_equal(cos, 1.0)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"kind": "linear", "factor": 0.5}, "model.rope_scaling.factor=0.5: must be"),
        ({"kind": "yarn", "factor": math.nan}, "model.rope_scaling.factor=nan"),
        ({"kind": "yarn", "mscale": -1.0}, "model.rope_scaling.mscale=-1.0"),
        ({"kind": "yarn", "mscale_all_dim": math.inf}, "model.rope_scaling.mscale_all_dim=inf"),
        ({"kind": "yarn", "beta_slow": 32.0}, "model.rope_scaling.beta_slow=32.0 must be"),
        ({"kind": "yarn", "beta_slow": 0.0}, "model.rope_scaling.beta_slow=0.0 must be"),
        ({"kind": "yarn", "original_positions": 6}, "model.rope_scaling.original_positions=6"),
    ],
)
def test_scaling_that_cannot_be_is_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        rope.check(scaled(HALVES, **bad))


@pytest.mark.parametrize("theta", [1.0, -1.0, math.nan, math.inf])
def test_a_base_that_cannot_be_is_refused(theta):
    with pytest.raises(ValueError, match="model.rope_theta="):
        rope.check(dataclasses.replace(HALVES, rope_theta=theta))


def test_settings_of_another_kind_are_ignored():
    rope.check(scaled(HALVES, kind="none", factor=0.0))
    rope.check(scaled(HALVES, kind="linear", beta_slow=99.0))
