# SPDX-License-Identifier: Apache-2.0
"""What differs between two corpora: files gained and lost, other reasons, contents and orders.

    python -m beam_pipelines.compare_corpora runs/corpus/before runs/corpus/after --json diff.json

A table may have several files of one path. At most one is kept, and is compared with the one that
the other corpus kept; rejects of one path are compared by their reasons alone.

Both are read once as a stream, and a second time for the names of what one of them lacks. Held in
memory are hashes for each file of the first and for the rejects that only the second has, no text.
Exit status: 0 the corpora are equal, 1 they differ, 2 one of them cannot be read.
"""

import hashlib
import heapq
import logging
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.text import Text

from beam_pipelines import options
from beam_pipelines.corpus_shards import documents, open_corpus, rejects
from beam_pipelines.manifest import OutputError
from coder import config
from coder.data.records import Document, Reject, stable_hash
from coder.data.tfrecord import CorruptRecordError

SAMPLES = 5
"""Files that are named for each change."""

KINDS = {
    "gained": "kept now, not before",
    "lost": "kept before, not now",
    "moved": "rejected for another reason",
    "appeared": "rejected now, not met before",
    "disappeared": "rejected before, not met now",
    "content": "kept with another text",
    "split": "kept in another split",
    "document": "kept in another document",
    "order": "at another place among the files that its document had before",
    "label": "kept with another revision, language or licence",
}
"""What is told apart; a file has one kind, the first that fits."""

_ABSENT = "absent"
_KEPT = "kept"


@dataclass(frozen=True)
class CompareOptions:
    """Options of the comparison."""

    before: Annotated[Path, tyro.conf.Positional]
    """Folder of a finished corpus."""
    after: Annotated[Path, tyro.conf.Positional]
    """Folder of another one."""
    json: Path | None = None
    """File to write the comparison to as JSON."""


@dataclass(frozen=True, slots=True)
class State:
    """How a file was kept, in hashes."""

    content: int
    split: str
    document: int
    position: int
    label: int


@dataclass
class Change:
    """The files that changed in one way."""

    count: int = 0
    samples: list[tuple[int, str]] = field(default_factory=list)
    """A heap of negative hash and name: those of the smallest hashes."""

    def add(self, name: str) -> None:
        """Counts a file."""
        self.count += 1
        entry = (-stable_hash(0, "sample", name), name)
        if len(self.samples) < SAMPLES:
            heapq.heappush(self.samples, entry)
        elif entry > self.samples[0]:
            heapq.heapreplace(self.samples, entry)


