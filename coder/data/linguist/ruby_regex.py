# SPDX-License-Identifier: Apache-2.0
r"""Ruby's regular expressions as Python's.

Ruby matches a file as bytes: `\w`, `\s` and letters without case are ASCII's, and `^`, `$` stand
at every line. So the flags are ASCII and MULTILINE, and text beyond ASCII is looked at as
`as_bytes` gives it. Where a search would take quadratic time, an equal pattern takes its place.
"""

import importlib
import re
from typing import Any

FLAGS = re.ASCII | re.MULTILINE

# Python's own parser of patterns, and the names of what it finds; neither is declared public.
parse: Any = importlib.import_module("re._parser").parse
sre: Any = importlib.import_module("re._constants")

_SPELLINGS = (
    (r"\\z", r"\\Z"),
    (r"\\h", "[0-9a-fA-F]"),
    (r"\\R", r"(?>\\r\\n|[\\n-\\r])"),
    (r"\(\?m:", "(?s:"),  # what Ruby calls multi-line: the dot matches line breaks
    (r"\[\\s&&\[\^\\n\]\]", r"[^\\S\\n]"),
)
_EARLY_FLAGS = re.compile(r"\(\?(i?)(m?)\)")
_UNKNOWN = re.compile(r"&&|\\[GKXZpPkg]|\(\?<\w")

# `^` and white space that may run over line ends: the run's last line has a `^` of its own.
_BLANK_LINES = re.compile(r"(?<![\[\\])\^(\(?)\\s\*")
# White space in front that nothing depends on; only one capital group may come before it.
_IDLE_START = re.compile(r"^\\s\*")


def translate(pattern: str) -> str:
    r"""A pattern for `re.search` with `FLAGS` that finds something where Ruby's finds something.

    Raises:
        ValueError: the pattern uses what this translation does not know.
    """
    flags = _EARLY_FLAGS.match(pattern)
    if flags:
        here = flags[1] + ("s" if flags[2] else "")
        pattern = f"(?{here}:{pattern[flags.end() :]})"
    for ruby, python in _SPELLINGS:
        pattern = re.sub(rf"(?<!\\){ruby}", python, pattern)
    unknown = _UNKNOWN.search(pattern)
    if unknown and not pattern[unknown.start() :].startswith((r"\Z", "(?<!", "(?<=")):
        raise ValueError(f"{unknown[0]!r} in the Ruby pattern {pattern!r} is not translated yet")
    return _IDLE_START.sub("", _BLANK_LINES.sub(r"^\1[^\\S\\n]*", pattern))


def is_at_line_start(pattern: str) -> bool:
    r"""Whether a translated pattern is `^` and then one thing, so that `\n` can stand for `^`."""
    if not pattern.startswith("^"):
        return False
    rest = list(parse(pattern[1:], FLAGS))
    return not (len(rest) == 1 and rest[0][0] is sre.BRANCH)


def as_bytes(text: str, limit: int) -> str:
    """The first `limit` bytes of the text's UTF-8, each byte a character; ASCII stays as it is."""
    if text.isascii():
        return text[:limit]
    return text[:limit].encode("utf-8", "surrogatepass")[:limit].decode("latin-1")
