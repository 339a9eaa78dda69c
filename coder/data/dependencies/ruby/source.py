# SPDX-License-Identifier: Apache-2.0
"""What a Ruby source requires, and which folders it puts on the load path, if written out."""

import posixpath
import re
from dataclasses import dataclass, field

from coder.data.dependencies.paths import join
from coder.data.dependencies.ruby.masking import masked

MAX_PATH = 500
"""Longest path, in characters, that is looked up."""

_REQUIRE = re.compile(
    r"(?:(?<![\w.:@$])(?:Kernel\.)?(?P<verb>require_relative|require|load|autoload)"
    r"|(?<=\.)(?P<autoload>autoload))(?![\w?!=:])[ \t]*+\(?\s*+"
)
_LOAD_PATH = re.compile(r"\$(?:LOAD_PATH|:)\s*+(?:<<|\.(?:unshift|push|prepend|append)\b)[ \t(]*+")
_CONSTANT = re.compile(r""":\w++\s*+,\s*+|(["']) *+\1\s*+,\s*+""")
_LITERAL = re.compile(r"""(["']) *+\1""")
_BESIDE = re.compile(r'"#\{\s*+(?:__dir__|File\.dirname\(\s*+__FILE__\s*+\))\s*+\}(/[^"#\\\n]++)"')
_CALL = re.compile(
    r"(?:::)?File\.(?P<name>expand_path|join|dirname|realpath)[ \t]*+(?P<paren>\()?\s*+"
)
_PLACE = re.compile(r"(?P<name>__dir__|__FILE__)(?!\w)")
_COMMA = re.compile(r"\s*+,\s*+")
_CLOSING = re.compile(r"\s*+\)")
_PLUS = re.compile(r"[ \t]*+\+\s*+")
_OPERATOR = re.compile(r"[ \t]*+[.%\[*+]")
_DEEPEST = 8
_MOST_ARGUMENTS = 20

_ROOT = "\0"  # what a path within the repository begins with, while it is put together


@dataclass
class Source:
    """What a source asks for; paths of the repository are told from those still to be looked up."""

    required: set[tuple[str, str]] = field(default_factory=set)
    """`require`, `require_relative` or `load`, and what follows; `autoload` requires."""
    needed: set[str] = field(default_factory=set)
    """Paths, relative to the repository, that follow any of these; `.rb` may be missing."""
    load_path: set[str] = field(default_factory=set)
    """Folders of the repository that it adds to the load path."""


def read(path: str, text: str) -> Source:
    """Reads a source; one with errors as far as it goes."""
    source = Source()
    if not any(word in text for word in ("require", "load", "LOAD_PATH", "$:")):
        return source
    reader = _Reader(path, text)
    for match in _REQUIRE.finditer(reader.code):
        verb, start = match["verb"] or "autoload", match.end()
        if verb == "autoload":
            constant = _CONSTANT.match(reader.code, start)
            if not constant:
                continue
            verb, start = "require", constant.end()
        found = reader.path_at(start)
        if found and found.startswith(_ROOT):
            source.needed |= _in_repository(found)
        elif found:
            source.required.add((verb, found))
    for match in _LOAD_PATH.finditer(reader.code):
        source.load_path |= _in_repository(reader.path_at(match.end()) or "")
    return source


def _in_repository(path: str) -> set[str]:
    """The path that one with `_ROOT` means; nothing for others and for those outside."""
    place = join("", path.removeprefix(_ROOT).lstrip("/")) if path.startswith(_ROOT) else None
    return set() if place is None else {place}


class _Reader:
    """Evaluates what is made of literals, `__dir__`, `__FILE__` and methods of `File`."""

    def __init__(self, path: str, text: str) -> None:
        self.text = text
        self.code = masked(text)
        self.file = f"{_ROOT}/{path}"

    def path_at(self, position: int) -> str | None:
        """The path that an expression means; None if it is more than that."""
        found = self._sum(position, _DEEPEST)
        if found is None or len(found[0]) > MAX_PATH or _OPERATOR.match(self.code, found[1]):
            return None
        return found[0]

    def _sum(self, position: int, depth: int) -> tuple[str, int] | None:
        """The value of terms with `+` between them, and where they end."""
        found = self._term(position, depth)
        while found and (plus := _PLUS.match(self.code, found[1])):
            other = self._term(plus.end(), depth)
            found = (found[0] + other[0], other[1]) if other else None
            if found and len(found[0]) > MAX_PATH:
                return None
        return found

    def _term(self, position: int, depth: int) -> tuple[str, int] | None:
        """The value of a literal, a place or a call, and where it ends."""
        if literal := _LITERAL.match(self.code, position):
            value = self.text[position + 1 : literal.end() - 1]
            return None if "\\" in value or _ROOT in value else (value, literal.end())
        if place := _PLACE.match(self.code, position):
            value = self.file if place["name"] == "__FILE__" else posixpath.dirname(self.file)
            return value, place.end()
        if beside := _BESIDE.match(self.text, position):
            return posixpath.dirname(self.file) + beside[1], beside.end()
        call = _CALL.match(self.code, position) if depth else None
        return self._call(call, depth - 1) if call else None

    def _call(self, call: re.Match[str], depth: int) -> tuple[str, int] | None:
        """The value of one of `File`'s methods, and where its call ends."""
        values, end = list[str](), call.end()
        while argument := self._sum(end, depth):
            values.append(argument[0])
            end = argument[1]
            comma = _COMMA.match(self.code, end)
            if not comma or len(values) == _MOST_ARGUMENTS:
                break
            end = comma.end()
        if not values:
            return None
        if call["paren"]:
            if not (closing := _CLOSING.match(self.code, end)):
                return None
            end = closing.end()
        if call["name"] == "join":
            return "/".join(values), end
        if call["name"] == "dirname":
            return posixpath.dirname(values[0]), end
        first, base = values[0], values[-1]
        return (first if first.startswith(_ROOT) else f"{base}/{first}"), end