Changes = dict[tuple[str, str, str], Change]
"""(kind, fate before, fate after) to files."""


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    arguments = sys.argv[1:] if argv is None else argv
    prog = "python -m beam_pipelines.compare_corpora"
    chosen, _ = options.parse(CompareOptions, arguments, prog, __doc__ or "")
    try:
        found = compare(chosen.before, chosen.after)
    except (OutputError, CorruptRecordError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if chosen.json:
        config.write_json(chosen.json, found)
    show(found)
    sys.exit(0 if found["equal"] else 1)


def compare(before: Path, after: Path) -> dict[str, Any]:
    """The differences, as JSON values.

    Raises:
        OutputError: one of the folders is no finished corpus.
        CorruptRecordError: a shard is damaged.
    """
    old, new = open_corpus(before), open_corpus(after)
    settings = config.difference(old["config"], new["config"])
    rows = ("shards", "rejects")
    same = not settings and all(old[name] == new[name] for name in rows)
    changes = {} if same else changed_files(before, old, after, new)
    ordered = sorted(changes.items(), key=lambda c: (list(KINDS).index(c[0][0]), -c[1].count, c[0]))
    return {
        "equal": not settings and not changes,
        "before": {"folder": str(before), "digest": old["digest"], "files": old["files"]},
        "after": {"folder": str(after), "digest": new["digest"], "files": new["files"]},
        "settings": settings,
        "changes": [
            {
                "kind": kind,
                "before": was,
                "after": now,
                "files": change.count,
                "samples": [name for _, name in sorted(change.samples, reverse=True)],
            }
            for (kind, was, now), change in ordered
        ],
    }


def changed_files(before: Path, old: dict[str, Any], after: Path, new: dict[str, Any]) -> Changes:
    """Every file that is not the same in both."""
    changes: Changes = {}
    gone, come = _other_reasons(rejects(before, old), rejects(after, new))
    kept = {key: state for document in documents(before, old) for key, _, state in _files(document)}
    for document in documents(after, new):
        found = [(key, name, kept.pop(key, None), state) for key, name, state in _files(document)]
        moved = _reordered(found)
        for place, (key, name, was, now) in enumerate(found):
            if was is None:
                _note(changes, "gained", name, gone.take_any(key) or _ABSENT, _KEPT)
            elif kind := _kind(was, now) or ("order" if place in moved else ""):
                _note(changes, kind, name, _KEPT, _KEPT)
    for key, name in _named(rejects(after, new) if come else ()):
        if now := come.take_any(key):
            if kept.pop(key, None):
                _note(changes, "lost", name, _KEPT, now)
            elif was := gone.take_any(key):
                _note(changes, "moved", name, was, now)
            else:
                _note(changes, "appeared", name, _ABSENT, now)
    for document in documents(before, old) if kept else ():
        for key, name, _ in _files(document):
            if key in kept:
                _note(changes, "lost", name, _KEPT, _ABSENT)
    for key, name in _named(rejects(before, old) if gone else ()):
        if was := gone.take_any(key):
            _note(changes, "disappeared", name, was, _ABSENT)
    return changes


class Reasons:
    """How often files of one name were rejected for each reason."""

    def __init__(self) -> None:
        self._counts = Counter[tuple[bytes, str]]()
        self._words = set[str]()

    def __bool__(self) -> bool:
        """Whether there are any left."""
        return bool(self._counts)

    def add(self, key: bytes, reason: str) -> None:
        """Counts a reject."""
        reason = sys.intern(reason)
        self._words.add(reason)
        self._counts[key, reason] += 1

    def take(self, key: bytes, reason: str) -> bool:
        """Takes one reject off; False if there is none."""
        left = self._counts.get((key, reason), 0) - 1
        if left > 0:
            self._counts[key, reason] = left
        elif left == 0:
            del self._counts[key, reason]
        return left >= 0

    def take_any(self, key: bytes) -> str:
        """Takes off the reject of the first reason by the alphabet; empty if there is none."""
        return next((reason for reason in sorted(self._words) if self.take(key, reason)), "")


def _other_reasons(before: Iterable[Reject], after: Iterable[Reject]) -> tuple[Reasons, Reasons]:
    """The rejects that only the first corpus has, and those that only the second one has."""
    gone, come = Reasons(), Reasons()
    for reject in before:
        gone.add(_key(reject.repository, reject.path), reject.reason)
    for reject in after:
        key = _key(reject.repository, reject.path)
        if not gone.take(key, reject.reason):
            come.add(key, reject.reason)
    return gone, come


def _note(changes: Changes, kind: str, name: str, was: str, now: str) -> None:
    changes.setdefault((kind, was, now), Change()).add(name)


def _kind(was: State, now: State) -> str:
    """How a file that both have kept differs; empty if it does not, or by order."""
    fields = ("content", "split", "document", "label")
    return next((name for name in fields if getattr(was, name) != getattr(now, name)), "")


def _reordered(found: Sequence[tuple[bytes, str, State | None, State]]) -> set[int]:
    """Places of files that stood elsewhere among those which the document had in both corpora."""
    common = [
        (place, was.position)
        for place, (_, _, was, now) in enumerate(found)
        if was and was.document == now.document
    ]
    positions = [position for _, position in common]
    return {
        place
        for (place, position), sorted_position in zip(common, sorted(positions), strict=True)
        if position != sorted_position
    }


def _files(document: Document) -> Iterator[tuple[bytes, str, State]]:
    """Key, name and state of each file of a document."""
    number = _number(document.id)
    for position, file in enumerate(document.files):
        name = f"{document.repository}/{file.path}"
        state = State(
            _number(file.text),
            sys.intern(document.split),
            number,
            position,
            _number(document.revision, file.language, file.licence),
        )
        yield _key(document.repository, file.path), name, state


def _named(found: Iterable[Reject]) -> Iterator[tuple[bytes, str]]:
    """Key and name of each reject."""
    for reject in found:
        yield _key(reject.repository, reject.path), f"{reject.repository}/{reject.path}"


def _key(*parts: str) -> bytes:
    """128 bits that tell texts or names apart; no name has a NUL."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).digest()


def _number(*parts: str) -> int:
    return int.from_bytes(_key(*parts)[:8], "little")


def show(found: dict[str, Any]) -> None:
    """Prints the comparison; in colour on a terminal."""
    console = Console(highlight=False)
    for which in ("before", "after"):
        run = found[which]
        files = f"{run['files']['kept']:,} of {run['files']['read']:,} files kept"
        console.print(
            Text(f"{which}: {run['folder']}, corpus {run['digest']}, {files}"), soft_wrap=True
        )
    if found["equal"]:
        console.print(Text("equal", style="bold green"))
    for line in found["settings"]:
        console.print(Text(f"setting {line}", style="yellow"), soft_wrap=True)
    for change in found["changes"]:
        fates = f", {change['before']} -> {change['after']}"
        same = change["before"] == change["after"]
        line = Text(f"{change['files']:,} ", style="bold").append(change["kind"], style="bold red")
        line.append(f": {KINDS[change['kind']]}{'' if same else fates}", style="not bold default")
        console.print(line, soft_wrap=True)
        for name in change["samples"]:
            console.print(Text(f"    {name}"), soft_wrap=True)


if __name__ == "__main__":
    main()
