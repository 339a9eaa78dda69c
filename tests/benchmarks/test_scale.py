# SPDX-License-Identifier: Apache-2.0
"""The reckoning of what the paper's corpus would cost."""

import json

import pytest

from benchmarks import scale

SPEEDS = ("read_tar_gz", "filter", "resolve_java", "resolve_python", "resolve_c", "licences")
MEASURED = {
    name: {"megabytes": 100.0, "seconds": {"ours": 1.0}} for name in (*SPEEDS, "shingles", "write")
}


def test_the_document_holds_what_was_measured_last() -> None:
    measured = json.loads((scale.RESULTS / "corpus.json").read_text())
    whole = json.loads((scale.RESULTS / "corpus_scale.json").read_text())
    text = scale.DOCUMENT.read_text(encoding="utf-8")
    assert scale.hours_table(measured, whole) in text, "run: python -m benchmarks.scale --write"
    assert scale.shuffle_table(measured) in text, "run: python -m benchmarks.scale --write"


def test_every_kept_byte_is_resolved_once_and_every_read_byte_is_judged_once() -> None:
    passes = list(scale.work(MEASURED))
    resolved = sum(size for name, size, _ in passes if name.startswith("imports"))
    assert resolved == pytest.approx(798e9)
    judged = [size for name, size, _ in passes if name.startswith("reading")]
    assert judged == [pytest.approx(798e9 / 0.328)]


def test_core_hours_are_bytes_by_speed() -> None:
    whole = {"megabytes": 500.0, "processes": {"1": {"seconds": 50.0}}}
    table = scale.hours_table(MEASURED, whole)
    assert "| licences | 798 | 100 | 2.2 |" in table  # 798 GB at 100 MB/s: 7,980 seconds
    assert "| 2,433 | 10.0 | **68** (0.1 hours on 1,000 cores) |" in table
