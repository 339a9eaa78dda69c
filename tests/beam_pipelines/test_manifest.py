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
from beam_pipelines.order_dependencies import read_again
from beam_pipelines.read_repositories import (
    REQUIREMENTS,
    FileReference,
    Repository,
    RepositoryInfo,
    SourceError,
    list_installed,
)
from beam_pipelines.split_held_out import HELD_OUT_INSTALLED, held_out_names, read_names
from coder.data.records import Reject

INFO = RepositoryInfo("repo", "1", "MIT", "/nowhere")


def shard(path: str, **counts: int) -> dict[str, Any]:
    info = {"path": path, "records": 1, "bytes": 1, "crc32c": 1}
    return {"info": info, "counts": {name.replace("__", "/"): n for name, n in counts.items()}}


def test_a_lost_file_fails_the_run() -> None:
    repository = Repository(INFO, (FileReference("a.py", 1), FileReference("b.py", 1)))
    shards = [
        shard("train-00000-of-00001.tfrecord", files=1, documents=1, bytes__Python=7),
        shard("rejects-00000-of-00001.jsonl", rejected__empty=1),
    ]
    made = corpus_summary.assemble({"seed": 0}, [repository], shards, unparsed=0)
    assert made["files"] == {"read": 2, "kept": 1, "rejected": {"empty": 1}}
    assert made["by_split"]["held_out"]["documents"] == 0
    with pytest.raises(
        manifest.LostFilesError, match="2 files were read, but 1 kept and 0 rejected"
    ):
        corpus_summary.assemble({"seed": 0}, [repository], shards[:1], unparsed=0)
    with pytest.raises(manifest.LostFilesError, match="2 kept and 1 rejected"):
        corpus_summary.assemble({"seed": 0}, [repository], [*shards, shards[0]], 0)


def test_a_manifest_that_is_no_json_is_explained(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(manifest.OutputError, match="cannot be read"):
        manifest.prepare(tmp_path, {})


def test_a_file_that_changes_between_its_two_readings_is_a_reject(tmp_path: Path) -> None:
    info = RepositoryInfo("repo", "", "", str(tmp_path))
    (tmp_path / "a.py").write_bytes(b"\xef\xbb\xbfx = 1\n")
    file = KeptFile(info, "a.py", "Python", content_digest(b"\xef\xbb\xbfx = 1\n"))
    again = read_again(file)
    assert not isinstance(again, Reject)
    assert again.text == "x = 1\n"
    (tmp_path / "a.py").write_bytes(b"x = 2\n")
    assert getattr(read_again(file), "reason", None) == "changed"
    (tmp_path / "a.py").unlink()
    assert getattr(read_again(file), "reason", None) == "unreadable"


def test_the_committed_list_fits_the_lock() -> None:
    sizes = {
        repository.info.name: sum(file.size for file in repository.files if file.path[-3:] == ".py")
        for repository in list_installed(REQUIREMENTS)
    }
    held_out = held_out_names("installed", sizes, seed=0)
    assert held_out == read_names(HELD_OUT_INSTALLED) == held_out_names("installed", sizes, seed=1)
    assert 0.08 < sum(sizes[name] for name in held_out) / sum(sizes.values()) < 0.15
    with pytest.raises(SourceError, match="does not lock: click"):
        held_out_names("installed", held_out - {"click"}, seed=0)


def test_repositories_elsewhere_are_drawn_by_name() -> None:
    names = [f"repository {number}" for number in range(2000)]
    drawn = held_out_names("folder:x", names, seed=3)
    assert 140 < len(drawn) < 260
    assert drawn == held_out_names("folder:y", names[::-1], seed=3)
    assert drawn != held_out_names("folder:x", names, seed=4)
    assert held_out_names("folder:x", names[:50], seed=3) == drawn.intersection(names[:50])


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
