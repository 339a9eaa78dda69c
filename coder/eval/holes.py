# SPDX-License-Identifier: Apache-2.0
"""What is measured: windows and holes drawn from documents that no variant was trained on.

The items depend on the documents, the tokenizer and `EvalConfig` alone, never on a model, so that
every variant and seed of an experiment is scored on the same ones and their differences are paired.
Repositories take turns: each gives as many items as any other until it has none left, however large
it is. A repository with Python files gives only these, because Python is what the default corpus is
made of.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random

from coder.config import EvalConfig
from coder.data import fim
from coder.data.records import Document, stable_hash, stable_rng
from coder.data.tokenizer import Tokenizer

FILES_PER_REPOSITORY = 64
"""Files of a repository that items are drawn from: bounds the memory for a corpus of any size."""
ROUNDS = 16
"""Windows tried in a file before its repository counts as exhausted."""
SLICE_CHARS_PER_TOKEN = 8
"""Characters that are encoded for each token wanted; text of longer tokens gives fewer."""
LINE_CHARS = (4, 80)
"""Least and greatest length of a line that is made a hole, indentation and line end not counted."""
CUT_TRIES = 8
"""Random cuts of a window before it is given up; refused are blank and overlong middles."""


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

    def overlaps(self, other: "Window") -> bool:
        """Whether two windows of one file share a character."""
        first, second = sorted((self, other), key=lambda window: window.start)
        return second.start < first.start + len(first.text)


@dataclass(frozen=True)
class Hole:
    """A window with a middle taken out.

    The three parts are encoded one by one, as in training, where a document is split before it is
    encoded. Where that makes more than `context_tokens` tokens, the prefix loses its first and the
    suffix its last tokens; what is next to the hole stays.
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


Cut = Callable[[str, Random], tuple[int, int] | None]
"""Where the middle of a text begins and ends, if there is a place for one."""


def draw_items(documents: Iterable[Document], tokenizer: Tokenizer, config: EvalConfig) -> Items:
    """The windows, single-line holes and random-span holes of an evaluation.

    A smaller count gives the first items of a larger one. Where the documents have no more, fewer
    come back.
    """
    sampler = _Sampler(tokenizer, config)
    repositories = select_sources(documents, config.seed).values()
    windows = [sampler.windows(sources, "left_to_right") for sources in repositories]
    lines = [sampler.holes(sources, "single_line", line_cut) for sources in repositories]
    spans = [sampler.holes(sources, "span", span_cut) for sources in repositories]
    return Items(
        left_to_right=_take_in_turn(windows, config.documents),
        single_line=_take_in_turn(lines, config.lines),
        span=_take_in_turn(spans, config.spans),
    )


def select_sources(documents: Iterable[Document], seed: int) -> dict[str, list[Source]]:
    """The files to draw from, by repository; both are in the order of their hashes."""
    ranked: dict[str, list[tuple[bool, int, Source]]] = {}
    for document in documents:
        kept = ranked.setdefault(document.repository, [])
        for file in document.files:
            source = Source(document.repository, file.path, file.text)
            rank = stable_hash(seed, "eval source", source.repository, source.path)
            kept.append((file.language != "Python", rank, source))
        kept.sort(key=lambda entry: entry[:2])
        del kept[FILES_PER_REPOSITORY:]
    order = sorted(ranked, key=lambda repository: stable_hash(seed, "eval repository", repository))
    return {
        repository: [source for other, _, source in ranked[repository] if not other]
        or [source for _, _, source in ranked[repository]]
        for repository in order
    }


def _take_in_turn[T](candidates: Iterable[Iterator[T]], count: int) -> list[T]:
    """The first `count` candidates when each iterator gives one in turn until it has no more."""
    taken: list[T] = []
    waiting = deque(candidates)
    while waiting and len(taken) < count:
        iterator = waiting.popleft()
        for candidate in iterator:
            taken.append(candidate)
            waiting.append(iterator)
            break
    return taken


