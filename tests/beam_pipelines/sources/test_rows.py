# SPDX-License-Identifier: Apache-2.0
"""Tables of files: columns of The Stack, rows that are none, and damage."""

import datetime
import gzip
import io
import json
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pipelines.sources import rows
from beam_pipelines.sources.rows import RowsSource
from beam_pipelines.sources.source import (
    BATCH_BYTES,
    BATCH_FILES,
    FileBatch,
    FileContent,
    FileReference,
    Metadata,
    RepositoryInfo,
    SourceError,
    Unit,
)
from coder.data.records import Reject
from tests.beam_pipelines.sources.memory_files import MemoryFiles

SIMPLE = [
    {"repository": "o/a", "path": "1.py", "content": "x = 1\n"},
    {"repository": "o/b", "path": "s/ü.py", "content": "x = 'ü'\n"},
    {"repository": "o/a", "path": "2.py", "content": ""},
]

STACK_1 = {
    "hexsha": "f" * 40,
    "size": 6,
    "max_stars_repo_path": "a.py",
    "max_stars_repo_name": "o/r",
    "max_stars_repo_head_hexsha": "1" * 40,
    "max_stars_repo_licenses": ["MIT", "Apache-2.0"],
    "max_stars_count": 12.0,
    "max_forks_repo_name": "o/r",
    "max_forks_count": 3.0,
    "content": "x = 1\n",
}

STACK_2 = {
    "repo_name": "o/r",
    "path": "a.py",
    "content": "x = 1\n",
    "revision_id": "1" * 40,
    "detected_licenses": ["MIT"],
    "star_events_count": 12,
    "fork_events_count": 3,
    "gha_created_at": datetime.datetime(2019, 5, 3, 12, tzinfo=datetime.UTC),
}

INFO = RepositoryInfo("o/r", "1" * 40, "MIT", "", Metadata(12, 3, "2019-05-03"))


def jsonl(found: list[Any]) -> bytes:
    return "".join(json.dumps(row, default=str) + "\n" for row in found).encode()


def parquet(found: list[dict[str, Any]], **options: Any) -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(found), written, **options)
    return written.getvalue()


WRITERS = {"jsonl": jsonl, "parquet": parquet}


def batches(path: Path, kind: Any, content: bytes) -> list[FileBatch | Reject]:
    """What a table of these bytes lists."""
    path.write_bytes(content)
    source = RowsSource(str(path), kind)
    (unit,) = source.units()
    assert isinstance(unit, Unit)
    return list(source.batches(unit))


def files(found: list[FileBatch | Reject]) -> dict[tuple[str, str], bytes | None]:
    """The contents that the batches carry."""
    carried = {}
    for batch in found:
        if isinstance(batch, FileBatch):
            for file in batch.files or ():
                assert file.content is None or file.size == len(file.content)
                carried[batch.info.name, file.path] = file.content
    return carried


def rejects(found: list[FileBatch | Reject]) -> list[Reject]:
    return [reject for reject in found if isinstance(reject, Reject)]


@pytest.mark.parametrize("kind", WRITERS)
def test_rows_become_the_files_of_their_repositories(tmp_path: Path, kind: str):
    found = batches(tmp_path / "x", kind, WRITERS[kind](SIMPLE))
    assert not rejects(found)
    expected = {(r["repository"], r["path"]): r["content"].encode() for r in SIMPLE}
    assert files(found) == expected


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("row", [STACK_1, STACK_2])
def test_the_columns_of_the_stack_are_understood(tmp_path: Path, kind: str, row: dict[str, Any]):
    (batch,) = batches(tmp_path / "x", kind, WRITERS[kind]([row]))
    assert isinstance(batch, FileBatch)
    assert batch.files == (FileReference("a.py", 6, b"x = 1\n"),)
    info = batch.info
    assert (info.name, info.revision, info.place) == ("o/r", "1" * 40, f"{tmp_path}/x")
    assert info.licence == ("MIT AND Apache-2.0" if row is STACK_1 else "MIT")
    assert info.metadata == Metadata(12, 3, "" if row is STACK_1 else "2019-05-03")


