# SPDX-License-Identifier: Apache-2.0
"""Blanks comments and strings out of a source, in linear time, so that patterns see code alone.

A language is a list of patterns for what hides code. Each captures in its last group what becomes
blank: a comment as a whole, a string without its quotes. Length and line breaks stay, so that a
place found in the masked text is the same place in the source.

A pattern must match wherever it begins, to the end of the line or of the text where its own end is
missing. Were it to fail there, each of a million unclosed comments would be searched to the end.
"""

import re

LINE_COMMENT = r"(//[^\r\n]*)"
HASH_COMMENT = r"(#[^\r\n]*)"
BLOCK_COMMENT = r"(/\*(?s:.*?)(?:\*/|\Z))"
NESTED_COMMENT = r"(?P<nested>/\*)"
"""A comment that may hold others, as in Rust, Kotlin, Scala and Swift."""
STRING = r'"((?:[^"\\\r\n]++|\\(?:\r\n|(?s:.)))*+)"?'
"""Ends with its line, unless a backslash stands before the line break."""
CHARACTERS = r"'((?:[^'\\\r\n]++|\\(?:\r\n|(?s:.)))*+)'?"
"""The same between apostrophes."""

_NESTED_EDGE = re.compile(r"/\*|\*/")
_LINE = re.compile(r"[^\r\n]+")


class Masker:
    """Blanks what one language's patterns capture."""

    def __init__(self, *tokens: str) -> None:
        """Patterns of comments and strings; of two that begin at one place the first counts."""
        self._search = re.compile("|".join(tokens)).search

    def mask(self, text: str) -> str:
        """The text, its comments and the insides of its strings blank."""
        pieces = []
        done = 0
        found = self._search(text)
        while found:
            if found.lastgroup == "nested":
                start, end = found.start(), _nested_end(text, found.end())
                resume = end
            else:
                start, end = found.span(found.lastindex or 0)
                resume = found.end()
            if start < end:
                pieces += (text[done:start], blank(text[start:end]))
                done = end
            found = self._search(text, resume)
        pieces.append(text[done:])
        return "".join(pieces)


def blank(text: str) -> str:
    """Spaces in place of all characters but line breaks."""
    if "\n" in text or "\r" in text:
        return _LINE.sub(_spaces, text)
    return " " * len(text)


def _spaces(line: re.Match[str]) -> str:
    return " " * (line.end() - line.start())


def _nested_end(text: str, start: int) -> int:
    """Where a comment that opens before `start` ends: all that open in it are closed, or never."""
    depth = 1
    for edge in _NESTED_EDGE.finditer(text, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)
