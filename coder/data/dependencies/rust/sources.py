# SPDX-License-Identifier: Apache-2.0
"""What is read of one Rust file: its modules, `use` declarations, paths in code and `include!`s."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from coder.data.dependencies.lexing import LINE_COMMENT, NESTED_COMMENT, Masker

MAX_SEGMENTS = 32
"""How much of a path is read; no module lies deeper."""

Path = tuple[str, ...]
"""`a::b` as ("a", "b"); a leading `::` is an empty first segment."""

_RAW_STRING = r'"(?:(?<=\br")|(?<=\b[bc]r"))([^"]*+)"?'
_HASHED_STRING = r'#(?:(?<=\br#)|(?<=\b[bc]r#))(?P<hashes>#{0,254})"((?s:.*?))(?:"#(?P=hashes)|\Z)'
_STRING = r'"((?:[^"\\]++|\\(?s:.))*+)"?'
# A quote that no quote follows begins a lifetime.
_CHARACTER = r"'(\\(?:'|[^'\n]{1,12}+)|[^'\\\n])'"
_CODE = Masker(LINE_COMMENT, NESTED_COMMENT, _RAW_STRING, _HASHED_STRING, _STRING, _CHARACTER)
_NAME = r"(?:r#)?[^\W\d]\w*+"
_TOKEN = re.compile(
    r"[{}]"
    rf"|\bmod\s++(?P<mod>{_NAME})\s*+(?P<body>[;{{])"
    r"|\buse\s++(?P<use>[^;]*+)"
    rf"|\bextern\s++crate\s++(?P<crate>{_NAME})(?:\s++as\s++(?P<alias>{_NAME}))?"
    r"|\binclude!\s*+[(\[{]\s*+(?P<include>\")"
    r"|#\[\s*+(?P<conditional>cfg_attr\s*+\([^\]]{0,200}?\b)?path\s*+=\s*+(?P<file>\")"
    rf"|(?P<path>(?:::\s*+)?\b{_NAME}(?:\s*+::\s*+{_NAME})++)"
)
_USE_TOKEN = re.compile(rf"::|[{{}},*]|{_NAME}")
_SEGMENT = re.compile(_NAME)


class Declaration(NamedTuple):
    """`mod name;` in a scope, with the files that `#[path]` names."""

    scope: int
    name: str
    files: tuple[str, ...] = ()
    conditional: bool = False
    """Whether the usual place counts besides `files` (`#[cfg_attr(…, path = …)]`)."""


class Use(NamedTuple):
    """`use path as name`; a name of `*` takes in all that the path holds."""

    scope: int
    path: Path
    name: str


@dataclass
class Source:
    """One file. Scopes are its own module, number 0, and the modules written out in it."""

    scopes: list[tuple[int, str]] = field(default_factory=lambda: [(0, "")])
    """Of each scope the one around it, and its name."""
    declarations: list[Declaration] = field(default_factory=list)
    uses: dict[Use, None] = field(default_factory=dict)
    """In their order, each once."""
    crates: list[Use] = field(default_factory=list)
    """`extern crate`."""
    paths: dict[tuple[int, Path], None] = field(default_factory=dict)
    """Paths of several segments elsewhere in code, by scope, each once."""
    includes: list[tuple[int, str]] = field(default_factory=list)


def read(text: str) -> Source:
    """Reads a file in one pass."""
    code = _CODE.mask(text)
    source = Source()
    around, scope = list[int](), 0
    files, conditional = list[str](), False
    for token in _TOKEN.finditer(code):
        kind = token.lastgroup
        if kind == "path":
            source.paths[scope, _segments(token[0])] = None
            continue
        if kind == "file":
            files.append(_quoted(text, code, token.start("file")))
            conditional = conditional or token["conditional"] is not None
            continue
        if token[0] == "{":
            around.append(scope)
        elif token[0] == "}":
            scope = around.pop() if around else 0
        elif kind == "body":
            name = token["mod"].removeprefix("r#")
            if token["body"] == "{":
                around.append(scope)
                source.scopes.append((scope, name))
                scope = len(source.scopes) - 1
            else:
                found = Declaration(scope, name, tuple(files), conditional)
                source.declarations.append(found)
        elif kind == "use":
            source.uses.update((Use(scope, *found), None) for found in _uses(token["use"]))
        elif kind == "include":
            source.includes.append((scope, _quoted(text, code, token.start("include"))))
        else:
            name = token["crate"].removeprefix("r#")
            source.crates.append(Use(scope, (name,), token["alias"] or name))
        files, conditional = [], False
    return source


def _quoted(text: str, code: str, start: int) -> str:
    """The string that begins at a quote."""
    end = code.find('"', start + 1)
    return text[start + 1 : end] if end > 0 else ""


def _segments(path: str) -> Path:
    found = (name[0].removeprefix("r#") for name in _SEGMENT.finditer(path))
    segments = tuple(name for name, _ in zip(found, range(MAX_SEGMENTS), strict=False))
    return ("", *segments) if path.startswith("::") else segments


def _uses(tree: str) -> Iterator[tuple[Path, str]]:
    """The paths of a `use` tree, each with the name that it gives."""
    outer: Path = ()
    path: Path = ()
    name, stack = "", list[Path]()
    renaming = False
    for token in (*_USE_TOKEN.findall(tree), ","):
        if token == "::":
            path = path or (outer or ("",))
        elif token == "{":
            stack.append(outer)
            outer, path = path or outer, ()
        elif token in ",}":
            if path and path != outer:
                while len(path) > 1 and path[-1] == "self":
                    path = path[:-1]
                yield path, name or path[len(path) - 1]
            path, name = (), ""
            if token == "}" and stack:
                outer = stack.pop()
                path = ()
        elif token == "*":
            yield path or outer, "*"
            path = ()
        elif renaming:
            name, renaming = token, False
        elif token == "as":
            renaming = True
        elif len(path or outer) < MAX_SEGMENTS:
            path = (*(path or outer), token.removeprefix("r#"))
