# SPDX-License-Identifier: Apache-2.0
"""What is rearranged at once: documents, files, or windows of files.

A document is first cut into *excerpts*, in characters and so at no cost, of which a sample may be
drawn; only then is anything tokenized. Neither step depends on what is made of the units later, so
that every variant of an experiment sees the same texts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from coder.config import DataConfig, Granularity
from coder.data import fim, spans
from coder.data.records import Document
from coder.data.tokenizer import Tokenizer

LONGEST_EXCERPT = 1 << 17
"""Characters, about 32 K tokens: longer documents fall back to their files (DeepSeek-Coder#43)."""
_WINDOWS_OF_EXCERPT = 16
_CHARACTERS_PER_TOKEN = 3
_GROWTH = 4
"""Tokens that a window may gain when it is encoded in three parts instead of one: 4 are enough for
all but 1 in 3,000 windows of Python code, and those few are cut again."""


@dataclass(frozen=True)
class Unit:
    """A text that is rearranged, masked or left alone as a whole."""

    id: str
    """Names the text within the corpus."""
    text: str
    ends: bool
    """Whether its document, or file, ends here."""
    tokens: int = 0
    """granularity=window: tokens it was cut to."""


def excerpts(document: Document, granularity: Granularity, window_tokens: int) -> Iterator[Unit]:
    """Cuts a document into units, or, for windows, into stretches of about 16 windows.

    Whole texts stay whole up to `LONGEST_EXCERPT`; beyond, a document is cut into its files, and a
    file at line ends where it has any.
    """
    if granularity == "document":
        text = document.text()
        if len(text) <= LONGEST_EXCERPT:
            yield Unit(document.id, text, ends=True)
            return
    longest = longest_excerpt(granularity, window_tokens)
    for number, file in enumerate(document.files):
        text = document.file_text(number)
        for start, end in _stretches(text, longest):
            name = f"{document.repository}/{file.path}@{start}"
            yield Unit(name, text[start:end], ends=end == len(text))


def longest_excerpt(granularity: Granularity, window_tokens: int) -> int:
    """Characters of the longest excerpt."""
    if granularity == "window":
        return _WINDOWS_OF_EXCERPT * _CHARACTERS_PER_TOKEN * window_tokens
    return LONGEST_EXCERPT


def _stretches(text: str, longest: int) -> Iterator[tuple[int, int]]:
    """Consecutive stretches of a text, up to the last line end in the second half of `longest`."""
    start = 0
    while len(text) - start > longest:
        line_end = text.rfind("\n", start + longest // 2, start + longest) + 1
        end = line_end or start + longest
        yield start, end
        start = end
    if start < len(text):
        yield start, len(text)


def windows(excerpt: Unit, tokenizer: Tokenizer, window_tokens: int) -> list[Unit]:
    """Cuts an excerpt between characters into windows of at most `window_tokens`, about equal."""
    ids = tokenizer.encode(excerpt.text)
    if not ids:
        return []
    count = -(-len(ids) // window_tokens)
    ends = np.cumsum(tokenizer.byte_lengths[ids])
    first_tokens = [len(ids) * number // count for number in range(count + 1)]
    data = excerpt.text.encode()
    cuts = [0, *(_character_start(data, int(ends[first - 1])) for first in first_tokens[1:])]
    return [
        Unit(
            f"{excerpt.id}+{start}",
            data[start:end].decode(),
            ends=excerpt.ends and end == len(data),
            tokens=after - before,
        )
        for (start, end), (before, after) in zip(
            pairwise(cuts), pairwise(first_tokens), strict=True
        )
        if start < end
    ]


def _character_start(data: bytes, place: int) -> int:
    """The last place up to `place` where a UTF-8 character begins, or the end of `data`."""
    while place < len(data) and data[place] & 0xC0 == 0x80:
        place -= 1
    return place


def halves(unit: Unit) -> list[Unit]:
    """A unit that turned out too long, cut in two between characters."""
    middle = len(unit.text) // 2
    return [
        Unit(f"{unit.id}:0", unit.text[:middle], ends=False, tokens=unit.tokens // 2),
        Unit(f"{unit.id}:1", unit.text[middle:], unit.ends, unit.tokens - unit.tokens // 2),
    ]


def reserved_tokens(tokens: int, data: DataConfig) -> int:
    """Room for a window of `tokens`, whatever is made of it: the most of FIM and masked spans."""
    added = spans.masked_length(tokens, data.mask_rate, data.mean_span_length) - tokens
    return tokens + max(fim.CONTROL_TOKENS, added) + _GROWTH


def window_tokens(data: DataConfig) -> int:
    """Tokens of a window: as asked, or the most whose reserve fits the sequence.

    Raises:
        ValueError: no window fits.
    """
    if data.window_tokens:
        if data.window_tokens + fim.CONTROL_TOKENS > data.sequence_length:
            raise ValueError(
                f"--window-tokens {data.window_tokens}: at most "
                f"{data.sequence_length - fim.CONTROL_TOKENS} fit a sequence of "
                f"{data.sequence_length} with the control tokens"
            )
        return data.window_tokens
    tokens = data.sequence_length
    while tokens > 0 and reserved_tokens(tokens, data) > data.sequence_length:
        tokens -= 1
    if tokens < 1:
        raise ValueError(f"--sequence-length {data.sequence_length} is too short for a window")
    return tokens
