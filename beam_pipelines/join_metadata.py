# SPDX-License-Identifier: Apache-2.0
"""Stage 1½: what a forge knows about the repositories, and the paper's choice among them by it.

Metadata are JSONL, also compressed, an object a line:

    {"repository": "owner/project", "stars": 12, "forks": 3, "licence": "MIT",
     "created_at": "2019-05-03T12:00:00Z"}

(`name` and `license` are understood too); all but the name may be missing or null. What a row says
outranks what the source knows, except for the licence: that of the source is nearer to the files.
Repositories without a row stay as they are, rows without a repository are of no consequence.

A row that is none is an error that names file and line: `check_metadata` says so at launch. Two
rows that say different things about a repository make all its files rejects, `metadata_conflict`.

The paper took repositories of GitHub created before February 2023. What is not known to pass does
not pass: with a filter on, unknown dates and stars are rejects of their own.
"""

import dataclasses
import datetime
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection

from beam_pipelines.options import OptionError
from beam_pipelines.separate_outputs import Count, SeparateOutputs
from beam_pipelines.sources import matching
from beam_pipelines.sources.row_columns import RowError, metadata_of
from beam_pipelines.sources.source import (
    FileBatch,
    FileState,
    Metadata,
    RepositoryInfo,
    SourceError,
)
from beam_pipelines.sources.streams import ENDLESS, ArchiveError, Stream, lines
from coder.data.records import Reject

MAX_LINE = 1 << 20
"""Bytes of a row."""

PAPER_CREATED_BEFORE = "2023-02-01"

_NAME = ("repository", "name")
_LICENCE = ("licence", "license")


@dataclass(frozen=True)
class MetadataConfig:
    """Which repositories are taken, by their metadata; the defaults take all."""

    created_before: str = ""
    """YYYY-MM-DD: repositories that were created on that day or later are left out, and those of
    unknown date. The paper: 2023-02-01. Empty: all are taken."""
    min_stars: int = 0
    """Repositories with fewer stars are left out, and those of unknown number. 0: all are taken."""


@dataclass(frozen=True)
class MetadataRow:
    """What one row says about a repository."""

    repository: str
    metadata: Metadata
    licence: str
    place: str
    """File and line."""


def check(config: MetadataConfig) -> None:
    """Raises OptionError for what makes no sense."""
    if config.min_stars < 0:
        raise OptionError(f"--min-stars {config.min_stars}: at least 0")
    if config.created_before:
        try:
            day = datetime.date.fromisoformat(config.created_before).isoformat()
        except ValueError:
            day = ""
        if day != config.created_before:
            raise OptionError(
                f"--created-before {config.created_before}: wanted a date as {PAPER_CREATED_BEFORE}"
            )


def judge(info: RepositoryInfo, config: MetadataConfig) -> str | None:
    """The reason against a repository, or None."""
    metadata = info.metadata
    if config.created_before:
        if not metadata.created:
            return "created_unknown"
        if metadata.created >= config.created_before:
            return "created_late"
    if config.min_stars:
        if metadata.stars is None:
            return "stars_unknown"
        if metadata.stars < config.min_stars:
            return "few_stars"
    return None


class JoinMetadata(beam.PTransform):
    """`FileBatch`es to `.kept`, those that are taken with their metadata; `.rejects`, `.counts`.

    Joining shuffles the batches: references, of an archive its name, of tables the contents too.
    Without a pattern nothing is joined, and the source's own metadata are judged.
    """

    def __init__(self, pattern: str, config: MetadataConfig) -> None:
        """`pattern`: of the JSONL files; may be empty."""
        super().__init__()
        self.pattern, self.config = pattern, config

    def expand(self, batches: PCollection):
        """Adds the stage to the graph."""
        if not self.pattern:
            return batches | beam.FlatMap(judged, self.config) | SeparateOutputs()
        rows = (
            batches.pipeline
            | "metadata" >> beam.Create([self.pattern])
            | "metadata files" >> beam.FlatMap(_paths)
            | "spread metadata" >> beam.Reshuffle()
            | "metadata rows" >> beam.FlatMap(read_rows)
        )
        return (
            (
                rows | "rows by repository" >> beam.Map(lambda row: (row.repository, row)),
                batches | "batches by repository" >> beam.Map(lambda b: (b.info.name, b)),
            )
            | "both" >> beam.Flatten()
            # Not CoGroupByKey, which would hold all batches of a repository in memory.
            | "join" >> beam.GroupByKey()
            | "judge" >> beam.FlatMap(joined, self.config)
            | SeparateOutputs()
        )


