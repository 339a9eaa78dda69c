# SPDX-License-Identifier: Apache-2.0
"""A place in a file, as editors and compilers write it: `path:line` or `path:line:column`."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

_PLACE = re.compile(r"(?P<path>.+?):(?P<line>\d+)(?::(?P<column>\d+))?", re.DOTALL)


class PlaceError(ValueError):
    """A place that does not exist, or a file that cannot be read; the message says which."""


@dataclass(frozen=True)
class Place:
    """A cursor in a file."""

    path: Path
    prefix: str
    """The text before the cursor; line ends are those of the file."""
    suffix: str
    """The text after it."""

    @property
    def text(self) -> str:
        """The whole file."""
        return self.prefix + self.suffix


def read_place(place: str) -> Place:
    """Reads the file and finds the cursor.

    Args:
        place: `path:line` is the end of that line, before its line break; `path:line:column` is
            before that character of it. Both count from 1, columns in characters. A file that
            ends with a line break has one more line, an empty one, as editors show it.

    Raises:
        PlaceError: there is no such place.
    """
    parts = _PLACE.fullmatch(place)
    if not parts:
        raise PlaceError(f"{place!r} is no place: expected path:line or path:line:column")
    text = read_text(Path(parts["path"]))
    cursor = _cursor(text, parts["path"], int(parts["line"]), parts["column"])
    return Place(Path(parts["path"]), text[:cursor], text[cursor:])


def read_text(path: Path) -> str:
    """The text of a file, less a byte order mark, with its line ends as they are.

    Raises:
        PlaceError: the file cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise PlaceError(f"{path}: {os.strerror(error.errno or 0)}") from None
    except UnicodeDecodeError as error:
        raise PlaceError(
            f"{path} is not UTF-8: byte 0x{error.object[error.start]:02x} at {error.start}; "
            "convert it first, for instance with iconv"
        ) from None


def _cursor(text: str, path: str, line: int, column: str | None) -> int:
    """Characters before the cursor."""
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        raise PlaceError(f"{path} has no line {line}: its lines are 1 to {len(lines)}")
    length = len(lines[line - 1])
    if line < len(lines):
        length = len(lines[line - 1].removesuffix("\r"))
    if column is not None and not 1 <= int(column) <= length + 1:
        raise PlaceError(
            f"{path}:{line} has no column {column}: its columns are 1 to {length + 1}, "
            "the end of the line"
        )
    before = sum(len(earlier) + 1 for earlier in lines[: line - 1])
    return before + (length if column is None else int(column) - 1)