@pytest.mark.parametrize("choice", ["MIT OR Apache-2.0", "mit or apache-2.0"])
def test_a_choice_among_several_licences_leaves_the_others_in_force(tmp_path: Path, choice: str):
    row = SIMPLE[0] | {"license": [choice, "GPL-3.0-only"]}
    (batch,) = batches(tmp_path / "x", "jsonl", jsonl([row]))
    assert isinstance(batch, FileBatch)
    assert batch.info.licence == "(MIT OR Apache-2.0) AND GPL-3.0-only"


def test_forks_of_another_repository_do_not_count(tmp_path: Path):
    row = STACK_1 | {"max_forks_repo_name": "else/where"}
    (batch,) = batches(tmp_path / "x", "parquet", parquet([row]))
    assert isinstance(batch, FileBatch)
    assert batch.info.metadata == Metadata(12, None, "")


def test_unknown_metadata_may_be_null_or_nan(tmp_path: Path):
    row = STACK_1 | {"max_stars_count": float("nan"), "max_stars_repo_licenses": None}
    row |= {"max_stars_repo_head_hexsha": None, "max_forks_count": None}
    for kind, write in WRITERS.items():
        (batch,) = batches(tmp_path / "x", kind, write([row]))
        assert isinstance(batch, FileBatch)
        assert batch.info == RepositoryInfo("o/r", "", "", f"{tmp_path}/x")


