# SPDX-License-Identifier: Apache-2.0
"""One optimizer step: micro-batches, skipped steps, and ten losses that must not change."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from optax.tree_utils import tree_get

from coder.config import TrainConfig
from coder.data.loader import Batch, Loader
from coder.train.step import Trainable, TrainState, empty_window, make_trainable
from tests.train.small_run import CONFIG, write_examples

# On one core of x86-64 with AVX-512. Another instruction set sums in another order, about 1e-7 off,
# which ten steps of AdamW amplify to about 1e-4; a wrong mask, schedule or decay is 1e-2 off.
GOLDEN_LOSSES = [
    *(5.810513, 5.822681, 5.769280, 5.729584, 5.674134),
    *(5.605414, 5.548689, 5.505874, 5.479735, 5.429021),
]


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> list[Batch]:
    loader = Loader(write_examples(tmp_path_factory.mktemp("step") / "examples"), 4, seed=0)
    return [next(loader) for _ in range(10)]


@functools.cache
def compiled(train: TrainConfig) -> Trainable:
    trainable = make_trainable(dataclasses.replace(CONFIG, train=train))
    return Trainable(jax.jit(trainable.init), jax.jit(trainable.step))


def run(train: TrainConfig, batches: list[Batch]) -> tuple[TrainState, list[float]]:
    """The state after `batches`, and the loss of each."""
    state, step = compiled(CONFIG.train).init(), compiled(train).step
    losses = []
    for batch in batches:
        state = step(
            state._replace(window=empty_window(CONFIG.model)), jax.tree.map(jnp.asarray, batch)
        )
        losses.append(float(jnp.divide(state.window.nats, jnp.maximum(state.window.tokens, 1.0))))
    return state, losses


def test_ten_losses_are_those_of_the_record(batches: list[Batch]):
    _, losses = run(CONFIG.train, batches)
    np.testing.assert_allclose(losses, GOLDEN_LOSSES, rtol=1e-3)


def test_micro_batches_are_one_batch_whatever_their_padding(batches: list[Batch]):
    batch = {name: array.copy() for name, array in batches[0].items()}
    batch["loss_mask"][0, 3:] = 0.0  # a mean of means would weigh this row's tokens more
    whole, _ = run(CONFIG.train, [batch])
    parts, _ = run(dataclasses.replace(CONFIG.train, micro_batches=2), [batch])
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-7)
    jax.tree.map(close, whole.window, parts.window)
    # The first moment is linear in the gradient; AdamW's first step is not, it is the sign.
    jax.tree.map(close, tree_get(whole.optimizer, "mu"), tree_get(parts.optimizer, "mu"))


def test_tokens_without_a_loss_do_not_count(batches: list[Batch]):
    batch = {name: array.copy() for name, array in batches[0].items()}
    ignored = batch["loss_mask"] == 0
    state, _ = run(CONFIG.train, [batch])
    batch["targets"][ignored] = 7
    other, _ = run(CONFIG.train, [batch])
    assert np.asarray(state.window.tokens) == batch["loss_mask"].sum()
    jax.tree.map(np.testing.assert_array_equal, state.parameters, other.parameters)


def test_a_step_that_is_not_finite_is_skipped_and_counted(batches: list[Batch]):
    poison = {**batches[1], "loss_mask": np.full_like(batches[1]["loss_mask"], np.inf)}
    state, _ = run(CONFIG.train, batches[:1])
    skipped, losses = run(CONFIG.train, [batches[0], poison])
    assert (int(skipped.step), int(skipped.skipped)) == (2, 1)
    assert losses[1] == 0.0
    jax.tree.map(
        np.testing.assert_array_equal,
        (state.parameters, state.optimizer),
        (skipped.parameters, skipped.optimizer),
    )


def test_the_schedule_goes_on_over_a_skipped_step(batches: list[Batch]):
    poison = {**batches[1], "loss_mask": np.full_like(batches[1]["loss_mask"], np.nan)}
    begin = compiled(CONFIG.train).init().parameters["norm"]["scale_D"]
    first, _ = run(CONFIG.train, batches[:1])
    second, _ = run(CONFIG.train, [poison, batches[0]])
    moves = [
        float(jnp.abs(state.parameters["norm"]["scale_D"] - begin).max())
        for state in (first, second)
    ]
    assert moves[1] / moves[0] == pytest.approx(2.0, rel=1e-2)  # the second step of the warm-up
