# SPDX-License-Identifier: Apache-2.0
"""One optimizer step: micro-batches, skipped steps, and ten steps that must not change unnoticed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from coder.config import RunConfig, TrainConfig
from coder.data.loader import Batch, Loader
from coder.train.step import TrainState, empty_window, make_trainable
from tests.train.small_run import CONFIG, write_examples

# On one core of x86-64 with AVX-512. Another instruction set sums in another order: differences of 1e-7
# that ten steps of AdamW amplify to about 1e-4, while a wrong mask, schedule or decay moves the losses by 1e-2.
GOLDEN_LOSSES = [5.99]


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> list[Batch]:
    loader = Loader(write_examples(tmp_path_factory.mktemp("step") / "examples"), 4, seed=0)
    return [next(loader) for _ in range(10)]


def run(train: TrainConfig, batches: list[Batch]) -> tuple[TrainState, list[float]]:
    """The state after `batches`, and the loss of each."""
    trainable = make_trainable(dataclasses.replace(CONFIG, train=train))
    state, step = jax.jit(trainable.init)(), jax.jit(trainable.step)
    losses = []
    for batch in batches:
        state = step(state._replace(window=empty_window()), batch)
        losses.append(float(state.window.nats) / max(float(state.window.tokens), 1.0))
    return state, losses


def test_ten_losses_are_those_of_the_record(batches: list[Batch]):
    _, losses = run(CONFIG.train, batches)
    np.testing.assert_allclose(losses, GOLDEN_LOSSES, rtol=1e-3)


@pytest.mark.parametrize("micro_batches", [2, 4])
def test_micro_batches_are_one_batch_whatever_their_padding(
    batches: list[Batch], micro_batches: int
):
    batch = {name: array.copy() for name, array in batches[0].items()}
    batch["loss_mask"][0, 3:] = 0.0  # a mean of means would weigh this row's tokens more
    train = dataclasses.replace(CONFIG.train, clip_norm=1e9)
    whole, _ = run(train, [batch])
    parts, _ = run(dataclasses.replace(train, micro_batches=micro_batches), [batch])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        whole.window,
        parts.window,
    )
    # Of AdamW's state the first moment is linear in the gradient; its first step is not, it is the sign.
    moments = [state.optimizer[1][0].mu for state in (whole, parts)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-8), *moments)


def test_tokens_without_a_loss_do_not_count(batches: list[Batch]):
    batch = {name: array.copy() for name, array in batches[0].items()}
    ignored = batch["loss_mask"] == 0
    state, _ = run(CONFIG.train, [batch])
    batch["targets"][ignored] = 7
    other, _ = run(CONFIG.train, [batch])
    assert float(state.window.tokens) == batch["loss_mask"].sum()
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
    warm_up = dataclasses.replace(CONFIG.train, warmup_steps=1000)
    poison = {**batches[1], "loss_mask": np.full_like(batches[1]["loss_mask"], np.nan)}
    begin = make_trainable(RunConfig(CONFIG.model, CONFIG.data, warm_up, seed=0)).init().parameters
    first, _ = run(warm_up, batches[:1])
    second, _ = run(warm_up, [poison, batches[0]])
    moves = [
        jnp.abs(state.parameters["norm"]["scale_D"] - begin["norm"]["scale_D"]).max()
        for state in (first, second)
    ]
    assert float(moves[1] / moves[0]) == pytest.approx(2.0, rel=1e-2)
