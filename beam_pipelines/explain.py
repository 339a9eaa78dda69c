# SPDX-License-Identifier: Apache-2.0
"""What happened to one file of a finished corpus, stage by stage, and why.

    python -m beam_pipelines.explain --run runs/corpus/default --repo rich --path rich/text.py

Exit status: 0 the file is known, kept or rejected; 2 it is not, or the folder is no corpus.
"""

import difflib
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from beam_pipelines import options
from beam_pipelines.corpus_shards import (
    FileName,
    document_with,
    documents,
    open_corpus,
    possible_names,
    rejects,
    rejects_of,
)
from beam_pipelines.manifest import OutputError
from beam_pipelines.reasons import STAGES, reason_of
from coder.data import dependencies
from coder.data.records import Document, Reject
from coder.data.tfrecord import CorruptRecordError

DUPLICATE, DUPLICATE_OF = "exact_duplicate", "of "
_MOST, _NEAREST = 10, 3
"""Names in a list; in a hint."""


@dataclass(frozen=True)
class ExplainOptions:
    """Options of `explain`."""

    run: Path
    """Folder of a finished corpus."""
    repo: str
    """Name of the repository, as the corpus has it."""
    path: str
    """Path of the file within the repository."""


@dataclass(frozen=True)
class Fate:
    """What became of a file; a source may have had several of that path, of which one is kept."""

    document: Document | None
    rejects: list[Reject]

    @property
    def is_known(self) -> bool:
        """Whether the corpus has met the file."""
        return bool(self.rejects) or self.document is not None


@dataclass(frozen=True)
class Step:
    """A stage as the file went through it."""

    stage: str
    mark: str
    """passed, rejected or not reached."""
    notes: list[str] = field(default_factory=list)


class UnknownFileError(ValueError):
    """The corpus has never met the file; the message names the nearest."""


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    arguments = sys.argv[1:] if argv is None else argv
    chosen, _ = options.parse(
        ExplainOptions, arguments, "python -m beam_pipelines.explain", __doc__ or ""
    )
    try:
        show(chosen.repo, chosen.path, explain(chosen.run, chosen.repo, chosen.path))
    except (OutputError, UnknownFileError, CorruptRecordError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def explain(folder: Path, repository: str, path: str) -> list[list[Step]]:
    """The stages of each file of that name: the one kept, if there is one, then those rejected.

    Raises:
        OutputError: the folder is no finished corpus.
        UnknownFileError: the corpus has never met the file.
    """
    done = open_corpus(folder)
    found = fate(folder, done, [(repository, path)])
    if not found.is_known:  # a repository may have been rejected before its files were listed
        found = Fate(None, rejects_of(folder, done, [(repository, repository)]))
    if not found.is_known:
        raise UnknownFileError(_nearest(folder, done, (repository, path)))
    told = [list(kept_steps(folder, done, found.document, path))] if found.document else []
    return told + [list(rejected_steps(folder, done, reject)) for reject in found.rejects]


def fate(folder: Path, done: Mapping[str, Any], names: Sequence[FileName]) -> Fate:
    """What became of a file; `names` as for `rejects_of`."""
    return Fate(document_with(folder, done, names), rejects_of(folder, done, names))


def rejected_steps(folder: Path, done: Mapping[str, Any], reject: Reject) -> Iterator[Step]:
    """The stages up to the one that rejected a file, and those that it did not come to."""
    reason = reason_of(reject.reason)
    before = True
    for stage in STAGES if reason.stage else ():
        if stage == reason.stage:
            before = False
            yield Step(stage, "rejected", list(_why(folder, done, reject)))
        else:
            yield Step(stage, "passed" if before else "not reached")
    if not reason.stage:
        yield Step("", "rejected", list(_why(folder, done, reject)))


def _why(folder: Path, done: Mapping[str, Any], reject: Reject) -> Iterator[str]:
    """Reason, detail, the settings behind it, and what became of the file that was preferred."""
    reason = reason_of(reject.reason)
    yield f"{reject.reason}: {reason.meaning}"
    if reject.detail:
        yield reject.detail
    for option in filter(None, reason.setting.split(", ")):
        value = setting_of(done["config"], option)
        yield option if value is None else f"{option} was {value}"
    if reject.reason == DUPLICATE and reject.detail.startswith(DUPLICATE_OF):
        other = reject.detail.removeprefix(DUPLICATE_OF)
        found = fate(folder, done, possible_names(other))
        if found.document:
            yield f"{other} was kept, in document {found.document.id}"
        else:
            for later in filter(_is_later, found.rejects):
                yield f"{other} was rejected later: {later.reason}"


def _is_later(reject: Reject) -> bool:
    """Whether it was preferred to its equals first: other files of its path were not."""
    stage = reason_of(reject.reason).stage
    return not stage or list(STAGES).index(stage) > list(STAGES).index("duplicates")


def setting_of(config: Mapping[str, Any], option: str) -> Any:
    """The value of an option of `beam_pipelines.corpus` in a manifest; None if it is not there."""
    group, dot, name = option.removeprefix("--").replace("-", "_").rpartition(".")
    if dot:
        return config.get({"rules": "filters"}.get(group, group), {}).get(name)
    return config.get(name, config.get("taken", {}).get(name))


def kept_steps(
    folder: Path, done: Mapping[str, Any], document: Document, path: str
) -> Iterator[Step]:
    """All stages of a file that was kept."""
    position, file = next((n, f) for n, f in enumerate(document.files) if f.path == path)
    notes = {
        "source": [f"revision {document.revision}"] if document.revision else [],
        "kind": [f"language {file.language}", f"licence {file.licence or 'not known'}"],
        "rules": [f"{len(file.text.encode()):,} bytes, {file.text.count(chr(10)):,} lines"],
        "duplicates": list(_preferred(folder, done, (document.repository, path))),
        "order": list(_order(document, position, done["config"].get("component_bytes", 0))),
        "held_out": [f"split {document.split}"],
    }
    for stage in STAGES:
        yield Step(stage, "passed", notes.get(stage, []))


def _preferred(folder: Path, done: Mapping[str, Any], name: FileName) -> Iterator[str]:
    """The files that were rejected because they equal this one."""
    if not done["files"]["rejected"].get(DUPLICATE):
        return
    detail = f"{DUPLICATE_OF}{'/'.join(name)}"
    same = [
        f"{reject.repository}/{reject.path}"
        for reject in rejects(folder, done, reason=DUPLICATE, detail=detail)
    ]
    if same:
        yield f"preferred to {len(same):,} equal files: {_listed(same)}"


def _order(document: Document, position: int, component_bytes: int) -> Iterator[str]:
    """Where the file stands in its document, and between which others."""
    texts = {file.path: file.text for file in document.files}
    path = document.files[position].path
    place = f"file {position + 1:,} of {len(texts):,}"
    yield f"{place} in document {document.id}, order {document.order}"
    if len(texts) == 1:
        if component_bytes:
            yield f"alone, or in a component over --component-bytes {component_bytes}"
        return
    graph = dependencies.resolve(
        texts,
        {file.path: file.language for file in document.files},
        {name: text for name, text in texts.items() if dependencies.is_project_file(name)},
    )
    needed = sorted(graph.edges.get(path, ()))
    needing = sorted(other for other, targets in graph.edges.items() if path in targets)
    yield f"depends on {_listed(needed)}" if needed else "depends on no other file of it"
    yield f"needed by {_listed(needing)}" if needing else "needed by no other file of it"
    if not needed and not needing:
        yield "what ties it to the document lies in a file beside the corpus, such as a build file"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST:,} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more


