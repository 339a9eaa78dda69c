# SPDX-License-Identifier: Apache-2.0
"""What is measured: windows and holes drawn from documents that no variant was trained on.

The items depend on the documents, the tokenizer and `EvalConfig` alone, never on a model, so that every variant and
seed of an experiment is scored on the same ones and their differences are paired. Repositories take turns: each
gives as many items as any other until it has none left, however large it is. A repository with Python files gives
only these, because Python is what the default corpus is made of.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random

from coder.config import EvalConfig
from coder.data import fim
from coder.data.records import Document, stable_hash, stable_rng
from coder.data.tokenizer import Tokenizer

FILES_PER_REPOSITORY = 64
"""Files of a repository that items are drawn from: bounds the memory, whatever the size of the corpus."""
ROUNDS = 16
"""Windows tried in a file before its repository counts as exhausted."""
SLICE_CHARS_PER_TOKEN = 8
"""Characters that are encoded for each token wanted; windows of very long tokens may come out shorter."""
LINE_CHARS = (4, 80)
"""Least and greatest length of a line that is made a hole, indentation and line end not counted."""
SPLIT_TRIES = 8
"""Random splits of a window before it is given up: most refusals are blank or overlong middles."""


@dataclass(frozen=True)
class Source:
    """A file that items may be drawn from."""

    repository: str
    path: str
    text: str


@dataclass(frozen=True)
class Window:
    """A piece of a file that starts at a line start and has at most `context_tokens` tokens."""

    source: Source
    start: int
    """First character in the file."""
    text: str
    ids: tuple[int, ...]
    """`text` encoded on its own."""

    @property
    def id(self) -> str:
        """Path and first character; unique within a repository."""
        return f"{self.source.path}@{self.start}"


@dataclass(frozen=True)
class Hole:
    """A window with a middle taken out.

    The three parts are encoded one by one, as in training, where a document is split before it is encoded. Where
    that makes more than `context_tokens` tokens, the prefix loses its first and the suffix its last tokens; what is
    next to the hole stays.
    """

    repository: str
    id: str
    """Path and the middle's first character in the file."""
    middle: str
    prefix_ids: tuple[int, ...]
    middle_ids: tuple[int, ...]
    suffix_ids: tuple[int, ...]


@dataclass(frozen=True)
class Items:
    """Everything a run is scored on."""

    left_to_right: list[Window]
    single_line: list[Hole]
    span: list[Hole]


def draw_items(documents: Iterable[Document], tokenizer: Tokenizer, config: EvalConfig) -> Items:
    """The windows, single-line holes and random-span holes of an evaluation.

    A smaller count gives the first items of a larger one. Fewer come back where the documents have no more.
    """
    sources = select_sources(documents, config.seed)

    def windows(kind: str) -> dict[str, Iterator[Window]]:
        return {
            repository: _windows(files, tokenizer, config, kind)
            for repository, files in sources.items()
        }

    def holes(
        kind: str, cut: Callable[[str, Random], tuple[int, int] | None]
    ) -> dict[str, Iterator[Hole]]:
        return {
            repository: _holes(found, tokenizer, config, kind, cut)
            for repository, found in windows(kind).items()
        }

    return Items(
        left_to_right=_take_in_turn(windows("left_to_right"), config.documents),
        single_line=_take_in_turn(holes("single_line", line_cut), config.lines),
        span=_take_in_turn(holes("span", span_cut), config.spans),
    )


def select_sources(documents: Iterable[Document], seed: int) -> dict[str, list[Source]]:
    """The files to draw from, by repository; repositories and files come in the order of their hashes."""
    ranked: dict[str, list[tuple[bool, int, Source]]] = {}
    for document in documents:
        kept = ranked.setdefault(document.repository, [])
        for file in document.files:
            rank = stable_hash(seed, "eval source", document.repository, file.path)
            kept.append(
                (file.language != "Python", rank, Source(document.repository, file.path, file.text))
            )
        kept.sort(key=lambda entry: entry[:2])
        del kept[FILES_PER_REPOSITORY:]
    order = sorted(ranked, key=lambda repository: stable_hash(seed, "eval repository", repository))
    return {
        repository: [
            source for other, _, source in ranked[repository] if other == ranked[repository][0][0]
        ]
        for repository in order
        if ranked[repository]
    }


