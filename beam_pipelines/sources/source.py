# SPDX-License-Identifier: Apache-2.0
"""What a source of repositories is: units of work, the batches in them, and the bytes of a batch.

Nothing here grows with the size of a source. The launcher walks over the units once, for a digest
of their states; workers walk over them again, list each, and read what was listed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

from coder.data.records import Reject

BATCH_BYTES = 2 * 2**20
BATCH_FILES = 256


class SourceError(ValueError):
    """The source cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Metadata:
    """What a forge knows about a repository; None: not known."""

    stars: int | None = None
    forks: int | None = None
    created: str = ""
    """Date of its creation, YYYY-MM-DD; empty when unknown."""


@dataclass(frozen=True)
class RepositoryInfo:
    """What every file of a repository shares.

    Attributes:
        name: Unique within the source.
        revision: Version or commit; empty when the source does not tell.
        licence: SPDX expression or the package's own words; empty when unknown.
        place: Where the source finds it again: a folder, an archive, a repository of git.
        metadata: Stars and the like, where the source or `--metadata` has them.
    """

    name: str
    revision: str
    licence: str
    place: str
    metadata: Metadata = Metadata()


@dataclass(frozen=True)
class FileReference:
    """A file that was listed; `content` where it cannot be had again later but by a search."""

    path: str
    size: int
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class FileBatch:
    """Some files of one repository: the unit of work, of about `BATCH_BYTES`.

    Without `files`, all files of the repository: of an archive, which is read in one pass.
    """

    info: RepositoryInfo
    files: tuple[FileReference, ...] | None


@dataclass(frozen=True)
class FileContent:
    """A file as it was read; `content` ends at the limit that the reader was given, if longer."""

    path: str
    content: bytes = field(repr=False)
    carried: bool = False
    """Whether it came with its reference, and has to go along with it."""


@dataclass(frozen=True)
class Unit:
    """A part of a source that is listed at once: a repository, an archive, a file of rows.

    Attributes:
        name: Unique within the source.
        key: What the source needs to find it; picklable.
    """

    name: str
    key: Any


class FileState(NamedTuple):
    """What tells, without reading a file, whether it has changed."""

    path: str
    size: int
    stamp: str
    """Its time, hash or version: whatever the source has."""


@runtime_checkable  # for Beam, which compares the types of what flows
class Source(Protocol):
    """A kind of place where repositories are; instances are small, frozen and picklable."""

    def units(self) -> Iterator[Unit | Reject]:
        """The parts, in a stable order, and what belongs to none of them.

        Raises:
            SourceError: the source is missing or empty.
        """
        ...

    def state(self, unit: Unit) -> Iterator[FileState]:
        """The state of every file, or of the one that holds them all: an archive, a file of rows.

        The sizes, summed, are what progress counts towards.
        """
        ...

    def batches(self, unit: Unit) -> Iterator[FileBatch | Reject]:
        """Lists a unit; what listing itself refuses comes as rejects."""
        ...

    def read(self, batch: FileBatch, limit: int) -> Iterator[FileContent | Reject]:
        """At most `limit` bytes of each file, or why it cannot be had; in any order.

        Every file of the batch comes exactly once. Raises nothing that a file's content can cause.
        """
        ...


def in_batches(
    info: RepositoryInfo, listed: Iterable[FileReference | Reject]
) -> Iterator[FileBatch | Reject]:
    """Cuts what was listed into batches that are about equally heavy; rejects pass through."""
    files: list[FileReference] = []
    size = 0
    for file in listed:
        if isinstance(file, Reject):
            yield file
            continue
        if files and (size + file.size > BATCH_BYTES or len(files) == BATCH_FILES):
            yield FileBatch(info, tuple(files))
            files, size = [], 0
        files.append(file)
        size += file.size
    if files:
        yield FileBatch(info, tuple(files))
