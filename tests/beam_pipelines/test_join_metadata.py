# SPDX-License-Identifier: Apache-2.0
"""Stars, dates and licences of repositories, and the choice by them."""

import gzip
import json
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines import join_metadata
from beam_pipelines.join_metadata import JoinMetadata, MetadataConfig, judge
from beam_pipelines.options import DEFAULT_RUNNER, OptionError
from beam_pipelines.separate_outputs import Count
from beam_pipelines.sources.source import (
    FileBatch,
    FileReference,
    Metadata,
    RepositoryInfo,
    SourceError,
)
from coder.data.records import Reject

ALL = MetadataConfig()


def info(name: str, licence: str = "", **known) -> RepositoryInfo:
    return RepositoryInfo(name, "", licence, "", Metadata(**known))


def batch(repository: RepositoryInfo, *paths: str) -> FileBatch:
    return FileBatch(repository, tuple(FileReference(path, 1) for path in paths))


def write(path: Path, *rows: object) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def run(batches: list[FileBatch], pattern: str, config: MetadataConfig = ALL):
    """What the transform gives, checked by `expected(kept, rejects, counts)`."""

    def expected(kept: list, rejects: list, counts: list) -> None:
        with beam.Pipeline(runner=DEFAULT_RUNNER) as pipeline:
            joined: Any = pipeline | beam.Create(batches) | "join" >> JoinMetadata(pattern, config)
            assert_that(joined.kept, equal_to(kept), "kept")
            assert_that(joined.rejects, equal_to(rejects), "rejects")
            assert_that(joined.counts, equal_to(counts), "counts")

    return expected


def test_rows_and_repositories_meet(tmp_path: Path):
    write(
        tmp_path / "1.jsonl",
        {"repository": "a", "stars": 5, "licence": "MIT", "created_at": "2020-02-03T04:05:06Z"},
        {"repository": "nobody", "stars": 5},
    )
    packed = (json.dumps({"name": "b", "forks": 2, "license": "MIT"}) + "\n").encode()
    (tmp_path / "2.jsonl").write_bytes(gzip.compress(packed))
    archive = FileBatch(info("b", "BSD", stars=7), None)
    batches = [batch(info("a"), "1"), batch(info("a"), "2"), archive, batch(info("c"), "3")]
    known = info("a", "MIT", stars=5, created="2020-02-03")
    run(batches, f"{tmp_path}/*.jsonl")(
        [
            batch(known, "1"),
            batch(known, "2"),
            FileBatch(info("b", "BSD", stars=7, forks=2), None),
            batch(info("c"), "3"),
        ],
        [],
        [],
    )


def test_every_file_of_a_repository_left_out_is_a_reject(tmp_path: Path):
    path = write(
        tmp_path / "x",
        {"name": "late", "stars": 99, "created_at": "2023-02-01"},
        {"name": "early", "stars": 99, "created_at": "2023-01-31"},
        {"name": "few", "stars": 2, "created_at": "2020-01-01"},
    )
    late = [batch(info("late"), "1", "2"), FileBatch(info("few"), None)]
    early = batch(info("early"), "3")
    run([*late, early, batch(info("unknown"), "4")], path, MetadataConfig("2023-02-01", 3))(
        [batch(info("early", stars=99, created="2023-01-31"), "3")],
        [
            Reject("late", "1", "created_late", "2023-02-01"),
            Reject("late", "2", "created_late", "2023-02-01"),
            Reject("few", "few", "few_stars", "2 stars"),
            Reject("unknown", "4", "created_unknown", ""),
        ],
        [Count("read", 1)],
    )


def test_without_a_file_the_source_s_own_metadata_are_judged():
    batches = [batch(info("a", stars=3), "1"), batch(info("b", stars=2), "2", "3")]
    rejected = [Reject("b", path, "few_stars", "2 stars") for path in ("2", "3")]
    run(batches, "", MetadataConfig(min_stars=3))(batches[:1], rejected, [])
    run(batches, "")(batches, [], [])


