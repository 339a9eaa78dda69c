# SPDX-License-Identifier: Apache-2.0
"""`python -m coder train` up to the first step: what it refuses, and with which words."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coder import __main__ as coder_main
from coder.config import to_json
from coder.data.manifest import training_shards
from coder.model.presets import PRESETS
from coder.train import command, run_folder
from coder.train.run_folder import Run, RunError
from tests.train.small_run import CONFIG, VOCAB_SIZE, make_run

DIGEST = "0123456789abcdef"
MODEL_FLAGS = [
    f"--model.{name}={value}"
    for name, value in to_json(CONFIG.model).items()
    if name in ("vocab_size", "d_model", "num_layers", "num_kv_heads", "head_dim", "d_ff")
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that has been begun with NPROC=1, and the environment it was begun in."""
    monkeypatch.setenv("NPROC", "1")
    run = dataclasses.replace(make_run(tmp_path), examples_digest=DIGEST)
    run_folder.begin(run, {})
    return run


@pytest.fixture(autouse=True)
def no_training(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Training is another test's matter; what would be trained is recorded."""
    trained: list[Run] = []

    def train(run: Run) -> dict:
        trained.append(run)
        return {"steps": run.config.train.steps, "parameters_digest": "0" * 16, "seconds": 1.0}

    monkeypatch.setattr(command, "_train", train)
    return trained


def new_run(run: Run, *flags: str) -> list[str]:
    files = ["--examples", str(run.examples), "--tokenizer", str(run.tokenizer)]
    return ["--run", str(run.directory.with_name("new")), *files, *MODEL_FLAGS, *flags]


def refusal(argv: list[str]) -> str:
    with pytest.raises(SystemExit) as refused:
        command.main(argv)
    return str(refused.value)


def test_a_prepared_run_needs_its_folder_alone(run: Run, no_training: list[Run], capsys):
    command.main(["--run", str(run.directory)])
    assert no_training == [run]
    assert "done, 40 steps" in capsys.readouterr().out


def test_a_new_run_records_what_its_result_depends_on(run: Run, no_training: list[Run]):
    argv = new_run(run, "--train.steps", "7", "--seed", "3")
    command.main(argv)
    command.main(argv)
    command.main(argv[:2])
    assert no_training == no_training[:1] * 3
    trained = no_training[0]
    assert (trained.config.train.steps, trained.config.seed) == (7, 3)
    assert trained.config.data.sequence_length == 32 and trained.config.data.fim_rate == 0.5
    record = json.loads((trained.directory / "config.json").read_text())
    assert (record["nproc"], record["examples_digest"]) == (1, DIGEST)


def test_a_preset_is_the_shape_of_the_model(run: Run, no_training: list[Run]):
    files = new_run(run)[:6]
    argv = [*files, "--preset", "tiny_v2_lite", "--model.moe.num-experts", "4"]
    command.main(argv)
    command.main(argv)
    command.main(argv[:2])
    assert no_training == no_training[:1] * 3
    moe = dataclasses.replace(PRESETS["tiny_v2_lite"].moe, num_experts=4)
    assert no_training[0].config.model == dataclasses.replace(PRESETS["tiny_v2_lite"], moe=moe)
    message = refusal([*files, "--preset=tiny_v2_lite"])
    assert "model.moe.num_experts: 4 -> 8" in message and message.count("->") == 2


def test_a_misspelt_preset_names_the_nearest(run: Run):
    assert "did you mean tiny_v2_lite?" in refusal(new_run(run, "--preset", "tiny-v2-lit"))


def test_a_changed_setting_is_refused_and_shown(run: Run):
    message = refusal(["--run", str(run.directory), "--train.learning-rate", "0.5", "--seed", "1"])
    assert "seed: 0 -> 1" in message and "train.learning_rate: 0.003 -> 0.5" in message


def test_another_nproc_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NPROC", "2")
    assert "NPROC=1 and is now started with NPROC=2" in refusal(["--run", str(run.directory)])


def test_without_nproc_the_beginnings_is_taken(run: Run, no_training: list[Run], monkeypatch):
    monkeypatch.delenv("NPROC")
    command.main(["--run", str(run.directory)])
    assert no_training[0].nproc == 1


@pytest.mark.parametrize("value", ["0", "two", "-1", ""])
def test_an_nproc_that_is_no_number_of_cores_is_refused(run: Run, value: str, monkeypatch):
    monkeypatch.setenv("NPROC", value)
    assert "expected the number of cores" in refusal(["--run", str(run.directory)])


def test_changed_examples_are_refused(run: Run):
    manifest = run.examples / "manifest.json"
    manifest.write_text(manifest.read_text().replace(DIGEST, "fedcba9876543210"))
    assert f"digest {DIGEST} -> fedcba9876543210" in refusal(["--run", str(run.directory)])


def test_moved_examples_are_the_same_examples(run: Run, no_training: list[Run]):
    moved = run.examples.rename(run.examples.with_name("moved"))
    tokenizer = str(moved / "tokenizer.json")
    argv = ["--run", str(run.directory), "--examples", str(moved), "--tokenizer", tokenizer]
    command.main(argv)
    assert no_training[0].examples == moved


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        (f"--model.vocab-size={VOCAB_SIZE - 1}", f"set --model.vocab-size {VOCAB_SIZE} or more"),
        ("--train.steps=0", "train.steps=0: must be at least 1"),
        ("--train.log-every=0", "train.log_every=0: must be at least 1"),
        ("--train.micro-batches=3", "train.micro_batches=3 does not divide train.batch_size=8"),
    ],
)
def test_settings_that_do_not_fit_are_refused(run: Run, flag: str, message: str):
    assert message in refusal(new_run(run, flag))
    assert not (run.directory.with_name("new") / "config.json").exists()


