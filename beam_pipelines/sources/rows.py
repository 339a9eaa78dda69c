# SPDX-License-Identifier: Apache-2.0
"""Files as rows of Parquet or JSONL tables, in The Stack's columns (see `row_columns`).

Each table is a unit, read from start to end with some rows in memory at a time (of Parquet a page
at least, which writers make about a megabyte); JSONL may be compressed by gzip, bzip2, xz or zstd.
As a row can be found again only by such a reading, contents travel with their references. Rows of
one repository may lie in several tables. The same path twice in a repository is left to the stage
that gathers repositories: here it would take all paths in memory.

A row that is no file, and the part of a table that damage keeps from being read, is a reject that
names table and row.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from beam_pipelines.sources import matching, member_paths, row_columns
from beam_pipelines.sources.source import (
    BATCH_BYTES,
    BATCH_FILES,
    FileBatch,
    FileContent,
    FileReference,
    FileState,
    RepositoryInfo,
    SourceError,
    Unit,
    in_batches,
)
from beam_pipelines.sources.streams import ENDLESS, ArchiveError, Stream, lines
from coder.data.records import Reject

MAX_LINE = 16 << 20
"""Bytes of a row of JSONL; files of over a megabyte are of no use, and escapes are six for one."""

_Row = Mapping[str, Any] | row_columns.RowError
"""Values by column, or what is wrong with them all."""


@dataclass(frozen=True)
class RowsSource:
    """The tables that a pattern names."""

    pattern: str
    kind: Literal["parquet", "jsonl"]

    def __post_init__(self) -> None:
        """Raises SourceError if there is no pattern."""
        if not self.pattern:
            raise SourceError(
                f"--source {self.kind}: name the files: {self.kind}:FOLDER/*.{self.kind}"
            )

    def units(self) -> Iterator[Unit | Reject]:
        """A unit for each table; links that lead nowhere are rejects.

        Raises:
            SourceError: no file matches.
        """
        files = matching.match(f"--source {self.kind}:{self.pattern}", self.pattern)
        yield from matching.broken_links(self.pattern)
        for file in files:
            name = matching.relative(file.path, self.pattern)
            if file.path.isprintable():
                yield Unit(name, matching.state_of(file))
            else:
                yield Reject("", member_paths.shown(name), "path", "unprintable name of a table")

    def state(self, unit: Unit) -> Iterator[FileState]:
        """Size and time of the table."""
        yield unit.key

    def batches(self, unit: Unit) -> Iterator[FileBatch | Reject]:
        """The rows of a table, as far as they can be read, with their contents."""
        number = 0
        read = _parquet if self.kind == "parquet" else _jsonl
        try:
            with matching.open_file(unit.key.path) as file:
                for rows in read(file):
                    yield from _gathered(rows, unit.key.path, number)
                    number += len(rows)
        except (OSError, ArchiveError, pa.ArrowException) as error:
            detail = error.detail if isinstance(error, ArchiveError) else str(error)
            after = f"after row {number}: " if number else ""
            name = member_paths.shown(unit.name)
            yield Reject("", name, "unreadable", after + member_paths.shown(detail)[:300])

    def read(self, batch: FileBatch, limit: int) -> Iterator[FileContent | Reject]:
        """What the references carry."""
        for file in batch.files or ():
            if file.content is None:
                yield Reject(batch.info.name, file.path, "unreadable", "its row was not carried")
            else:
                yield FileContent(file.path, file.content[:limit], carried=True)


def _gathered(rows: Iterable[_Row], table: str, before: int) -> Iterator[FileBatch | Reject]:
    """Some rows by repository; `before`: how many rows of the table came before them."""
    found: dict[RepositoryInfo, list[FileReference]] = {}
    for number, row in enumerate(rows, before + 1):
        if isinstance(row, row_columns.RowError):
            name = member_paths.shown(table.rpartition("/")[2])
            reason = "too_large" if isinstance(row, _LineTooLong) else "row"
            yield Reject("", f"{name}:{number}", reason, f"{table} row {number}: {row}")
            continue
        file = row_columns.file_of(row, table, number)
        if isinstance(file, Reject):
            yield file
        else:
            found.setdefault(file[0], []).append(file[1])
    for info, files in found.items():
        yield from in_batches(info, files)


def _parquet(file: BinaryIO) -> Iterator[list[_Row]]:
    """Rows by some, only of columns that matter; as many as make about a batch."""
    try:
        table = pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
        schema = table.schema_arrow
        problem = row_columns.missing_column(schema.names)
        if problem:
            raise ArchiveError("unreadable", problem)
        columns = [name for name in schema.names if name in row_columns.ALL]
        size = _rows_at_once(table.metadata)
        for batch in table.iter_batches(size, columns=columns, use_threads=False):
            some = max(1, BATCH_BYTES * batch.num_rows // max(1, batch.nbytes))
            for start in range(0, batch.num_rows, some):
                yield _as_rows(batch.slice(start, some))
    except (ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        if isinstance(error, ArchiveError | pa.ArrowException):
            raise
        raise ArchiveError("unreadable", str(error)[:200]) from error


def _as_rows(batch: pa.RecordBatch) -> list[_Row]:
    values = {name: _values(batch.column(name)) for name in batch.schema.names}
    columns = list(values.values())
    return [dict(zip(values, row, strict=True)) for row in zip(*columns, strict=True)]


def _rows_at_once(metadata: pq.FileMetaData) -> int:
    """How many rows make about `BATCH_BYTES`, going by the row group with the longest.

    They may be longer where the table has the same content often, and stores it once.
    """
    longest = 1
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        longest = max(longest, group.total_byte_size // max(1, group.num_rows))
    return max(1, min(BATCH_FILES, BATCH_BYTES // longest))


def _values(column: pa.Array) -> list[Any]:
    """A column's values; text as bytes, as it may be no UTF-8."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())
    elif pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us"), safe=False)  # Python has no nanoseconds
    try:
        return column.to_pylist()
    except (ValueError, OverflowError):
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    """A value; an error, which is of no type that a column may have, where Python has none."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError) as error:
        return error


class _LineTooLong(row_columns.RowError):
    """A line is of more than `MAX_LINE` bytes."""


def _jsonl(file: BinaryIO) -> Iterator[list[_Row]]:
    """Rows by some: about `BATCH_BYTES` of them."""
    rows: list[_Row] = []
    size = 0
    try:
        for line in lines(Stream(file, ENDLESS), MAX_LINE):
            if line is not None and not line.strip():
                continue
            rows.append(_row(line))
            size += len(line or b"")
            if size >= BATCH_BYTES or len(rows) == BATCH_FILES:
                yield rows
                rows, size = [], 0
    except ArchiveError:
        yield rows
        raise
    yield rows


def _row(line: bytes | None) -> _Row:
    """The object that a line holds."""
    if line is None:
        return _LineTooLong(f"more than {MAX_LINE} bytes")
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return row_columns.RowError(f"not JSON in UTF-8: {str(error)[:100]}")
    if not isinstance(row, dict):
        return row_columns.RowError(f"not an object: {type(row).__name__}")
    return row
