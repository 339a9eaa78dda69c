# SPDX-License-Identifier: Apache-2.0
"""The manifest of a corpus: what documents and rejects add up to."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.corpus_summary import assemble, show, split_bytes
from beam_pipelines.manifest import LostFilesError
from beam_pipelines.stages import StageResult
from beam_pipelines.write_tfrecords import document_record, power_of_two, reject_record
from coder.data.records import Reject
from coder.data.tfrecord import ShardInfo
from tests.beam_pipelines.finished_corpus import SETTINGS, document

A = document("a", {"x.py": "é = 1\n", "y.py": "z = 2\n"})
B = document("b", {"m.md": "# Title\n"}, language="Markdown", licence="", split="held_out")


def shard(name: str, *counts: dict[str, int]) -> dict[str, Any]:
    summed: dict[str, int] = {}
    for count in counts:
        for key, number in count.items():
            summed[key] = summed.get(key, 0) + number
    return {"info": asdict(ShardInfo(name, len(counts), 10, 0)), "counts": summed}


def stages() -> list[StageResult]:
    reject = reject_record(Reject("a", "e.py", "empty", "")).counts
    first = StageResult(
        [
            shard("stages/rejects-0.jsonl", reject),
            shard("train-0.tfrecord", document_record(A).counts),
        ],
        {"read": 4, "repositories": 2, "unparsed": 1, "fallback/components": 3},
    )
    second = StageResult(
        [shard("held_out-0.tfrecord", document_record(B).counts), shard("rejects-0.jsonl", reject)],
        {},
    )
    return [first, second]


def test_a_manifest_adds_up_what_the_stages_left() -> None:
    done = assemble(SETTINGS, stages())
    assert done["files"] == {"read": 4, "kept": 3, "rejected": {"empty": 1}}
    assert done["repositories"] == 2
    assert done["documents"] == 2
    assert done["bytes"] == {"Python": 13, "Markdown": 8}
    assert done["language_files"] == {"Python": 2, "Markdown": 1}
    assert done["licences"] == {"MIT": {"files": 2, "bytes": 13}, "": {"files": 1, "bytes": 8}}
    assert done["document_sizes"] == {"files": {"1": 1, "2": 1}, "bytes": {"8": 2}}
    assert (done["unparsed"], done["fallbacks"]) == (1, {"components": 3})
    assert done["by_split"]["held_out"] == {
        "documents": 1,
        "files": 1,
        "bytes": 8,
        "languages": {"Markdown": 8},
    }
    assert [row["path"] for row in done["shards"]] == ["held_out-0.tfrecord", "train-0.tfrecord"]
    assert [row["path"] for row in done["rejects"]] == ["rejects-0.jsonl"]
    assert done["config"] == SETTINGS
    assert split_bytes("train", stages()[0]) == 13


def test_a_lost_file_is_an_error() -> None:
    first, _ = stages()
    with pytest.raises(LostFilesError, match="4 files were read, but 2 kept and 0 rejected"):
        assemble(SETTINGS, [first])


def test_the_digest_follows_documents_and_settings() -> None:
    first = assemble(SETTINGS, stages())["digest"]
    assert assemble({**SETTINGS, "seed": 1}, stages())["digest"] != first
    changed = stages()
    changed[0].shards[1]["info"]["crc32c"] = 1
    assert assemble(SETTINGS, changed)["digest"] != first


@given(st.integers(min_value=0, max_value=2**70))
def test_sizes_fall_between_a_power_of_two_and_the_next(number: int) -> None:
    least = power_of_two(number)
    assert least == 0 if number == 0 else least <= number < 2 * least
    assert least & (least - 1) == 0


def test_a_reject_is_found_by_the_hash_of_its_name(tmp_path: Path) -> None:
    record = reject_record(Reject("a/b", "c/ü.py", "xml", "why"))
    assert record.id == "a/b/c/ü.py"
    assert record.data.isascii()


def test_the_terminal_shows_stages_in_order_and_the_largest_languages(
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = assemble(SETTINGS, stages())
    sizes = {f"L{number}": 1000 - number for number in range(20)}
    done["bytes"] = sizes
    done["by_split"]["train"] |= {"languages": sizes, "bytes": sum(sizes.values())}
    show(done, "runs/corpus", 12.3)
    out = capsys.readouterr().out
    assert out.index("read ") < out.index("rejected: empty") < out.index("kept ")
    assert "8 others" in out and "L0 " in out and "L19" not in out
    assert "runs/corpus: corpus" in out
