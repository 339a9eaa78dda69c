# SPDX-License-Identifier: Apache-2.0
"""What a row of The Stack, or of a table like it, says about a file.

The names of columns are those of The Stack v1 and v2 (with contents: v2 as published has none), and
plain ones for tables made by hand. A row needs a repository, a path and a content; the other
columns may be missing or empty, but not be of another kind.
"""

import datetime
import math
from collections.abc import Iterable, Mapping
from typing import Any

from beam_pipelines.sources.member_paths import path_problem, shown
from beam_pipelines.sources.source import FileReference, Metadata, RepositoryInfo
from coder.data.licences import expression, joined
from coder.data.records import Reject

REPOSITORY = ("repository", "repo_name", "max_stars_repo_name")
PATH = ("path", "max_stars_repo_path")
CONTENT = ("content",)
REVISION = ("revision", "revision_id", "max_stars_repo_head_hexsha")
LICENCE = ("licence", "license", "detected_licenses", "max_stars_repo_licenses")
STARS = ("stars", "star_events_count", "max_stars_count")
FORKS = ("forks", "fork_events_count", "max_forks_count")
CREATED = ("created_at", "gha_created_at")

# The Stack v1 counts the forks of the most forked repository that has the file: maybe another one.
FORKED = "max_forks_repo_name"

NEEDED = {"repository": REPOSITORY, "path": PATH, "content": CONTENT}
ALL = {*REPOSITORY, *PATH, *CONTENT, *REVISION, *LICENCE, *STARS, *FORKS, *CREATED, FORKED}

MAX_NAME = 500
"""Characters of a repository's name."""


class RowError(ValueError):
    """A row is no file; the message says which column is wrong."""


def missing_column(names: Iterable[str]) -> str:
    """Which needed column a table lacks, in words; empty if it has all."""
    have = set(names)
    for what, columns in NEEDED.items():
        if have.isdisjoint(columns):
            return f"no column with the {what} ({' or '.join(columns)}); it has {sorted(have)}"
    return ""


def file_of(
    row: Mapping[str, Any], table: str, number: int
) -> tuple[RepositoryInfo, FileReference] | Reject:
    """The file of a row, or its reject, which names table and row.

    Args:
        row: Values by column; text may be bytes.
        table: Where the row is, for the reject and as the repository's place.
        number: Of the row in the table, from 1.
    """
    name = path = ""
    try:
        name = _name(row)
        path = _text(row, PATH).removeprefix("/")  # some tables count from the root like this
        problem = path_problem(path)
        if problem:
            reason, words = problem
            return Reject(name, shown(path), reason, f"{table} row {number}: {words}")
        content = _content(row)
        licences = _first(row, LICENCE)
        info = RepositoryInfo(name, _words(row, REVISION), _licence(licences), table, _stars(row))
    except RowError as error:
        where = shown(path) or f"{shown(table.rpartition('/')[2])}:{number}"
        return Reject(name, where, "row", f"{table} row {number}: {error}")
    return info, FileReference(path, len(content), content)


def metadata_of(row: Mapping[str, Any], forks: tuple[str, ...] = FORKS) -> Metadata:
    """Stars, forks and date of creation; each may be missing or null.

    Raises:
        RowError: one is of another kind.
    """
    return Metadata(_count(row, STARS), _count(row, forks), _date(row))


def _stars(row: Mapping[str, Any]) -> Metadata:
    forked = row.get(FORKED)
    same = forked is None or forked == row.get("max_stars_repo_name")
    return metadata_of(row, FORKS if same else FORKS[:-1])


def _first(row: Mapping[str, Any], columns: tuple[str, ...]) -> Any:
    """The value of the first of several columns that is there and not null."""
    for column in columns:
        value = row.get(column)
        if value is not None:
            return value
    return None


def _text(row: Mapping[str, Any], columns: tuple[str, ...]) -> str:
    """A text that has to be there; undecodable bytes become lone surrogates."""
    value = _first(row, columns)
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if not isinstance(value, str):
        said = "missing or null" if value is None else f"of type {type(value).__name__}"
        raise RowError(f"{' or '.join(columns)} is {said}, not text")
    return value


def _name(row: Mapping[str, Any]) -> str:
    name = _text(row, REPOSITORY)
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise RowError(f"no name of a repository: {shown(name)[:100]!r}")
    return name


def _content(row: Mapping[str, Any]) -> bytes:
    value = _first(row, CONTENT)
    if isinstance(value, bytes):
        return value
    # Half of a surrogate pair, which JSON can hold: the filters will say that it is no UTF-8.
    return _text(row, CONTENT).encode("utf-8", "surrogatepass")


def _words(row: Mapping[str, Any], columns: tuple[str, ...]) -> str:
    """A text that may be missing, as one printable line."""
    return "" if _first(row, columns) is None else shown(_text(row, columns))


def _licence(value: Any) -> str:
    """One licence or several that were found, all of which are taken to hold."""
    several = value if isinstance(value, list) else [value]
    if not all(licence is None or isinstance(licence, str | bytes) for licence in several):
        raise RowError(f"the licence is of type {type(value).__name__}, not text")
    stated = [_words({"": one}, ("",)) for one in several if one]
    if len(stated) > 1:
        stated = [expression(one) or one for one in stated]  # `or` in lower case chooses as well
    return joined(stated)


def _count(row: Mapping[str, Any], columns: tuple[str, ...]) -> int | None:
    """A number from 0; tables that were made with pandas have floats, NaN where it is unknown."""
    value = _first(row, columns)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or value != value // 1 or not 0 <= value < 1 << 63:
        raise RowError(f"{' or '.join(columns)} is {str(value)[:50]!r}, not a number from 0")
    return int(value)


def _date(row: Mapping[str, Any]) -> str:
    """The day of a date or time, as YYYY-MM-DD."""
    value = _first(row, CREATED)
    if value is None:
        return ""
    if isinstance(value, datetime.date):
        return value.isoformat()[:10]
    text = _text(row, CREATED)
    try:
        day = datetime.date.fromisoformat(text[:10])
    except ValueError:
        day = None
    if day is None or text[4:5] != "-":
        raise RowError(
            f"{' or '.join(CREATED)} is {text[:50]!r}; wanted: YYYY-MM-DD and maybe more"
        )
    return day.isoformat()
