# SPDX-License-Identifier: Apache-2.0
"""Two devices train as one does, each on its part of every batch, and resume."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from coder.train import run_folder, trainer
from coder.train.run_folder import RunError
from tests.train.small_run import CONFIG, make_run

TRAIN = dataclasses.replace(CONFIG.train, steps=6, checkpoint_every=3, micro_batches=2)


def train(directory: Path, devices: int) -> subprocess.CompletedProcess[str]:
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "NPROC": "1", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    command = [sys.executable, "-m", "coder", "train", "--run", str(directory)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def prepare(directory: Path) -> Path:
    config = dataclasses.replace(CONFIG, train=TRAIN)
    directory.mkdir()
    run = dataclasses.replace(make_run(directory, config), examples_digest="0123456789abcdef")
    run_folder.begin(run, {})
    return run.directory


def losses(directory: Path) -> list[float]:
    rows = (directory / "metrics.jsonl").read_text().splitlines()
    return [json.loads(row)["loss"] for row in rows]


def digest(directory: Path) -> str:
    return json.loads((directory / "done.json").read_text())["parameters_digest"]


@pytest.mark.slow
def test_two_devices_train_as_one(tmp_path: Path):
    one, two = prepare(tmp_path / "one"), prepare(tmp_path / "two")
    for directory, devices in ((one, 1), (two, 2)):
        answer = train(directory, devices)
        assert answer.returncode == 0, answer.stderr
    np.testing.assert_allclose(losses(two), losses(one), rtol=1e-5)

    expected = digest(two)
    shutil.rmtree(two / "checkpoints" / "00000006")
    (two / "done.json").unlink()
    answer = train(two, 2)
    assert "resumed after step 3" in answer.stderr
    assert digest(two) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 3, "micro_batches": 1}, "train.batch_size=3 does not divide by 2 devices"),
        ({"optimizer": "muon"}, "train.optimizer=muon runs on one device, here are 2"),
    ],
)
def test_what_two_devices_cannot_do_is_refused(
    tmp_path: Path, settings: dict, message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    config = dataclasses.replace(CONFIG, train=dataclasses.replace(TRAIN, **settings))
    with pytest.raises(RunError, match=message):
        trainer.train(make_run(tmp_path, config))
