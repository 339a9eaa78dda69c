# SPDX-License-Identifier: Apache-2.0
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coder.report import plots
from experiments import run
from experiments._runner import jobs
from experiments.experiment import load

ROOT = Path(__file__).parents[2]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Replaces every subprocess by `fake_program`; gives the calls since it was last asked."""
    log = tmp_path / "calls.log"
    log.touch()
    monkeypatch.setenv("FAKE_LOG", str(log))
    monkeypatch.setattr(
        jobs,
        "_module",
        lambda *arguments: (
            sys.executable,
            "-m",
            "tests.experiments.fake_program",
            *map(str, arguments),
        ),
    )
    # Plots take a second each time; tests/report draws them.
    monkeypatch.setattr(plots, "draw", lambda report, folder: {})
    monkeypatch.chdir(ROOT)

    def since_last() -> list[str]:
        lines = log.read_text().splitlines()
        log.write_text("")
        return lines

    return since_last


@pytest.fixture
def experiment(tmp_path: Path):
    """Runs the command as from a shell; two workers, output under tmp_path."""

    def call(*arguments: str) -> int:
        given = ["fim_ablation", "--output", str(tmp_path / "runs"), "--workers", "2", *arguments]
        return run.main(given)

    return call


SMALL = ("--scale", "smoke", "--only", "no_fim", "psm_50")


def test_an_experiment_runs_every_job_once_and_then_none(calls, experiment, tmp_path, capsys):
    assert experiment("--scale", "smoke") == 0
    made = calls()
    assert len(made) == len(set(made)) == 2 + 3 * 8
    first = capsys.readouterr().out
    assert first.splitlines()[-1] == "claim fim_ablation/d_psm_beats_msp inconclusive"
    assert experiment("--scale", "smoke") == 0
    assert calls() == []
    assert capsys.readouterr().out in first
    root = tmp_path / "runs/fim_ablation/smoke"
    report = json.loads((root / "report.json").read_text())
    assert report["missing"] == []


def test_needs_are_finished_first(calls, experiment):
    assert experiment(*SMALL, "--seeds", "0") == 0
    made = calls()
    for variant in ("no_fim", "psm_50"):
        mine = [line for line in made if f"{variant}/seed0" in line]
        assert [line.split(" --")[0] for line in mine] == [
            "beam_pipelines.examples",
            "coder train",
            "coder eval",
        ]
    assert [line.split(" --")[0] for line in made[:2]] == [
        "beam_pipelines.corpus",
        "coder tokenizer",
    ]


def test_a_failed_child_is_shown_and_the_rest_is_continued(
    calls, experiment, monkeypatch, capsys, tmp_path
):
    run_folder = str(tmp_path / "runs/fim_ablation/smoke/psm_50")
    monkeypatch.setenv("FAKE_FAIL", f"coder train --run {run_folder}")
    assert experiment(*SMALL, "--workers", "1") == 1
    error = capsys.readouterr().err
    assert "train psm_50 seed 0 ended with code 1" in error
    assert "the disk is full" in error
    assert "psm_50/seed0/log.txt" in error
    done = set(calls())
    monkeypatch.delenv("FAKE_FAIL")
    assert experiment(*SMALL) == 0
    again = set(calls())
    assert {line.split(" --output")[0] for line in done & again} == {
        f"coder train --run {run_folder}/seed0"
    }


def test_a_failure_ends_the_jobs_beside_it(calls, experiment, monkeypatch):
    monkeypatch.setenv("FAKE_FAIL", "--seed 0 --objective causal --fim-rate 0.0")
    monkeypatch.setenv("FAKE_HANG", "--seed 0 --objective causal --fim-rate 0.5")
    begun = time.monotonic()
    assert experiment(*SMALL, "--seeds", "0") == 1
    assert time.monotonic() - begun < 30


def test_missing_runs_are_shown_as_missing(calls, experiment, capsys, tmp_path):
    assert experiment(*SMALL, "--seeds", "0") == 0
    shown = capsys.readouterr().out
    assert "Missing runs: " in shown
    assert "claim fim_ablation/a_more_fim_infills_better inconclusive" in shown
    report = json.loads((tmp_path / "runs/fim_ablation/smoke/report.json").read_text())
    assert "psm_100 seed 0" in report["missing"]
    assert "psm_50 seed 1" in report["missing"]


def test_changed_settings_are_refused_with_the_difference(calls, experiment, capsys):
    assert experiment(*SMALL, "--seeds", "0") == 0
    calls()
    assert experiment(*SMALL, "--seeds", "0", "--train.steps", "20") == 2
    error = capsys.readouterr().err
    assert "train.steps: 12 -> 20" in error
    # Another run would not fit into one report with those that are there.
    assert experiment("--scale", "smoke", "--only", "msp_50", "--train.steps", "20") == 2
    assert calls() == []


def test_overrides_reach_every_run_and_the_report(calls, experiment, capsys, tmp_path):
    assert experiment(*SMALL, "--seeds", "0", "--train.steps", "20", "--model.remat") == 0
    config = json.loads((tmp_path / "runs/fim_ablation/smoke/psm_50/seed0/config.json").read_text())
    assert config["run"]["train"]["steps"] == 20
    assert config["run"]["model"]["remat"] is True
    assert config["run"]["data"]["fim_rate"] == 0.5
    assert config["nproc"] == 1
    assert "train.steps: 12 -> 20" in capsys.readouterr().out


def test_overrides_of_one_run_leave_the_next_as_it_was():
    experiment = load("fim_ablation")
    before = experiment.config("smoke", "psm_50", 0, {})
    assert experiment.config("smoke", "psm_50", 0, {"model.mla.kv_lora_rank": 8}) != before
    assert experiment.config("smoke", "psm_50", 0, {}) == before


def test_an_evaluated_run_needs_its_examples_no_more(calls, experiment, tmp_path):
    assert experiment(*SMALL, "--seeds", "0") == 0
    calls()
    (tmp_path / "runs/fim_ablation/smoke/examples/psm_50/seed0/manifest.json").unlink()
    (tmp_path / "runs/fim_ablation/smoke/psm_50/seed0/eval.json").unlink()
    assert experiment(*SMALL, "--seeds", "0") == 0
    assert [line.split(" --")[0] for line in calls()] == ["coder eval"]


def test_examples_of_another_machine(calls, experiment, tmp_path, capsys):
    assert experiment(*SMALL, "--seeds", "0", "--prepare-only") == 0
    assert not any("coder train" in line for line in calls())
    carried = tmp_path / "carried"
    (tmp_path / "runs/fim_ablation/smoke/examples").rename(carried)
    given = ("--examples", str(carried), "--output", str(tmp_path / "elsewhere"))
    assert experiment(*SMALL, "--seeds", "0", *given) == 0
    assert {line.split(" --")[0] for line in calls()} == {"coder train", "coder eval"}
    capsys.readouterr()
    assert experiment(*SMALL, "--seeds", "1", *given) == 2
    assert "there is no no_fim/seed1/manifest.json" in capsys.readouterr().err
    assert experiment(*SMALL, "--seeds", "0", *given, "--data.tokens", "7") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fim_ablatoin"], "unknown experiment 'fim_ablatoin'. Did you mean fim_ablation?"),
        (["fim_ablation", "--scale", "labtop"], "Did you mean laptop?"),
        (["fim_ablation", "--scale", "paper"], "not run here"),
        (["fim_ablation", "--only", "psm50"], "Did you mean psm_50?"),
        (["fim_ablation", "--data.fim-rate", "0.3"], "the variants of fim_ablation differ in it"),
        (["fim_ablation", "--workers", "0"], "one process at least"),
    ],
)
def test_what_does_not_exist_is_named_with_the_nearest(arguments, message, capsys):
    assert run.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_a_misspelt_setting_is_named_with_the_nearest(capsys):
    with pytest.raises(SystemExit) as stop:
        run.main(["fim_ablation", "--train.step", "20"])
    assert stop.value.code == 2
    assert "--train.steps" in capsys.readouterr().err


def test_a_finished_experiment_answers_at_once_without_jax_or_beam(calls, experiment, tmp_path):
    assert experiment("--scale", "smoke") == 0
    program = (
        "import sys, time; begun = time.process_time(); from experiments import run\n"
        "code = run.main(sys.argv[1:])\n"
        "heavy = {'jax', 'apache_beam', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert time.process_time() - begun < 1, time.process_time() - begun\n"
        "sys.exit(code)"
    )
    arguments = ["fim_ablation", "--scale", "smoke", "--output", str(tmp_path / "runs")]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert "claim fim_ablation/d_psm_beats_msp inconclusive" in done.stdout


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_children_too(calls, tmp_path, monkeypatch, signum):
    monkeypatch.setenv("FAKE_HANG", "coder tokenizer")
    program = (
        "import signal, sys\nfrom experiments import run\nfrom experiments._runner import jobs\n"
        # A job that a shell put in the background, perhaps these tests, ignores interrupts.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "fake = (sys.executable, '-m', 'tests.experiments.fake_program')\n"
        "jobs._module = lambda *arguments: (*fake, *map(str, arguments))\n"
        "sys.exit(run.main(sys.argv[1:]))"
    )
    arguments = ["fim_ablation", "--scale", "smoke", "--output", str(tmp_path / "runs")]
    runner = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    log = Path(os.environ["FAKE_LOG"])
    deadline = time.monotonic() + 30
    while "coder tokenizer" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _children(runner.pid)
    children = _children(runner.pid)
    runner.send_signal(signum)
    _, error = runner.communicate(timeout=30)
    assert runner.returncode == 128 + signum
    assert "the same command goes on" in error
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def test_a_second_runner_is_kept_out(calls, experiment, tmp_path, capsys):
    with run._locked(tmp_path / "runs/fim_ablation/smoke/.lock"):
        assert experiment("--scale", "smoke") == 2
    assert "is at work there" in capsys.readouterr().err
    assert calls() == []
