# SPDX-License-Identifier: Apache-2.0
"""A run that was cut goes on where it was cut, and never with what other settings have left."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from beam_pipelines import corpus, options
from beam_pipelines.corpus import CorpusOptions
from beam_pipelines.stages import SETTINGS, Stages
from beam_pipelines.write_tfrecords import Record, WriteShards

ROOT = Path(__file__).parents[2]

# Runs a corpus and dies as if for want of memory: before the stage that is named, or in it, with
# that many shards written, of which the last lacks its name.
DRIVER = """
import os, signal, sys
from beam_pipelines import corpus, stages, write_tfrecords

source, output, stage, shards = sys.argv[1:]
left = int(shards)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def run(self, name, work, build, original=stages.Stages.run):
    if name != stage:
        return original(self, name, work, build)
    if not left:
        die()
    def leave(self, *exception, original=write_tfrecords.ShardWriter.__exit__):
        global left
        left -= 1
        if not left:
            self._file.close()
            die()
        original(self, *exception)
    write_tfrecords.ShardWriter.__exit__ = leave
    return original(self, name, work, build)

stages.Stages.run = run
corpus.main(["--source", source, "--output", output, "--shards", "2"])
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for number in range(24):
        package = folder / f"repository{number}" / "pkg"
        package.mkdir(parents=True)
        (package / "base.py").write_text(f"def function_{number}():\n    return {number}\n")
        (package / "above.py").write_text(f"from pkg.base import function_{number}\n")
        (package / "same.py").write_text("print('in every repository the same')\n")
        (package / "empty.py").write_text("")
    return folder


@pytest.fixture(scope="module")
def uncut(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    output = tmp_path_factory.mktemp("corpus") / "uncut"
    assert corpus.run(chosen(source, output)) == 0
    return contents(output)


def chosen(source: Path, output: Path) -> CorpusOptions:
    return CorpusOptions(output=str(output), source=f"folder:{source}", shards=2)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def kill(source: Path, output: Path, stage: str, shards: int) -> None:
    """A run that is killed before a stage, or in it."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, f"folder:{source}", output, stage, str(shards)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (output / "manifest.json").exists()


def interrupt(source: Path, output: Path) -> None:
    """A run that is interrupted before the stage `held_out`."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(corpus, "held_out_stage", stop)
        corpus.run(chosen(source, output))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages that are carried out from now on."""
    names: list[str] = []

    def watched(name: str, stage: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: (names.append(name), stage(*arguments))[1]

    for name in ("filter", "order", "held_out"):
        stage = f"{name}_stage"
        monkeypatch.setattr(corpus, stage, watched(name, getattr(corpus, stage)))
    return names


@pytest.mark.parametrize(
    ("stage", "shards", "repeated"),
    [
        pytest.param("order", 0, ["order", "held_out"], marks=pytest.mark.slow),
        ("order", 3, ["order", "held_out"]),
        pytest.param("held_out", 2, ["held_out"], marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_repeats_no_finished_stage_and_ends_the_same(
    stage: str,
    shards: int,
    repeated: list[str],
    source: Path,
    uncut: dict[str, bytes],
    built: list[str],
    tmp_path: Path,
) -> None:
    kill(source, tmp_path / "out", stage, shards)
    assert corpus.run(chosen(source, tmp_path / "out")) == 0
    assert built == repeated
    assert contents(tmp_path / "out") == uncut


def test_no_finished_stage_is_taken_when_a_file_has_changed(
    source: Path, uncut: dict[str, bytes], built: list[str], tmp_path: Path
) -> None:
    changed, output = tmp_path / "source", tmp_path / "out"
    shutil.copytree(source, changed)
    original = (changed / "repository1/pkg/base.py").read_text()
    (changed / "repository1/pkg/base.py").write_text(original.replace("return 1", "return 9"))
    interrupt(changed, output)
    built.clear()
    (changed / "repository1/pkg/base.py").write_text(original)
    assert corpus.run(chosen(changed, output)) == 0
    assert built == ["filter", "order", "held_out"]
    shards = {name for name in uncut if name.endswith((".tfrecord", ".jsonl"))}
    assert {name: contents(output)[name] for name in shards} == {
        name: uncut[name] for name in shards
    }


@pytest.mark.slow
def test_a_stage_whose_shard_is_damaged_is_carried_out_again(
    source: Path, uncut: dict[str, bytes], built: list[str], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    interrupt(source, output)
    built.clear()
    shard = max(output.glob("train-*"), key=lambda path: path.stat().st_size)
    os.truncate(shard, shard.stat().st_size - 1)
    assert corpus.run(chosen(source, output)) == 0
    assert built == ["order", "held_out"]
    assert contents(output) == uncut


def write_numbers(stages: Stages, built: list[str]) -> dict[str, int]:
    """A stage of ten records; its counts."""

    def build(pipeline: beam.Pipeline, channel: str) -> Any:
        built.append("numbers")
        records = [Record(str(n), b"%d" % n, {"sum": n}) for n in range(10)]
        return pipeline | beam.Create(records) | WriteShards(stages.output, "stages/numbers", 2)

    result = stages.run("numbers", 0, build)
    assert result.paths("stages/numbers")
    return {"sum": sum(shard["counts"].get("sum", 0) for shard in result.shards)}


@pytest.mark.parametrize("local", [True, False])
def test_only_workers_on_this_machine_are_told_where_progress_goes(
    local: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels: list[str] = []

    def build(pipeline: beam.Pipeline, channel: str) -> Any:
        channels.append(channel)
        return pipeline | beam.Create([])

    monkeypatch.setattr(options, "has_local_workers", lambda _: local)
    Stages(str(tmp_path), (), 1).run("nothing", 0, build)
    assert bool(channels[0]) == local


@pytest.mark.parametrize("loss", ["nothing", "a shard", "the last byte", "the list of shards"])
def test_a_stage_is_finished_when_its_list_and_all_its_shards_are_there(
    loss: str, tmp_path: Path
) -> None:
    stages, built = Stages(str(tmp_path), (), 1), []
    assert write_numbers(stages, built) == {"sum": 45}
    shard = next(tmp_path.glob("stages/numbers-*"))
    if loss == "a shard":
        shard.unlink()
    elif loss == "the last byte":
        os.truncate(shard, shard.stat().st_size - 1)
    elif loss == "the list of shards":
        (tmp_path / "stages/numbers.json").unlink()
    assert write_numbers(stages, built) == {"sum": 45}
    assert len(built) == (1 if loss == "nothing" else 2)


def test_stages_are_taken_up_only_with_the_settings_that_they_began_with(tmp_path: Path) -> None:
    stages = Stages(str(tmp_path / "out"), (), 1)
    assert not stages.can_resume({"seed": 0})
    stages.begin({"seed": 0})
    assert stages.can_resume({"seed": 0})
    assert not stages.can_resume({"seed": 1})
    (tmp_path / "out" / SETTINGS).write_text('{"seed"')
    assert not stages.can_resume({"seed": 0})
    stages.end()
    assert not (tmp_path / "out/stages").exists()
