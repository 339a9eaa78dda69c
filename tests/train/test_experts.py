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
from flax import nnx

from coder.config import MlaConfig, MoeConfig, RunConfig
from coder.data.loader import Batch, Loader
from coder.model.transformer import Decoder
from coder.train import trainer
from coder.train.loss import Sums, summed_loss
from coder.train.step import droppable_rows, summed_gradients
from tests.model.drawn import drawn_decoder
from tests.train.small_run import CONFIG, make_run, write_examples

MOE = MoeConfig(
    num_experts=8,
    num_shared_experts=1,
    experts_per_token=2,
    d_expert=8,
    first_dense_layers=0,
    num_groups=4,
    groups_per_token=2,
    routing="group_limited_greedy",
    expert_balance=0.3,
    device_balance=0.2,
    communication_balance=0.1,
)
MLA = MlaConfig(kv_lora_rank=8, qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=8)
MODEL = dataclasses.replace(CONFIG.model, num_layers=1, mla=MLA, moe=MOE)
TRAIN = dataclasses.replace(CONFIG.train, steps=6, checkpoint_every=3, micro_batches=2)
DROPPING = dataclasses.replace(MOE, capacity_factor=1.0, exempt_share=0.5)
TIMES = {"tokens_per_second", "mfu", "data_wait", "seconds"}

pytestmark = pytest.mark.usefixtures("compiled_at_once")


def configured(moe: MoeConfig, **train: Any) -> RunConfig:
    model = dataclasses.replace(MODEL, moe=moe)
    return dataclasses.replace(CONFIG, model=model, train=dataclasses.replace(TRAIN, **train))


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    return next(Loader(write_examples(tmp_path_factory.mktemp("experts") / "examples"), 4, seed=0))


@pytest.fixture(scope="module")
def model() -> Decoder:
    return drawn_decoder(MODEL)


@functools.partial(jax.jit, static_argnames="parts")
def gradients_of(
    model: Decoder, batch: Any, factor: Any, parts: int
) -> tuple[tuple[jax.Array, Sums], Any]:
    graph, state = nnx.split(model)
    parameters = nnx.to_pure_dict(state)
    return summed_gradients(
        lambda parameters, part: summed_loss(nnx.merge(graph, parameters), part, factor),
        parameters,
        batch,
        parts,
    )


def test_micro_batches_are_one_batch_whatever_their_padding(batch: Batch, model: Decoder):
    """A mean over the micro-batches would weigh the sequences beside a short or empty one more."""
    batch = {name: array.copy() for name, array in batch.items()}
    for row, length in ((0, 3), (3, 0)):
        batch["segment_ids"][row, length:] = 0
        batch["loss_mask"][row, length:] = 0.0
    whole, parts = (gradients_of(model, batch, 20.0, n) for n in (1, 2))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), whole, parts)
    (_, (_, experts)), _ = whole
    assert experts is not None
    assert float(jnp.sum(experts.load_LE)) == 2 * np.sum(batch["segment_ids"] > 0)


def test_the_balance_losses_are_descended_with_the_nats(batch: Batch, model: Decoder):
    (total, (nats, experts)), gradients = gradients_of(model, batch, 20.0, 1)
    (alone, _), without = gradients_of(model, batch, 0.0, 1)
    assert experts is not None
    np.testing.assert_allclose(alone, nats, rtol=1e-6)
    np.testing.assert_allclose(total, nats + 20.0 * experts.balance, rtol=1e-6)
    assert float(experts.balance) == pytest.approx(4 * 0.6, rel=0.3)  # were all uniform, exactly
    routers = [tree["layers"]["mlp"]["router_DE"] for tree in (gradients, without)]
    assert np.linalg.norm(routers[0] - routers[1]) > 1e-3 * np.linalg.norm(routers[1])


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