BAD_ROWS = {
    "no name": ({"path": "a", "content": ""}, "", "row"),
    "no path": ({"repository": "r", "content": ""}, "r", "row"),
    "no content": ({"repository": "r", "path": "a", "content": None}, "r", "row"),
    "content of numbers": ({"repository": "r", "path": "a", "content": 5}, "r", "row"),
    "list of names": ({"repository": ["r"], "path": "a", "content": ""}, "", "row"),
    "empty name": ({"repository": "", "path": "a", "content": ""}, "", "row"),
    "odd name": ({"repository": "r\n", "path": "a", "content": ""}, "", "row"),
    "outside": ({"repository": "r", "path": "../a", "content": ""}, "r", "path_outside"),
    "absolute": ({"repository": "r", "path": "//a", "content": ""}, "r", "path_outside"),
    "empty path": ({"repository": "r", "path": "", "content": ""}, "r", "path"),
    "words for stars": (SIMPLE[0] | {"stars": "many"}, "o/a", "row"),
    "negative stars": (SIMPLE[0] | {"stars": -1}, "o/a", "row"),
    "half a star": (SIMPLE[0] | {"stars": 0.5}, "o/a", "row"),
    "true stars": (SIMPLE[0] | {"stars": True}, "o/a", "row"),
    "no date": (SIMPLE[0] | {"created_at": "yesterday"}, "o/a", "row"),
    "licence of numbers": (SIMPLE[0] | {"license": [3]}, "o/a", "row"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_row_that_is_no_file_is_a_reject_that_names_it(tmp_path: Path, name: str):
    row, repository, reason = BAD_ROWS[name]
    found = batches(tmp_path / "x", "jsonl", jsonl([SIMPLE[0], row, SIMPLE[1]]))
    assert len(files(found)) == 2
    (reject,) = rejects(found)
    assert (reject.repository, reject.reason) == (repository, reason)
    assert "x row 2: " in reject.detail


@pytest.mark.parametrize(
    "line",
    [b"{", b"[1]", b"null", b"\xff", b'{"a": ' + b"9" * 5000 + b"}", b"[" * 100_000, b"\0"],
)
def test_a_line_that_is_no_object_is_a_reject(tmp_path: Path, line: bytes):
    found = batches(tmp_path / "x", "jsonl", jsonl(SIMPLE[:1]) + line + b"\n\n" + jsonl(SIMPLE[1:]))
    assert len(files(found)) == 3
    (reject,) = rejects(found)
    assert (reject.repository, reject.path, reject.reason) == ("", "x:2", "row")


def test_a_line_without_end_is_not_kept_in_memory(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(rows, "MAX_LINE", 1000)
    long = b'{"content": "' + bytes(50 << 20).replace(b"\0", b"x")
    content = zstandard.compress(long + b"\n" + jsonl(SIMPLE) + long)
    tracemalloc.start()
    found = batches(tmp_path / "x", "jsonl", content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 << 20
    assert [(r.path, r.reason) for r in rejects(found)] == [
        ("x:1", "too_large"),
        ("x:5", "too_large"),
    ]
    assert len(files(found)) == 3


def test_halves_of_surrogate_pairs_are_left_to_the_filters(tmp_path: Path):
    row = b'{"repository": "r", "path": "a.py", "content": "x\\ud800"}'
    (content,) = files(batches(tmp_path / "x", "jsonl", row)).values()
    assert content == b"x\xed\xa0\x80"


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_jsonl_may_be_compressed_and_what_comes_before_damage_stays(tmp_path: Path, pack):
    whole = pack(jsonl(SIMPLE))
    assert len(files(batches(tmp_path / "x", "jsonl", whole))) == 3
    many = gzip.compress(jsonl([{**SIMPLE[0], "path": f"{n}"} for n in range(9999)]))
    found = batches(tmp_path / "x", "jsonl", many[: len(many) // 2])
    (reject,) = rejects(found)
    assert (reject.path, reject.reason) == ("x", "unreadable")
    assert len(files(found)) == int(reject.detail.split()[2].rstrip(":")) > 1000


def test_a_missing_column_is_named(tmp_path: Path):
    published = {key: value for key, value in STACK_2.items() if key != "content"}
    (reject,) = batches(tmp_path / "x", "parquet", parquet([published]))
    assert isinstance(reject, Reject)
    assert reject.reason == "unreadable"
    assert "no column with the content (content); it has [" in reject.detail


def test_parquet_of_other_types_is_understood(tmp_path: Path):
    columns = {
        "repo_name": pa.array(["o/r"] * 3).dictionary_encode(),
        "path": pa.array(["a", "b", "c"], pa.large_string()),
        "content": pa.array([b"\xff", b"x", None], pa.binary()),
        "star_events_count": pa.array([1, 2, 3], pa.int8()),
        "created_at": pa.array([10**18 + 7] * 3, pa.timestamp("ns", "UTC")),
        "detected_licenses": pa.array([["MIT"], [], None], pa.list_(pa.string())),
    }
    written = io.BytesIO()
    pq.write_table(pa.table(columns), written)
    found = batches(tmp_path / "x", "parquet", written.getvalue())
    assert files(found) == {("o/r", "a"): b"\xff", ("o/r", "b"): b"x"}
    (reject,) = rejects(found)
    assert (reject.path, reject.reason) == ("c", "row")
    assert {b.info.metadata.created for b in found if isinstance(b, FileBatch)} == {"2001-09-09"}


def test_text_that_is_no_utf8_and_impossible_dates_cost_their_rows(tmp_path: Path):
    broken = pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xff", b"b"], pa.binary()).buffers())
    columns = {
        "repository": pa.array(["r"] * 2),
        "path": broken,
        "content": pa.array(["x"] * 2),
        "created_at": pa.array([0, 2**62], pa.timestamp("us")),
    }
    written = io.BytesIO()
    pq.write_table(pa.table(columns), written)
    found = batches(tmp_path / "x", "parquet", written.getvalue())
    assert [(reject.path, reject.reason) for reject in rejects(found)] == [
        ("\\udcff", "path"),
        ("b", "row"),
    ]


def test_batches_are_about_equally_heavy(tmp_path: Path):
    made = [{"repository": "r", "path": f"{n}", "content": "x" * 50_000} for n in range(200)]
    made += [{"repository": "s", "path": f"{n}", "content": ""} for n in range(600)]
    for kind, write in WRITERS.items():
        found = batches(tmp_path / "x", kind, write(made))
        assert len(files(found)) == 800
        for batch in found:
            assert isinstance(batch, FileBatch)
            assert batch.files is not None
            assert len(batch.files) <= BATCH_FILES
            assert sum(file.size for file in batch.files) <= BATCH_BYTES


def test_memory_does_not_grow_with_a_table(tmp_path: Path):
    row = {"repository": "r", "path": "a", "content": "x" * 100_000}
    with pq.ParquetWriter(tmp_path / "x", pa.Table.from_pylist([row]).schema) as writer:
        for _ in range(3):
            writer.write_table(pa.Table.from_pylist([row] * 500))
    (tmp_path / "y").write_bytes(gzip.compress(jsonl([row] * 1500), 1))
    before = pa.total_allocated_bytes()
    parquet, json_lines = str(tmp_path / "x"), str(tmp_path / "y")
    for source in (RowsSource(parquet, "parquet"), RowsSource(json_lines, "jsonl")):
        (unit,) = source.units()
        assert isinstance(unit, Unit)
        number = arrow = 0
        tracemalloc.start()
        for batch in source.batches(unit):
            assert isinstance(batch, FileBatch)
            number += len(batch.files or ())
            arrow = max(arrow, pa.total_allocated_bytes() - before)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert number == 1500
        assert peak < 16 << 20, source
        assert arrow < 64 << 20, source


def test_contents_are_carried_and_end_at_the_limit():
    info = RepositoryInfo("r", "", "", "x")
    batch = FileBatch(info, (FileReference("a", 4, b"0123"), FileReference("b", 1)))
    found = list(RowsSource("x", "jsonl").read(batch, 2))
    assert found[0] == FileContent("a", b"01", carried=True)
    assert isinstance(found[1], Reject)


def test_other_file_systems_of_beam_are_read_alike(monkeypatch):
    monkeypatch.setattr(
        MemoryFiles,
        "FILES",
        {"memory://b/1/x.parquet": parquet(SIMPLE), "memory://b/2/x.parquet": parquet(SIMPLE[:1])},
    )
    source = pickle.loads(pickle.dumps(RowsSource("memory://b/*/x.parquet", "parquet")))
    units = list(source.units())
    assert [unit.name for unit in units] == ["1/x.parquet", "2/x.parquet"]
    assert [len(files(list(source.batches(unit)))) for unit in units] == [3, 1]
    assert next(source.state(units[0])).path == "memory://b/1/x.parquet"


def test_links_that_lead_nowhere_are_counted(tmp_path: Path):
    (tmp_path / "a.jsonl").write_bytes(jsonl(SIMPLE))
    (tmp_path / "b.jsonl").symlink_to("nowhere")
    reject, unit = RowsSource(f"{tmp_path}/*.jsonl", "jsonl").units()
    assert isinstance(reject, Reject) and isinstance(unit, Unit)
    assert (reject.path, reject.reason, unit.name) == ("b.jsonl", "symlink_broken", "a.jsonl")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\xff" * 20 + b"PAR1", b"text"])
def test_what_is_no_parquet_is_one_reject(tmp_path: Path, content: bytes):
    (reject,) = batches(tmp_path / "x", "parquet", content)
    assert isinstance(reject, Reject)
    assert (reject.path, reject.reason) == ("x", "unreadable")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("", "name the files"), ("{}/*.x", "no file matches"), ("{}", "is a folder")],
)
def test_unusable_patterns_are_explained(tmp_path: Path, pattern: str, message: str):
    with pytest.raises(SourceError, match=message):
        list(RowsSource(pattern.format(tmp_path), "parquet").units())


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.lists(st.text())
)
COLUMNS = st.sampled_from(
    ["repository", "repo_name", "path", "content", "license", "stars", "created_at", "revision"]
)


@given(st.lists(st.dictionaries(COLUMNS, VALUES | st.just("a.py"), max_size=8), max_size=8))
@settings(deadline=None, max_examples=150)
def test_every_row_is_once_a_file_or_a_reject(tmp_path_factory, made):
    found = batches(tmp_path_factory.mktemp("rows") / "x", "jsonl", jsonl(made))
    carried = sum(len(batch.files or ()) for batch in found if isinstance(batch, FileBatch))
    assert carried + len(rejects(found)) == len(made)


MANY = [STACK_2 | {"path": f"{number}.py"} for number in range(20)]
SEEDS = {kind: write(MANY) for kind, write in WRITERS.items()}


@given(data=st.data(), kind=st.sampled_from(sorted(SEEDS)))
@settings(deadline=None, max_examples=200)
def test_mutated_tables_never_raise(tmp_path_factory, data, kind: str):
    content = bytearray(SEEDS[kind])
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=20))
        content = content or bytearray(b"x")
    found = batches(tmp_path_factory.mktemp("fuzz") / "x", kind, bytes(content))
    assert found or not bytes(content).strip()