def _nearest(folder: Path, done: Mapping[str, Any], name: FileName) -> str:
    """What to say of a file that the corpus has never met."""
    repository, path = name
    repositories, paths = set[str](), set[str]()
    for reject in rejects(folder, done):
        repositories.add(reject.repository)
        paths.update([reject.path] if reject.repository == repository else [])
    for document in documents(folder, done):
        repositories.add(document.repository)
        if document.repository == repository:
            paths.update(file.path for file in document.files)
    if repository not in repositories:
        return f"{folder} has no repository {repository}{_hint(repository, repositories)}"
    return (
        f"{folder} has met no file {path} in {repository}{_hint(path, paths)}; folders such as "
        ".git and __pycache__ are no part of a repository"
    )


def _hint(name: str, known: set[str]) -> str:
    """The nearest of the known names: first those that are the same but for their folders."""
    base = name.rpartition("/")[2]
    near = [other for other in sorted(known) if other.rpartition("/")[2] == base]
    near += difflib.get_close_matches(name, sorted(known), n=_NEAREST)
    shown = list(dict.fromkeys(near))[:_NEAREST]
    return f"; nearest: {', '.join(shown)}" if shown else ""


def show(repository: str, path: str, told: Sequence[Sequence[Step]]) -> None:
    """Prints the stages; in colour on a terminal."""
    console = Console(highlight=False)
    colors = {"passed": "green", "rejected": "red", "not reached": "dim"}
    marks = {"passed": "✓", "rejected": "✗", "not reached": "·"}
    for steps in told:
        kept = all(step.mark == "passed" for step in steps)
        verdict = Text("kept", style="bold green") if kept else Text("rejected", style="bold red")
        console.print(Text(f"{path} of {repository}: ").append(verdict), soft_wrap=True)
        for step in steps:
            line = Text(f"  {marks[step.mark]} ", style=colors[step.mark])
            line.append(STAGES.get(step.stage, "a stage of another version"))
            line.append(": not reached" if step.mark == "not reached" else "")
            console.print(line, soft_wrap=True)
            for note in step.notes:
                console.print(Text(f"      {note}"), soft_wrap=True)


if __name__ == "__main__":
    main()