@dataclass(frozen=True)
class _Sampler:
    """Draws the windows and holes of one repository, best first, one at a time."""

    tokenizer: Tokenizer
    config: EvalConfig

    def windows(self, sources: list[Source], kind: str) -> Iterator[Window]:
        """Windows that do not overlap: one of each file, then a second of each, and so on."""
        taken: dict[str, list[Window]] = {source.path: [] for source in sources}
        for attempt in range(ROUNDS):
            for source in sources:
                names = (kind, source.repository, source.path, str(attempt))
                window = self._window(source, stable_rng(self.config.seed, *names))
                if window and not any(window.overlaps(other) for other in taken[source.path]):
                    taken[source.path].append(window)
                    yield window

    def holes(self, sources: list[Source], kind: str, cut: Cut) -> Iterator[Hole]:
        """At most one hole of each window, where `cut` finds a place that is not too long."""
        for window in self.windows(sources, kind):
            names = (kind, "hole", window.source.repository, window.id)
            rng = stable_rng(self.config.seed, *names)
            for _ in range(CUT_TRIES):
                bounds = cut(window.text, rng)
                hole = self._hole(window, *bounds) if bounds else None
                if hole:
                    yield hole
                    break

    def _window(self, source: Source, rng: Random) -> Window | None:
        """A window from the start of a line on; None where it has less than half the tokens.

        Lines are drawn by their length, so that every byte of a file is as likely as any other.
        """
        if not source.text:
            return None
        most = self.config.context_tokens
        start = source.text.rfind("\n", 0, rng.randrange(len(source.text))) + 1
        piece = source.text[start : start + SLICE_CHARS_PER_TOKEN * most]
        cut = self.tokenizer.decode_bytes(self.tokenizer.encode(piece)[:most])
        text = cut.decode("utf-8", "ignore")  # drops a character whose last bytes were cut off
        ids = tuple(self.tokenizer.encode(text))
        # The cut can fall inside a word, whose first part may need more tokens on its own.
        fits = (most + 1) // 2 <= len(ids) <= most
        return Window(source, start, text, ids) if fits and text.strip() else None

    def _hole(self, window: Window, start: int, end: int) -> Hole | None:
        """The hole from character `start` to `end`; None where it takes over half the context."""
        parts = window.text[:start], window.text[start:end], window.text[end:]
        prefix_ids, middle_ids, suffix_ids = self.tokenizer.encode_batch(parts)
        room = self.config.context_tokens - len(middle_ids)
        if len(middle_ids) > room:
            return None
        prefix_ids, suffix_ids = _trim(prefix_ids, suffix_ids, room)
        return Hole(
            repository=window.source.repository,
            id=f"{window.source.path}@{window.start + start}",
            middle=parts[1],
            prefix_ids=tuple(prefix_ids),
            middle_ids=tuple(middle_ids),
            suffix_ids=tuple(suffix_ids),
        )


def line_cut(text: str, rng: Random) -> tuple[int, int] | None:
    """A random line with something before and after it, indentation and line end included.

    It has between 4 and 80 characters, blanks at its ends not counted, and a letter among them.
    """
    least, greatest = LINE_CHARS
    lines = [
        match.span()
        for match in re.finditer(r"[^\n]*\n", text)
        if least <= len(match[0].strip()) <= greatest and any(map(str.isalpha, match[0]))
    ]
    inner = [(start, end) for start, end in lines if start > 0 and end < len(text)]
    return rng.choice(inner) if inner else None


def span_cut(text: str, rng: Random) -> tuple[int, int] | None:
    """A random split between characters as in training, unless its middle is blank."""
    prefix, middle, _ = fim.split(text, rng)
    return (len(prefix), len(prefix) + len(middle)) if middle.strip() else None


def _trim(prefix: list[int], suffix: list[int], room: int) -> tuple[list[int], list[int]]:
    """Shortens the longer part at its far end, then both alike, until they have `room` tokens."""
    from_prefix = min(len(prefix), max(room - len(suffix), (room + 1) // 2))
    return prefix[len(prefix) - from_prefix :], suffix[: room - from_prefix]
