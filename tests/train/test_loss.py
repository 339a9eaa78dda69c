# SPDX-License-Identifier: Apache-2.0
"""The loss against scipy, and its mask."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

from coder.train.loss import summed_nats, token_nats

RNG = np.random.default_rng(0)
LOGITS_BTV = RNG.normal(size=(2, 5, 7)).astype(np.float32) * 30
BATCH = {
    "tokens": jnp.zeros((2, 5), jnp.int32),
    "targets": jnp.asarray(RNG.integers(0, 7, (2, 5)), jnp.int32),
    "positions": jnp.zeros((2, 5), jnp.int32),
    "segment_ids": jnp.ones((2, 5), jnp.int32),
    "loss_mask": jnp.asarray([[1, 1, 0, 1, 0], [0, 0, 0, 1, 1]], jnp.float32),
}


def expected_nats() -> np.ndarray:
    log_probs_BTV = log_softmax(LOGITS_BTV.astype(np.float64), axis=-1)
    return -np.take_along_axis(log_probs_BTV, np.asarray(BATCH["targets"])[..., None], -1)[..., 0]


def test_nats_are_scipys():
    np.testing.assert_allclose(
        token_nats(jnp.asarray(LOGITS_BTV), BATCH["targets"]), expected_nats(), rtol=1e-5, atol=1e-5
    )


def test_the_loss_sums_the_tokens_of_the_mask():
    loss = float(summed_nats(jnp.asarray(LOGITS_BTV), BATCH))
    expected = float((expected_nats() * np.asarray(BATCH["loss_mask"])).sum())
    assert loss == pytest.approx(expected, rel=1e-6)


def test_half_precision_logits_are_summed_in_float32():
    assert token_nats(jnp.asarray(LOGITS_BTV, jnp.bfloat16), BATCH["targets"]).dtype == jnp.float32


def test_the_written_out_derivative_is_softmax_minus_one_hot():
    weights_BT = jnp.asarray(RNG.normal(size=(2, 5)), jnp.float32)

    def loss(nats: Callable[[jax.Array, jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
        return lambda logits_BTV: jnp.sum(nats(logits_BTV, BATCH["targets"]) * weights_BT)

    def plain(logits_BTV: jax.Array, targets_BT: jax.Array) -> jax.Array:
        log_probs_BTV = jax.nn.log_softmax(logits_BTV)
        return -jnp.take_along_axis(log_probs_BTV, targets_BT[..., None], -1)[..., 0]

    logits_BTV = jnp.asarray(LOGITS_BTV) / 10
    found, expected = (jax.grad(loss(nats))(logits_BTV) for nats in (token_nats, plain))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