def test_rows_that_differ_are_a_conflict_and_equal_ones_are_not(tmp_path: Path):
    row = {"name": "same", "stars": 1}
    path = write(tmp_path / "x", row, row, {"name": "two", "stars": 1}, {"name": "two", "stars": 2})
    run([batch(info("same"), "1"), batch(info("two"), "2")], path)(
        [batch(info("same", stars=1), "1")],
        [Reject("two", "2", "metadata_conflict", f"{path} line 3 and {path} line 4 differ")],
        [],
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ('{"stars": 1}', "no repository or name"),
        ('{"name": ""}', "no repository or name"),
        ('{"name": 7}', "name is '7', not text"),
        ('{"name": "a", "stars": "7"}', "not a number"),
        ('{"name": "a", "stars": -1}', "not a number"),
        ('{"name": "a", "forks": true}', "not a number"),
        ('{"name": "a", "created_at": "2023"}', "wanted: YYYY-MM-DD"),
        ('{"name": "a", "license": {"spdx_id": "MIT"}}', "not text"),
        ("[" * 100_000, "not JSON"),
        ("x" * 2_000_000, "more than 1048576 bytes"),
    ],
)
def test_a_bad_row_is_an_error_that_names_file_and_line(tmp_path: Path, line: str, message: str):
    path = tmp_path / "x.jsonl"
    path.write_text('{"name": "b", "stars": null}\n\n' + line + "\n")
    with pytest.raises(SourceError, match=rf"x.jsonl line 3: .*{message}"):
        join_metadata.check_metadata(str(path))


def test_files_that_are_not_there_or_cut_off_are_an_error(tmp_path: Path):
    with pytest.raises(SourceError, match="--metadata .*no file matches"):
        join_metadata.check_metadata(f"{tmp_path}/*.jsonl")
    packed = gzip.compress(json.dumps({"name": "a" * 500}).encode() * 99)
    (tmp_path / "x.jsonl").write_bytes(packed[:-9])
    with pytest.raises(SourceError, match="x.jsonl"):
        join_metadata.check_metadata(f"{tmp_path}/x.jsonl")


def test_the_state_names_the_files(tmp_path: Path):
    path = write(tmp_path / "x", {"name": "a"})
    join_metadata.check_metadata(path)
    (state,) = join_metadata.metadata_state(path)
    assert (state.path, state.size) == (path, 14)


@pytest.mark.parametrize(
    ("known", "config", "reason"),
    [
        ({}, MetadataConfig(), None),
        ({"created": "2023-02-01"}, MetadataConfig("2023-02-01"), "created_late"),
        ({"created": "2023-01-31"}, MetadataConfig("2023-02-01"), None),
        ({}, MetadataConfig("2023-02-01"), "created_unknown"),
        ({"stars": 10}, MetadataConfig(min_stars=10), None),
        ({"stars": 9}, MetadataConfig(min_stars=10), "few_stars"),
        ({"stars": 0}, MetadataConfig(min_stars=1), "few_stars"),
        ({}, MetadataConfig(min_stars=1), "stars_unknown"),
    ],
)
def test_repositories_are_judged_at_the_boundary(known, config, reason):
    assert judge(info("a", **known), config) == reason


@given(st.dates(), st.dates(), st.integers(0, 9), st.integers(0, 9))
def test_who_is_taken_was_created_before_and_has_the_stars(created, before, stars, least):
    config = MetadataConfig(before.isoformat(), least)
    taken = judge(info("a", created=created.isoformat(), stars=stars), config) is None
    assert taken == (created < before and stars >= least)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (MetadataConfig("2023-02"), "--created-before 2023-02: wanted a date"),
        (MetadataConfig("20230201"), "wanted a date"),
        (MetadataConfig("2023-02-30"), "wanted a date"),
        (MetadataConfig(min_stars=-1), "--min-stars -1: at least 0"),
    ],
)
def test_impossible_settings_are_explained(config: MetadataConfig, message: str):
    with pytest.raises(OptionError, match=message):
        join_metadata.check(config)
    join_metadata.check(MetadataConfig("2023-02-01", 5))
