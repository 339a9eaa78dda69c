# SPDX-License-Identifier: Apache-2.0
"""Training a model with latents and experts: micro-batches, dropping, resumption, the metrics."""

import dataclasses
import functools
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from optax.tree_utils import tree_get

from coder.config import MlaConfig, MoeConfig, RunConfig
from coder.data.loader import Batch, Loader
from coder.train import trainer
from coder.train.step import TrainState, droppable_rows, make_trainable
from tests.train.small_run import CONFIG, make_run, write_examples

MOE = MoeConfig(
    num_experts=8,
    num_shared_experts=1,
    experts_per_token=2,
    d_expert=8,
    num_groups=4,
    groups_per_token=2,
    routing="group_limited_greedy",
    expert_balance=0.3,
    device_balance=0.2,
    communication_balance=0.1,
)
MLA = MlaConfig(kv_lora_rank=8, qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=8)
MODEL = dataclasses.replace(CONFIG.model, mla=MLA, moe=MOE)
TRAIN = dataclasses.replace(CONFIG.train, steps=6, checkpoint_every=3, micro_batches=2)
DROPPING = dataclasses.replace(MOE, capacity_factor=1.0, exempt_share=0.5)
TIMES = {"tokens_per_second", "mfu", "data_wait", "seconds"}


def configured(moe: MoeConfig, **train: Any) -> RunConfig:
    model = dataclasses.replace(MODEL, moe=moe)
    return dataclasses.replace(CONFIG, model=model, train=dataclasses.replace(TRAIN, **train))


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    return next(Loader(write_examples(tmp_path_factory.mktemp("experts") / "examples"), 4, seed=0))


def one_step(config: RunConfig, batch: Batch) -> TrainState:
    trainable = make_trainable(config)
    return jax.jit(lambda batch: trainable.step(trainable.init(), batch))(batch)


def test_micro_batches_are_one_batch_whatever_their_padding(batch: Batch):
    """A mean over the micro-batches would weigh the sequences beside a short or empty one more."""
    batch = {name: array.copy() for name, array in batch.items()}
    for row, length in ((0, 3), (3, 0)):
        batch["segment_ids"][row, length:] = 0
        batch["loss_mask"][row, length:] = 0.0
    whole, parts = (one_step(configured(MOE, micro_batches=n), batch) for n in (1, 2))
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    jax.tree.map(close, whole.window, parts.window)
    jax.tree.map(close, tree_get(whole.optimizer, "mu"), tree_get(parts.optimizer, "mu"))
    experts = whole.window.experts
    assert experts is not None
    assert float(experts.balance) == pytest.approx(0.6, rel=0.3)  # exactly that were all uniform
    assert float(jnp.sum(experts.load_LE)) == 2 * np.sum(batch["segment_ids"] > 0)


def test_the_balance_losses_are_descended_with_the_nats(batch: Batch):
    """Scaled down to nothing they leave other gradients."""
    none = dataclasses.replace(
        MOE, expert_balance=0.0, device_balance=0.0, communication_balance=0.0
    )
    with_them, without = (one_step(configured(moe), batch) for moe in (MOE, none))
    np.testing.assert_allclose(with_them.window.nats, without.window.nats, rtol=1e-6)
    moments = [tree_get(state.optimizer, "mu") for state in (with_them, without)]
    differ = jax.tree.map(lambda a, b: not np.allclose(a, b, rtol=1e-3, atol=1e-7), *moments)
    assert differ["layers"]["mlp"]["router_DE"]


def test_exempt_sequences_are_drawn_by_seed_and_step():
    config = configured(DROPPING)
    rows = [np.asarray(droppable_rows(config, jnp.int32(step), 4000)) for step in (0, 1)]
    again = np.asarray(droppable_rows(config, jnp.int32(1), 4000))
    other = np.asarray(droppable_rows(dataclasses.replace(config, seed=1), jnp.int32(1), 4000))
    np.testing.assert_array_equal(rows[1], again)
    for draw in (rows[0], other):
        assert 0.4 < np.mean(draw == rows[1]) < 0.6
    assert np.mean(rows[0]) == pytest.approx(0.5, abs=0.04)


def rows_of(directory: Path) -> list[dict[str, Any]]:
    rows = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    return [{name: row[name] for name in row.keys() - TIMES} for row in rows]


def test_a_run_resumes_to_the_same_bits_and_its_rows_tell_of_the_experts(tmp_path: Path):
    run = make_run(tmp_path, configured(DROPPING))
    expected, rows = trainer.train(run), rows_of(run.directory)
    shutil.rmtree(run.directory / "checkpoints" / "00000006")
    (run.directory / "done.json").unlink()
    found = trainer.train(run)
    assert found["parameters_digest"] == expected["parameters_digest"]
    assert rows_of(run.directory) == rows
    assert [row["step"] for row in rows] == [3, 6]
    for row in rows:
        assert 0.0 < row["dropped"] < 0.5
        assert 1.0 < row["busiest_expert"] < 8.0
        assert row["balance_loss"] == pytest.approx(0.6, rel=0.3)
        assert 0 <= row["idle_experts"] < 8