def joined(
    repository: tuple[str, Iterable[FileBatch | MetadataRow]], config: MetadataConfig
) -> Iterator[FileBatch | Reject | Count]:
    """The batches of one repository with what its rows say; goes over them twice."""
    _, elements = repository
    rows = [row for row in elements if isinstance(row, MetadataRow)]
    rows.sort(key=lambda row: row.place)
    conflict = len({(row.metadata, row.licence) for row in rows}) > 1
    for batch in elements:
        if isinstance(batch, MetadataRow):
            continue
        if conflict:
            places = " and ".join(row.place for row in rows[:3])
            yield from _rejected(batch, "metadata_conflict", f"{places} differ")
        elif rows:
            info = with_metadata(batch.info, rows[0])
            yield from judged(dataclasses.replace(batch, info=info), config)
        else:
            yield from judged(batch, config)


def with_metadata(info: RepositoryInfo, row: MetadataRow) -> RepositoryInfo:
    """A repository with what a row knows about it."""
    own, new = info.metadata, row.metadata
    metadata = Metadata(
        own.stars if new.stars is None else new.stars,
        own.forks if new.forks is None else new.forks,
        new.created or own.created,
    )
    return dataclasses.replace(info, metadata=metadata, licence=info.licence or row.licence)


def judged(batch: FileBatch, config: MetadataConfig) -> Iterator[FileBatch | Reject | Count]:
    """A batch that is taken, or the rejects of its files."""
    reason = judge(batch.info, config)
    if reason is None:
        yield batch
        return
    metadata = batch.info.metadata
    details = {"created_late": metadata.created, "few_stars": f"{metadata.stars} stars"}
    yield from _rejected(batch, reason, details.get(reason, ""))


def _rejected(batch: FileBatch, reason: str, detail: str) -> Iterator[Reject | Count]:
    """Every file of a batch; one reject for an archive, whose files nobody has counted yet."""
    name = batch.info.name
    if batch.files is None:
        yield Count("read", 1)
        yield Reject(name, name, reason, detail)
        return
    for file in batch.files:
        yield Reject(name, file.path, reason, detail)


def metadata_state(pattern: str) -> list[FileState]:
    """What tells whether the metadata have changed: their files' sizes and times.

    Raises:
        SourceError: no file matches.
    """
    files = matching.match(f"--metadata {pattern}", pattern)
    return [matching.state_of(file) for file in files]


def check_metadata(pattern: str) -> None:
    """Reads all rows once, keeping none.

    Raises:
        SourceError: one is ill-formed, or no file matches; names file and line.
    """
    for path in _paths(pattern):
        for _ in read_rows(path):
            pass


def read_rows(path: str) -> Iterator[MetadataRow]:
    """The rows of one file.

    Raises:
        SourceError: one is ill-formed, or the file cannot be read further; names file and line.
    """
    number = 0
    try:
        with matching.open_file(path) as file:
            for number, line in enumerate(lines(Stream(file, ENDLESS), MAX_LINE), 1):
                if line is None or line.strip():
                    yield _row(line, f"{path} line {number}")
    except (OSError, ArchiveError) as error:
        raise SourceError(f"--metadata: {path}, after line {number}: {error}") from error


def _row(line: bytes | None, place: str) -> MetadataRow:
    """The row that a line holds; None stands for one that is too long."""
    try:
        if line is None:
            raise RowError(f"more than {MAX_LINE} bytes")
        row = json.loads(line.decode("utf-8-sig"))
        if not isinstance(row, dict):
            raise RowError("not an object")
        name, licence = _word(row, _NAME), _word(row, _LICENCE)
        if not name:
            raise RowError(f"no {' or '.join(_NAME)}")
        return MetadataRow(name, metadata_of(row), licence, place)
    except (ValueError, RecursionError) as error:
        words = str(error) if isinstance(error, RowError) else f"not JSON in UTF-8: {error}"
        raise SourceError(f"--metadata: {place}: {words}; correct or remove it") from error


def _word(row: dict[str, Any], columns: tuple[str, ...]) -> str:
    """A text that may be missing or null."""
    for column in columns:
        value = row.get(column)
        if isinstance(value, str):
            return value
        if value is not None:
            raise RowError(f"{column} is {str(value)[:50]!r}, not text")
    return ""


def _paths(pattern: str) -> list[str]:
    return [state.path for state in metadata_state(pattern)]
