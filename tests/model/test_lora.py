# SPDX-License-Identifier: Apache-2.0
"""Low-rank adapters: nothing changes until they are trained, and only they are."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from coder.model.cache import prefill, step, with_capacity
from coder.model.lora import LowRank, adapters_of, add_adapters, matrices, merged, with_adapters
from coder.model.transformer import Decoder
from coder.sharding import spec_of
from tests.model import test_mla
from tests.model.drawn import drawn_decoder
from tests.model.test_transformer import SMALL, assert_close, random_batch

TARGETS = ["query_DQ", "value_DK", "output_QD", "down_FD"]
apply = jax.jit(Decoder.__call__)


def randomised(decoder: Decoder, std: float = 0.1) -> Decoder:
    """The adapters with factors as after a training: `up` is no longer zero."""

    rng = np.random.default_rng(0)

    def drawn(adapter: LowRank) -> LowRank:
        up, place = adapter.up_RO[...], spec_of(adapter.up_RO[...])
        random = jnp.asarray(std * rng.normal(size=up.shape), up.dtype)
        random = random if place is None else jax.sharding.reshard(random, place)
        return LowRank(adapter.down_IR[...], random, adapter.alpha, adapter.rank_stabilised)

    adapters = {path: drawn(adapter) for path, adapter in adapters_of(decoder).items()}
    return with_adapters(decoder, adapters)


def adapted(decoder: Decoder, targets: list[str] = TARGETS) -> Decoder:
    """The decoder with adapters that matter."""
    return randomised(add_adapters(decoder, 3, 6.0, targets, seed=1))


@pytest.fixture(scope="module")
def plain() -> Decoder:
    return drawn_decoder(SMALL)


@pytest.fixture(scope="module")
def single() -> Decoder:
    """A layer alone: gradients of two compile for twice as long."""
    return drawn_decoder(dataclasses.replace(SMALL, num_layers=1))


@pytest.fixture(scope="module")
def model(plain) -> Decoder:
    return adapted(plain)


def test_new_adapters_change_nothing(plain):
    model = add_adapters(plain, rank=2, alpha=4.0, targets=TARGETS, seed=0)
    np.testing.assert_array_equal(apply(model, *random_batch()), apply(plain, *random_batch()))
    assert {path.split("/")[-1] for path in adapters_of(model)} == set(TARGETS)
    assert adapters_of(plain) == {}


def test_they_follow_from_the_seed(plain):
    first, again, other = (add_adapters(plain, 2, 4.0, TARGETS, seed) for seed in (0, 0, 1))
    down, same, different = (
        adapters_of(model)["layers/attention/query_DQ"].down_IR[...]
        for model in (first, again, other)
    )
    np.testing.assert_array_equal(down, same)
    assert not np.allclose(down, different)
    assert not np.allclose(down[0], down[1])


def test_an_adapter_adds_its_scaled_product():
    rng = np.random.default_rng(0)
    x, down, up = (rng.normal(size=size).astype(np.float32) for size in ((1, 2, 5), (5, 4), (4, 3)))
    for rank_stabilised, scale in ((False, 3 / 4), (True, 3 / 2)):
        adapter = LowRank(jnp.asarray(down), jnp.asarray(up), 3.0, rank_stabilised)
        np.testing.assert_allclose(
            adapter(jnp.asarray(x), None), scale * (x @ down @ up), rtol=1e-5
        )
        np.testing.assert_allclose(
            adapter.added_to(jnp.ones((5, 3))), 1 + scale * (down @ up), rtol=1e-5
        )


def test_merged_weights_compute_the_same(plain, model):
    alone = merged(model)
    expected = apply(model, *random_batch())
    np.testing.assert_allclose(apply(alone, *random_batch()), expected, atol=1e-5)
    assert not np.allclose(apply(plain, *random_batch()), expected, atol=0.1)
    assert jax.tree.structure(alone) == jax.tree.structure(plain)
    assert len(adapters_of(model)) == len(TARGETS)


def test_merged_weights_keep_their_type(plain):
    alone = merged(adapted(jax.tree.map(lambda x: x.astype(jnp.bfloat16), plain)))
    assert {leaf.dtype for leaf in jax.tree.leaves(alone)} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize("kind", ["heads", "latents"])
def test_a_cache_sees_the_adapters(model, kind):
    """Latents as well, whose `up_CY` is taken apart there."""
    if kind == "latents":
        model = adapted(drawn_decoder(test_mla.NO_QUERY_LATENT), ["query_DQ", "down_DX", "up_CY"])
    tokens, _, _ = random_batch()
    positions = jnp.broadcast_to(jnp.arange(9), (2, 9))
    expected = apply(model, tokens[:, :9], positions, jnp.ones((2, 9), jnp.int32))
    logits, cache = jax.jit(prefill)(model, tokens[:, :8], jnp.array([8, 8]))
    np.testing.assert_allclose(logits, expected[:, 7], atol=2e-5)
    logits, _ = jax.jit(step)(model, tokens[:, 8], with_capacity(cache, 16))
    np.testing.assert_allclose(logits, expected[:, 8], atol=2e-5)


def test_fine_tuning_moves_the_adapters_only_and_lowers_the_loss(single):
    model = add_adapters(single, rank=4, alpha=8.0, targets=TARGETS, seed=0)
    graph, adapters, frozen = nnx.split(model, nnx.LoRAParam, ...)
    tokens, positions, segments = random_batch()
    optimizer = optax.adam(1e-2)

    def loss(adapters: nnx.State) -> jax.Array:
        logits = nnx.merge(graph, adapters, frozen)(tokens, positions, segments)[:, :-1]
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]))

    @jax.jit
    def update(adapters: nnx.State, state: optax.OptState):
        value, gradients = jax.value_and_grad(loss)(adapters)
        updates, state = optimizer.update(gradients, state, adapters)
        return optax.apply_updates(adapters, updates), state, value

    state, losses = optimizer.init(adapters), []
    for _ in range(30):
        adapters, state, value = update(adapters, state)
        losses.append(float(value))
    assert losses[-1] < 0.5 * losses[0]
    assert len(jax.tree.leaves(adapters)) == 2 * len(TARGETS)
    tuned = nnx.merge(graph, adapters, frozen)
    for path, weight in matrices(single).items():
        np.testing.assert_array_equal(matrices(tuned)[path], weight)


def test_gradients_are_those_of_the_merged_matrix(single):
    """With W + s A B, dA is s dW B^T and dB is s A^T dW."""
    model = adapted(single)

    def loss(model: Decoder) -> jax.Array:
        return jnp.mean(jnp.square(model(*random_batch()) - 1.0))

    gradient = jax.jit(jax.grad(loss))
    found = adapters_of(gradient(model))
    whole = matrices(gradient(merged(model)))
    for path, adapter in adapters_of(model).items():
        down, up, scale = adapter.down_IR[...], adapter.up_RO[...], adapter.scale
        expected = (
            scale * jnp.einsum("LIO,LRO->LIR", whole[path], up),
            scale * jnp.einsum("LIR,LIO->LRO", down, whole[path]),
        )
        assert_close((found[path].down_IR[...], found[path].up_RO[...]), expected, 1e-4)


@pytest.mark.parametrize(
    ("rank", "targets", "message"),
    [
        (0, TARGETS, "rank=0: must be at least 1"),
        (2, ["query_DK"], "no matrix 'query_DK' among .*; did you mean query_DQ"),
        (2, ["router_DE"], "no matrix 'router_DE'"),
    ],
)
def test_what_cannot_be_added_is_refused(plain, rank, targets, message):
    with pytest.raises(ValueError, match=message):
        add_adapters(plain, rank, 4.0, targets, seed=0)
