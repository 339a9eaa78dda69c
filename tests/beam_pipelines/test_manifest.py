# SPDX-License-Identifier: Apache-2.0
"""Around the pipelines: counts, Beam options, worker deaths, progress, the held-out list."""

import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines import corpus_summary, local_workers, manifest, progress
from beam_pipelines.filter_files import KeptFile, content_digest
from beam_pipelines.options import OptionError, beam_options
from beam_pipelines.order_dependencies import ReadFile, read_again
from beam_pipelines.sources.folder import LocalFolder
from beam_pipelines.sources.installed import InstalledSource
from beam_pipelines.sources.source import RepositoryInfo, SourceError, Unit
from beam_pipelines.split_held_out import (
    HELD_OUT_BYTES,
    HELD_OUT_INSTALLED,
    HeldOut,
    held_out_of,
    read_names,
)
from beam_pipelines.stages import StageResult


def shard(path: str, **counts: int) -> dict[str, Any]:
    info = {"path": path, "records": 1, "bytes": 1, "crc32c": 1}
    return {"info": info, "counts": {name.replace("__", "/"): n for name, n in counts.items()}}


def test_a_lost_file_fails_the_run() -> None:
    shards = [
        shard("train-00000-of-00001.tfrecord", files=1, documents=1, bytes__Python=7),
        shard("rejects-00000-of-00001.jsonl", rejected__empty=1),
    ]
    read = {"read": 2, "repositories": 1}

    def assembled(*written: dict[str, Any]) -> dict[str, Any]:
        return corpus_summary.assemble({"seed": 0}, [StageResult([*written], read)])

    made = assembled(*shards)
    assert made["files"] == {"read": 2, "kept": 1, "rejected": {"empty": 1}}
    assert made["by_split"]["held_out"]["documents"] == 0
    with pytest.raises(
        manifest.LostFilesError, match="2 files were read, but 1 kept and 0 rejected"
    ):
        assembled(shards[0])
    with pytest.raises(manifest.LostFilesError, match="2 kept and 1 rejected"):
        assembled(*shards, shards[0])


def test_a_manifest_that_is_no_json_is_explained(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(manifest.OutputError, match="cannot be read"):
        manifest.prepare(str(tmp_path), {})


def test_a_file_that_changes_between_its_two_readings_is_a_reject(tmp_path: Path) -> None:
    info = RepositoryInfo("repo", "", "", str(tmp_path))
    content = b"\xef\xbb\xbfx = 1\n"
    (tmp_path / "a.py").write_bytes(content)
    file = KeptFile(info, "a.py", "Python", len(content), content_digest(content))
    source = LocalFolder(str(tmp_path))
    assert [*read_again([file], source)] == [
        ReadFile(info, "a.py", "Python", "x = 1\n", len(content))
    ]
    for changed in (b"x = 2\n", content + b"more"):
        (tmp_path / "a.py").write_bytes(changed)
        assert [getattr(read, "reason", None) for read in read_again([file], source)] == ["changed"]
    (tmp_path / "a.py").unlink()
    assert [getattr(read, "reason", None) for read in read_again([file], source)] == ["changed"]


def test_the_committed_list_fits_the_lock() -> None:
    source = InstalledSource()
    sizes = {
        unit.name: sum(state.size for state in source.state(unit) if state.path[-3:] == ".py")
        for unit in source.units()
        if isinstance(unit, Unit)
    }
    held_out = held_out_of("installed", source, seed=0, size=0)
    listed = held_out.listed or ()
    assert listed == read_names(HELD_OUT_INSTALLED)
    assert 0.08 < sum(sizes[name] for name in listed) / sum(sizes.values()) < 0.15


def test_a_list_that_names_a_stranger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("packaging\n")
    with pytest.raises(SourceError, match="does not lock: .*click"):
        held_out_of("installed", InstalledSource(tmp_path / "requirements.txt"), 0, 0)


def test_repositories_elsewhere_are_drawn_by_name() -> None:
    names = [f"repository {number}" for number in range(2000)]
    drawn = {name for name in names if name in HeldOut(3)}
    assert 140 < len(drawn) < 260
    assert drawn == {name for name in names[::-1] if name in HeldOut(3)}
    assert drawn != {name for name in names if name in HeldOut(4)}


def test_less_of_a_large_source_is_held_out() -> None:
    source = LocalFolder("/nowhere")
    names = [f"repository {number}" for number in range(2000)]
    small, large = (held_out_of("folder:x", source, 0, size) for size in (1 << 20, 1 << 34))
    assert large.share * (1 << 34) == HELD_OUT_BYTES
    few = {name for name in names if name in large}
    assert few < {name for name in names if name in small}


def test_beam_options_are_checked_and_the_runner_is_named() -> None:
    chosen = beam_options(["--job_name=mine"], workers=3).get_all_options(drop_default=True)
    assert chosen["runner"].endswith("FnApiRunner")
    assert (chosen["direct_num_workers"], chosen["direct_running_mode"]) == (3, "multi_processing")
    assert chosen["job_name"] == "mine"
    with pytest.raises(OptionError, match="invalid choice"):
        beam_options(["--direct_running_mode=fast"])
    with pytest.raises(OptionError, match="unknown Beam option stray"):
        beam_options(["stray"])


def test_a_dead_worker_ends_the_run(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(local_workers.psutil.Process, "children", lambda *_, **__: [])

    def fail() -> None:
        raise RuntimeError("exited with return code 137")

    before = threading.excepthook
    with local_workers.fatal_worker_deaths():
        thread = threading.Thread(target=fail, name="run_worker")
        thread.start()
        thread.join()
    assert ended == [1]
    assert "return code 137" in capsys.readouterr().err
    assert threading.excepthook is before


def test_progress_adds_up_over_threads_and_logs_a_rate(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "_LOG_SECONDS", 0.0)
    with caplog.at_level(logging.INFO, "beam_pipelines"), progress.shown("work", 1000) as channel:
        threads = [threading.Thread(target=progress.advance, args=(channel, 50)) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        deadline = time.monotonic() + 10
        while "work: 50 % of" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.05)
    assert "work: 50 % of" in caplog.text
    progress.advance("", 1)
