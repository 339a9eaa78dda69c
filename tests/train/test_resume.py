# SPDX-License-Identifier: Apache-2.0
"""kill -9 at awkward moments, then the same command: the same bits, no gap in the metrics."""

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coder import checkpoint
from coder.train import run_folder
from tests.train.small_run import CONFIG, make_run

STEPS, LOG_EVERY, CHECKPOINT_EVERY = 60, 4, 3
TIMES = ("tokens_per_second", "mfu", "data_wait", "seconds")


class Training:
    """`python -m coder train` on one run, in a process of its own."""

    def __init__(self, directory: Path, cache: Path):
        self.directory, self.cache = directory, cache

    def start(self) -> subprocess.Popen:
        environment = {
            **os.environ,
            "NPROC": "1",
            "JAX_PLATFORMS": "cpu",
            # Compiled once for all tests here; what is compiled is what would be compiled again.
            "JAX_COMPILATION_CACHE_DIR": str(self.cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
        }
        command = [sys.executable, "-m", "coder", "train", "--run", str(self.directory)]
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    def finish(self) -> str:
        """Runs to the end; what it wrote to stderr."""
        process = self.start()
        _, messages = process.communicate(timeout=300)
        assert process.returncode == 0, messages
        return messages

    def kill_when(self, condition: Callable[[], bool]) -> None:
        process = self.start()
        while not condition():
            assert process.poll() is None, process.communicate()
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL

    def rows(self) -> list[dict[str, Any]]:
        lines = (self.directory / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def digest(self) -> str:
        return json.loads((self.directory / "done.json").read_text())["parameters_digest"]

    def saved(self) -> list[int]:
        return checkpoint.steps(self.directory / "checkpoints")

    def is_saving(self) -> bool:
        return any((self.directory / "checkpoints").glob("*.orbax-checkpoint-tmp"))


def prepare(directory: Path, cache: Path) -> Training:
    train = dataclasses.replace(
        CONFIG.train, steps=STEPS, log_every=LOG_EVERY, checkpoint_every=CHECKPOINT_EVERY
    )
    directory.mkdir()
    run = make_run(directory, dataclasses.replace(CONFIG, train=train))
    run = dataclasses.replace(run, examples_digest="0123456789abcdef")
    run_folder.begin(run, {})
    return Training(run.directory, cache)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Training:
    base = tmp_path_factory.mktemp("resume")
    training = prepare(base / "uninterrupted", base / "cache")
    training.finish()
    return training


def without_times(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in TIMES}


def assert_same_result(training: Training, uninterrupted: Training) -> None:
    assert training.digest() == uninterrupted.digest()
    rows, expected = training.rows(), uninterrupted.rows()
    assert [row["step"] for row in rows] == list(range(LOG_EVERY, STEPS + 1, LOG_EVERY))
    assert [without_times(row) for row in rows] == [without_times(row) for row in expected]
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds)
    assert training.saved() == [STEPS - CHECKPOINT_EVERY, STEPS]


def test_killed_again_and_again_it_ends_with_the_same_bits(uninterrupted: Training, tmp_path: Path):
    training = prepare(tmp_path / "killed", uninterrupted.cache)
    rng = random.Random(time.time_ns())
    delay = rng.uniform(0, 0.1)

    # Before the first checkpoint, in the middle of a later save, and at some moment after that.
    training.kill_when(lambda: (training.directory / "peak.json").exists())
    training.kill_when(lambda: len(training.saved()) > 0 and training.is_saving())
    begun = training.saved()[-1]

    def later() -> bool:
        if training.saved()[-1] < begun + 2 * CHECKPOINT_EVERY:
            return False
        time.sleep(delay)
        return True

    training.kill_when(later)
    training.finish()
    assert_same_result(training, uninterrupted)


def test_a_torn_row_and_a_damaged_checkpoint_are_made_good(uninterrupted: Training, tmp_path: Path):
    """What a power cut may leave: half a row, and a newest checkpoint that is not what it was."""
    training = Training(tmp_path / "run", uninterrupted.cache)
    shutil.copytree(uninterrupted.directory, training.directory)
    (training.directory / "done.json").unlink()
    metrics = training.directory / "metrics.jsonl"
    metrics.write_text(metrics.read_text() + '{"step": 64, "loss": 5.')
    newest = training.directory / "checkpoints" / f"{STEPS:08d}"
    manifest = newest / "parameters" / "manifest.ocdbt"
    manifest.write_bytes(manifest.read_bytes()[:-40])
    messages = training.finish()
    assert f"damaged checkpoint passed over: {newest}" in messages
    assert f"resumed after step {STEPS - CHECKPOINT_EVERY}" in messages
    assert_same_result(training, uninterrupted)


def test_a_finished_run_answers_without_jax(uninterrupted: Training):
    code = (
        "import sys; from coder.__main__ import main;"
        f"main(['train', '--run', {str(uninterrupted.directory)!r}]);"
        "assert not {'jax', 'grain', 'flax'} & set(sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert f"done, {STEPS} steps, parameters {uninterrupted.digest()}" in answer.stdout


def test_two_processes_do_not_train_one_run(uninterrupted: Training, tmp_path: Path):
    training = prepare(tmp_path / "twice", uninterrupted.cache)
    with run_folder.locked(training.directory):
        process = training.start()
        _, messages = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"error: another process is training {training.directory}" in messages
