# SPDX-License-Identifier: Apache-2.0
"""Reading a finished corpus on this machine: its documents and rejects, and single files of it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from beam_pipelines import manifest
from beam_pipelines.write_tfrecords import Record, place
from coder.data.records import Document, Reject
from coder.data.tfrecord import read_shard

FileName = tuple[str, str]
"""Repository, and path within it."""


def open_corpus(folder: Path) -> dict[str, Any]:
    """The manifest of a corpus, after a look at the sizes of its shards.

    Raises:
        OutputError: the folder holds no finished corpus of this version, or lost a part of it.
    """
    done = read_finished(str(folder))
    if broken := manifest.damage(str(folder), [*done["shards"], *done["rejects"]]):
        raise manifest.OutputError(f"{folder}: {broken}; build the corpus again")
    return done


def read_finished(address: str) -> dict[str, Any]:
    """The manifest of a corpus, wherever Beam's file systems reach.

    Raises:
        OutputError: there is none, or one of an older version or of another pipeline.
    """
    done = manifest.read(address)
    if done is None:
        raise manifest.OutputError(
            f"{address} has no {manifest.MANIFEST}: "
            "it is no finished output of beam_pipelines.corpus"
        )
    if "document_sizes" not in done:
        raise manifest.OutputError(
            f"{address}: its {manifest.MANIFEST} is not that of a corpus of this version; "
            "build the corpus again"
        )
    return done


def documents(folder: Path, done: Mapping[str, Any]) -> Iterator[Document]:
    """All documents, shard by shard."""
    for shard in done["shards"]:
        yield from map(Document.decode, read_shard(folder / shard["path"]))


def rejects(folder: Path, done: Mapping[str, Any], **fields: str) -> Iterator[Reject]:
    """All rejects, shard by shard, or those that have these values in these fields."""
    for shard in done["rejects"]:
        yield from _rejects(folder / shard["path"], **fields)


def rejects_of(folder: Path, done: Mapping[str, Any], names: Sequence[FileName]) -> list[Reject]:
    """Why a file was rejected; empty if it was not.

    Args:
        folder: of the corpus.
        done: its manifest.
        names: of the file. Several must give the same text when they are joined by `/`: it leads to
            the one shard that is read.
    """
    shard = done["rejects"][_place("/".join(names[0]), len(done["rejects"]))]
    path = folder / shard["path"]
    return [r for name in names for r in _rejects(path, repository=name[0], path=name[1])]


def _rejects(path: Path, /, **fields: str) -> Iterator[Reject]:
    # Fields are looked for as they are written: most lines need not be decoded. Within a string
    # there are no plain quotes, so nothing else can look like a field.
    wanted = [f'"{name}": {json.dumps(value)}'.encode() for name, value in fields.items()]
    with path.open("rb") as lines:
        for line in lines:
            if all(part in line for part in wanted):
                yield Reject(**json.loads(line))


def document_with(
    folder: Path, done: Mapping[str, Any], names: Sequence[FileName]
) -> Document | None:
    """The document that holds a file, or None; `names` as for `rejects_of`.

    Most documents are placed by their repository, so its shards are read first; but not all are,
    so the others follow.
    """
    wanted = [(repository.encode(), path.encode()) for repository, path in names]
    for shard in sorted(done["shards"], key=lambda shard: not _is_likely(shard, names)):
        for record in read_shard(folder / shard["path"]):
            # Most records are told apart by a search, which is much faster than decoding.
            if not any(repository in record and path in record for repository, path in wanted):
                continue
            document = Document.decode(record)
            if any((document.repository, file.path) in names for file in document.files):
                return document
    return None


def _is_likely(shard: Mapping[str, Any], names: Sequence[FileName]) -> bool:
    """Whether one of the files would be in this shard if its repository leads to it."""
    _, number, _, total = shard["path"].removesuffix(".tfrecord").rsplit("-", 3)
    return int(number) in [_place(repository, int(total)) for repository, _ in names]


def _place(record_id: str, num_shards: int) -> int:
    return place(Record(record_id, b""), num_shards)[0]


def possible_names(joined: str) -> list[FileName]:
    """What `<repository>/<path>` may name: both may hold a `/`."""
    cuts = [cut for cut, letter in enumerate(joined) if letter == "/"]
    return [(joined[:cut], joined[cut + 1 :]) for cut in cuts]
