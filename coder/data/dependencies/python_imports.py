# SPDX-License-Identifier: Apache-2.0
"""The import statements of a Python source, found without parsing it.

`import` is a keyword: in code it stands nowhere but in import statements, so what remains is to
tell code from comments and strings. For every source that Python can parse, the result is what a
walk over its syntax tree finds, twenty times as fast; a source that it cannot parse (Python 2, a
broken line) is read all the same. Every character is looked at a bounded number of times, and
nothing recurses, whatever the source.
"""

import re
import unicodedata
from typing import NamedTuple

# Beyond ASCII everything is taken for a part of a name: Python allows nothing else there.
_NAME = r"[\w\x80-\U0010ffff]++"
_SPACE = r"(?:[ \t\f]++|\\(?:\r\n|[\r\n]))*+"
_LIST = r"(?:[\w\x80-\U0010ffff.,]++|[ \t\f]++|\\(?:\r\n|[\r\n]))*+"
_PART = rf"(?!import\b){_NAME}{_SPACE}"
# The look-behinds follow the words, as a pattern that begins with letters is searched for faster.
_FROM = (
    rf"from\b(?<!\wfrom){_SPACE}(?P<module>(?:\.{_SPACE})*+(?:{_PART}(?:\.{_SPACE}{_PART})*+)?+)"
    rf"(?:import\b{_SPACE}(?P<names>\*|\((?:[^()#]++|#[^\r\n]*+)*+\)|{_LIST}))?+"
)
_IMPORT = rf"import\b(?<!\wimport){_SPACE}(?P<modules>{_LIST})"

_COMMENT = r"#[^\r\n]*+"


def _strings(without: str = "") -> str:
    """Strings that close; `without`: a character that is not in them."""
    escaped = rf"\\[^{without}]" if without else r"\\(?s:.)"
    return (
        rf"""\"{{3}}(?:[^"\\{without}]++|{escaped}|"(?!""))*+\"{{3}}"""
        rf"""|'{{3}}(?:[^'\\{without}]++|{escaped}|'(?!''))*+'{{3}}"""
        rf"""|"(?!"")(?:[^"\\\r\n{without}]++|\\\r\n|{escaped})*+\""""
        rf"""|'(?!'')(?:[^'\\\r\n{without}]++|\\\r\n|{escaped})*+'"""
    )


# All up to an import or a string that may have fields, in one go of the engine of expressions.
_REST = re.compile(
    rf"""(?:[^"'#fi]++|f(?!rom\b)|i(?!mport\b)|{_COMMENT}"""
    rf"|(?<![fFrRtT])(?:{_strings()})|{_strings(without='{')})*+"
)
_STRING = re.compile(rf"{_strings()}|[\"']")
_STATEMENT = re.compile(f"{_FROM}|{_IMPORT}")

# Within an f-string: its literal part by its quote, a replacement field, its format.
_LITERAL = {
    quote: re.compile(rf"\\N\{{[^{{}}\"'\r\n]*+\}}|\\(?:\r\n|[^{{}}])|\{{\{{|\{{|{quote}{line_end}")
    for quote, line_end in (('"""', ""), ("'''", ""), ('"', r"|[\r\n]"), ("'", r"|[\r\n]"))
}
_FIELD = re.compile(rf"{_COMMENT}|{_strings()}|[\"'\[({{\])}}:]")
_FORMAT = re.compile(r"[{}]")
_FORMATTED = frozenset({"f", "fr", "rf", "t", "tr", "rt"})
_MOST_NESTED = 300
"""Strings and fields within each other in an f-string; Python stops at 150 strings."""

_NO_NAME = re.compile(r"\\(?:\r\n|[\r\n])|#[^\r\n]*+|[()\s]++")
_SPACED_DOT = re.compile(r"\s*+\.\s*+")


class Import(NamedTuple):
    """`from ..module import names` (level 2); `import a.b` is taken for `from a import b`."""

    module: str
    names: tuple[str, ...] = ()
    level: int = 0