def _take_in_turn[T](candidates: dict[str, Iterator[T]], count: int) -> list[T]:
    """The first `count` candidates when each repository gives one in turn until it has no more."""
    taken: list[T] = []
    waiting = list(candidates.values())
    while waiting:
        still_waiting = []
        for source in waiting:
            if len(taken) == count:
                return taken
            for candidate in source:
                taken.append(candidate)
                still_waiting.append(source)
                break
        waiting = still_waiting
    return taken


def _windows(
    sources: list[Source], tokenizer: Tokenizer, config: EvalConfig, kind: str
) -> Iterator[Window]:
    """Windows that do not overlap: one of each file, then a second of each, and so on."""
    taken: dict[str, list[tuple[int, int]]] = {}
    for round_ in range(ROUNDS):
        for source in sources:
            rng = stable_rng(config.seed, kind, source.repository, source.path, str(round_))
            window = _draw_window(source, tokenizer, config.context_tokens, rng)
            if window is None:
                continue
            start, end = window.start, window.start + len(window.text)
            others = taken.setdefault(source.path, [])
            if all(end <= other_start or other_end <= start for other_start, other_end in others):
                others.append((start, end))
                yield window


def _draw_window(
    source: Source, tokenizer: Tokenizer, context_tokens: int, rng: Random
) -> Window | None:
    """A window at the start of a random line (long lines more often), or None if it is too short to tell much."""
    if not source.text:
        return None
    start = source.text.rfind("\n", 0, rng.randrange(len(source.text))) + 1
    piece = source.text[start : start + SLICE_CHARS_PER_TOKEN * context_tokens]
    cut = tokenizer.decode_bytes(tokenizer.encode(piece)[:context_tokens])
    text = cut.decode("utf-8", "ignore")  # drops a character whose last bytes were cut off
    ids = tuple(tokenizer.encode(text))
    if not text.strip() or not context_tokens // 2 <= len(ids) <= context_tokens:
        return None
    return Window(source, start, text, ids)


def _holes(
    windows: Iterator[Window],
    tokenizer: Tokenizer,
    config: EvalConfig,
    kind: str,
    cut: Callable[[str, Random], tuple[int, int] | None],
) -> Iterator[Hole]:
    """At most one hole of each window: where `cut` finds one of at most half the window's tokens."""
    for window in windows:
        rng = stable_rng(config.seed, kind, "hole", window.source.repository, window.id)
        for _ in range(SPLIT_TRIES):
            bounds = cut(window.text, rng)
            hole = bounds and _make_hole(window, *bounds, tokenizer, config.context_tokens)
            if hole:
                yield hole
                break


def line_cut(text: str, rng: Random) -> tuple[int, int] | None:
    """A random line with something before and after it: from its first character through its line end.

    The line has between 4 and 80 characters and a letter among them. Its indentation is part of the hole.
    """
    least, greatest = LINE_CHARS
    lines = [
        match.span()
        for match in re.finditer(r"[^\n]*\n", text)
        if least <= len(match[0].strip()) <= greatest and any(map(str.isalpha, match[0]))
    ]
    lines = [(start, end) for start, end in lines if start > 0 and end < len(text)]
    return rng.choice(lines) if lines else None


def span_cut(text: str, rng: Random) -> tuple[int, int] | None:
    """A random split at character level, drawn like those of training, unless its middle is blank."""
    prefix, middle, _ = fim.split(text, rng)
    return (len(prefix), len(prefix) + len(middle)) if middle.strip() else None


def _make_hole(
    window: Window, start: int, end: int, tokenizer: Tokenizer, context_tokens: int
) -> Hole | None:
    """The hole from character `start` to `end` of the window; None if it is longer than half the context."""
    middle = window.text[start:end]
    prefix_ids, middle_ids, suffix_ids = (
        tokenizer.encode(part) for part in (window.text[:start], middle, window.text[end:])
    )
    if len(middle_ids) > context_tokens // 2:
        return None
    prefix_ids, suffix_ids = _trim(prefix_ids, suffix_ids, context_tokens - len(middle_ids))
    return Hole(
        repository=window.source.repository,
        id=f"{window.source.path}@{window.start + start}",
        middle=middle,
        prefix_ids=tuple(prefix_ids),
        middle_ids=tuple(middle_ids),
        suffix_ids=tuple(suffix_ids),
    )


def _trim(prefix: list[int], suffix: list[int], room: int) -> tuple[list[int], list[int]]:
    """Shortens the longer of the two at its far end, then both alike, until they fit in `room` tokens."""
    from_prefix = min(len(prefix), max(room - len(suffix), (room + 1) // 2))
    return prefix[len(prefix) - from_prefix :], suffix[: room - from_prefix]