def test_a_run_that_was_not_begun_says_what_it_needs(tmp_path: Path):
    message = refusal(["--run", str(tmp_path / "run")])
    assert "a new run needs --examples and --tokenizer" in message


def test_a_config_with_an_unknown_setting_is_refused(run: Run):
    path = run.directory / "config.json"
    path.write_text(path.read_text().replace('"log_every"', '"log_evry"'))
    assert "unknown setting train.log_evry" in refusal(["--run", str(run.directory)])


def test_an_unwritable_folder_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refusal(["--run", str(tmp_path / "file" / "run")])


def test_a_misspelt_option_names_the_nearest(run: Run, capsys):
    with pytest.raises(SystemExit):
        command.main(new_run(run, "--train.stepps", "3"))
    assert "--train.steps" in capsys.readouterr().err


def test_a_run_keeps_its_tokenizer(run: Run, no_training: list[Run]):
    kept = run.directory / "tokenizer.json"
    assert kept.read_bytes() == run.tokenizer.read_bytes()
    run.tokenizer.unlink()
    command.main(["--run", str(run.directory)])
    assert no_training == [run]
    kept.unlink()
    assert "does not exist: give --tokenizer" in refusal(["--run", str(run.directory)])


def test_another_tokenizer_is_refused(run: Run):
    run.tokenizer.write_text(run.tokenizer.read_text() + "\n")
    message = refusal(["--run", str(run.directory)])
    assert f"is another tokenizer than {run.directory}/tokenizer.json" in message


def test_a_file_that_is_no_tokenizer_is_refused(run: Run):
    run.tokenizer.write_text("{}")
    assert "cannot be read" in refusal(new_run(run))


def test_versions_stay_those_of_the_beginning(run: Run, caplog):
    record = run.record()
    run_folder.begin(run, {**record, "jax": "0.0.1"})
    assert "begun with jax 0.0.1" in caplog.text
    assert json.loads((run.directory / "config.json").read_text())["jax"] == "0.0.1"


def test_a_corrupt_record_reaches_the_user_as_one_sentence(run: Run):
    for shard in training_shards(run.examples):
        data = bytearray(shard.read_bytes())
        data[-5] ^= 1
        shard.write_bytes(data)
    train = dataclasses.replace(CONFIG.train, batch_size=50)
    whole = dataclasses.replace(run, config=dataclasses.replace(CONFIG, train=train))
    run_folder.begin(whole, {})
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    code = [sys.executable, "-m", "coder", "train", "--run", str(run.directory)]
    answer = subprocess.run(code, env=environment, capture_output=True, text=True)
    assert answer.returncode == 1 and "Traceback" not in answer.stderr
    assert f"error: {run.examples}/train-0000" in answer.stderr
    assert "record " in answer.stderr and "at byte " in answer.stderr


def test_help_lists_every_command_and_loads_none(capsys):
    coder_main.main(["--help"])
    answer = capsys.readouterr().out
    assert all(f"\n    {name} " in answer for name in coder_main.COMMANDS)


def test_a_misspelt_command_names_the_nearest(capsys):
    with pytest.raises(SystemExit):
        coder_main.main(["trian"])
    assert "did you mean train?" in capsys.readouterr().err


def test_a_run_that_is_being_trained_is_left_alone(run: Run):
    with run_folder.locked(run.directory), pytest.raises(RunError, match="another process"):
        with run_folder.locked(run.directory):
            pass