def imports_of(source: str) -> list[Import] | None:
    """The import statements of a source, in order; None if one of its strings is never closed.

    What comes after such a string could be text as well as code.
    """
    if "import" not in source:
        return []
    found: list[Import] = []
    at = _rest_end(source, 0)
    while at < len(source):
        if source[at] in "\"'":
            at = _string_end(source, at)
            if at < 0:
                return None
        elif match := _STATEMENT.match(source, at):
            at = match.end()
            if match["names"] is not None:
                found.append(_import_from(match["module"], match["names"]))
            elif match["modules"] is not None:
                found += [_import(name) for name in _names(match["modules"])]
        else:
            at += 1  # a letter of a longer name
        at = _rest_end(source, at)
    return [statement for statement in found if statement.module or statement.level]


def _rest_end(source: str, start: int) -> int:
    match = _REST.match(source, start)
    return match.end() if match else start  # it always matches, if only nothing


def _import_from(module: str, names: str) -> Import:
    module = _normal("".join(_NO_NAME.sub("", module).split()))
    name = module.lstrip(".")
    return Import(name, tuple(_names(names)), len(module) - len(name))


def _import(module: str) -> Import:
    package, dot, name = module.rpartition(".")
    return Import(package, (name,)) if dot else Import(module)


def _names(listed: str) -> list[str]:
    """The names in `a, b as c`, which may go on over several lines and hold comments."""
    listed = _SPACED_DOT.sub(".", _NO_NAME.sub(" ", listed))
    parts = (part.split(None, 1) for part in listed.split(","))
    return [name for part in parts if part and (name := _normal(part[0]))]


def _normal(name: str) -> str:
    """A name as Python compares it; empty if it is none."""
    if name.isascii():
        return name
    name = unicodedata.normalize("NFKC", name)
    return name if name.replace(".", "").isidentifier() else ""


def _string_end(source: str, start: int) -> int:
    """Where the string whose quote is at `start` is over; -1: nowhere."""
    if _is_formatted(source, start):
        return _formatted_end(source, start)
    match = _STRING.match(source, start)
    return match.end() if match and match.end() > start + 1 else -1


def _is_formatted(source: str, start: int) -> bool:
    """Whether the quote at `start` begins an f-string or a template; `if"` does not."""
    if source[start - 1 : start] not in tuple("fFrRtT"):
        return False
    before = source[max(0, start - 3) : start].lower()
    letters = before[-2:] if before[-2:].isalpha() else before[-1:]
    is_whole = not (before[: -len(letters)] or " ")[-1].isidentifier()
    return letters in _FORMATTED and is_whole


def _quote(source: str, start: int) -> str:
    quote = source[start]
    return quote * 3 if source.startswith(quote * 3, start) else quote


def _formatted_end(source: str, start: int) -> int:
    """Where an f-string is over, whose fields may hold strings with its own quote; -1: nowhere.

    The stack holds, from the outside in, the quotes of f-strings, and for each field the depth of
    its brackets, or -1 once its format has begun.
    """
    stack: list[str | int] = [_quote(source, start)]
    end = start + len(_quote(source, start))
    while stack:
        state = stack[-1]
        if isinstance(state, str):
            match = _LITERAL[state].search(source, end)
        else:
            match = (_FIELD if state >= 0 else _FORMAT).search(source, end)
        if not match or len(stack) > _MOST_NESTED:
            return -1
        (start, end), token = match.span(), match[0]
        if isinstance(state, int) and token[0] not in "\"'":
            _step_in_field(stack, state, token)
        elif isinstance(state, int) and _is_formatted(source, start):
            stack.append(_quote(source, start))
            end = start + len(_quote(source, start))
        elif token in ("\n", "\r", '"', "'") and token != state:
            return -1
        elif token == state:
            stack.pop()
        elif token == "{":
            stack.append(0)
    return end


def _step_in_field(stack: list[str | int], depth: int, token: str) -> None:
    """Follows brackets, the colon and the end of the innermost field, which is at `depth`."""
    if depth < 0 and token == "{":
        stack.append(0)
    elif depth <= 0 and token == "}":
        stack.pop()
    elif depth == 0 and token == ":":
        stack[-1] = -1
    elif token in "[({":
        stack[-1] = depth + 1
    elif token in "])}":
        stack[-1] = max(0, depth - 1)
