# SPDX-License-Identifier: Apache-2.0
"""The decoder: what has to hold for any of its settings. Against transformers: test_parity.py."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from coder.config import ModelConfig
from coder.model.presets import PRESETS
from coder.model.transformer import Decoder, flops_per_token, init_decoder
from tests.model.drawn import drawn_decoder

SMALL = ModelConfig(
    vocab_size=50,
    d_model=16,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
    d_ff=24,
    init_std=0.3,
)


def random_batch(batch_size: int = 2, length: int = 24) -> tuple[jax.Array, ...]:
    """Tokens, positions and segment ids of rows with two documents and some padding."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, SMALL.vocab_size, (batch_size, length))
    segments = np.repeat([1, 2, 0], [9, length - 13, 4])[None].repeat(batch_size, 0)
    positions = np.concatenate([np.arange(9), np.arange(length - 13), np.arange(4)])
    return tuple(
        jnp.asarray(x, jnp.int32) for x in (tokens, positions[None].repeat(batch_size, 0), segments)
    )


apply = jax.jit(Decoder.__call__)


@jax.jit
def loss_and_gradients(model: Decoder, *batch: jax.Array) -> tuple[jax.Array, Decoder]:
    def loss(model: Decoder) -> jax.Array:
        return jnp.mean(jnp.square(model(*batch) - 1.0))

    return jax.value_and_grad(loss)(model)


def assert_close(found, expected, tolerance: float) -> None:
    """Every leaf within `tolerance` of the expected one, relative to its norm."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    for one, other in pairs:
        difference = np.linalg.norm(np.asarray(one - other, np.float32))
        assert difference <= tolerance * np.linalg.norm(np.asarray(other, np.float32))


def test_packed_documents_are_computed_as_if_alone():
    model = drawn_decoder(SMALL)
    tokens, positions, segments = random_batch()
    packed = apply(model, tokens, positions, segments)
    for number in (1, 2):
        places = np.flatnonzero(np.asarray(segments[0]) == number)
        ones = jnp.ones((2, len(places)), jnp.int32)
        alone = apply(model, tokens[:, places], positions[:, places], ones)
        np.testing.assert_allclose(packed[:, places], alone, atol=2e-5)


def test_a_token_sees_only_those_before_it():
    model = drawn_decoder(SMALL)
    tokens, positions, segments = random_batch()
    changed = tokens.at[:, 6].add(1)
    before, after = (apply(model, x, positions, segments) for x in (tokens, changed))
    np.testing.assert_array_equal(before[:, :6], after[:, :6])
    assert not np.allclose(before[:, 6:9], after[:, 6:9])


@pytest.fixture(scope="module")
def plain() -> tuple[jax.Array, Decoder]:
    """Loss and gradients of the settings that the others are compared with."""
    return loss_and_gradients(drawn_decoder(SMALL), *random_batch())


def test_recomputation_changes_no_gradient(plain):
    model = drawn_decoder(dataclasses.replace(SMALL, remat=True))
    assert_close(loss_and_gradients(model, *random_batch()), plain, 1e-5)


def test_bfloat16_differs_by_rounding_and_gives_float32(plain):
    half = dataclasses.replace(SMALL, compute_dtype="bfloat16")
    loss, gradients = loss_and_gradients(drawn_decoder(half), *random_batch())
    expected_loss, expected = plain
    assert {x.dtype for x in jax.tree.leaves((loss, gradients))} == {jnp.dtype("float32")}
    np.testing.assert_allclose(loss, expected_loss, rtol=0.02)
    assert_close(gradients, expected, 0.1)


def test_parameters_follow_from_the_seed():
    draw = jax.jit(lambda key: Decoder(SMALL, nnx.Rngs(params=key)))
    first, again, other = (draw(jax.random.key(seed)) for seed in (0, 0, 1))
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    query, other_query = (
        nnx.to_pure_dict(nnx.state(x.layers.attention))["query_DQ"] for x in (first, other)
    )
    assert not np.array_equal(query, other_query)
    assert not np.array_equal(query[0], query[1])


def num_parameters(config: ModelConfig) -> int:
    model = jax.eval_shape(lambda: Decoder(config, nnx.Rngs(params=0)))
    return sum(leaf.size for leaf in jax.tree.leaves(model))


def test_the_published_model_has_the_published_number_of_parameters():
    assert num_parameters(PRESETS["deepseek_coder_1_3b"]) == 1_346_471_936


@pytest.mark.parametrize(("name", "millions"), [("tiny", 1.07), ("gpu", 49.6)])
def test_sizes_of_the_presets_without_token_tables(name, millions):
    config = PRESETS[name]
    tables = 2 * config.vocab_size * config.d_model
    assert (num_parameters(config) - tables) / 1e6 == pytest.approx(millions, rel=0.01)


def test_tied_tables_are_one():
    tied = dataclasses.replace(SMALL, tie_embeddings=True)
    assert num_parameters(SMALL) - num_parameters(tied) == SMALL.vocab_size * SMALL.d_model


def test_flops_are_six_per_parameter_and_attention():
    config = PRESETS["tiny"]
    norms = (2 * config.num_layers + 1) * config.d_model
    table = config.vocab_size * config.d_model
    multiplied = num_parameters(config) - norms - table
    attention = 6 * config.num_layers * config.num_heads * config.head_dim * 256
    assert flops_per_token(config, 256) == 6 * multiplied + attention


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_kv_heads": 3}, "model.num_kv_heads=3 does not divide model.num_heads=4"),
        ({"head_dim": 7}, "model.head_dim=7: must be even"),
        ({"num_layers": 0}, "model.num_layers=0: must be at least 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        init_decoder(dataclasses.replace(SMALL, **settings), 0)


def test_a_mesh_changes_no_gradient():
    """Fake devices with a part of the batch, of every matrix, or of both."""
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # which would take most of the time
    }
    root = Path(__file__).parents[2]
    process = subprocess.run(
        [sys.executable, "-m", "tests.model.on_fake_devices"],
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    differences = json.loads(process.stdout)
    assert len(differences) == 3
    assert max(differences.values()) < 1e-5, differences
