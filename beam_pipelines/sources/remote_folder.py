# SPDX-License-Identifier: Apache-2.0
"""A folder of checkouts in one of Beam's file systems (gs://, s3://, hdfs://)."""

from collections.abc import Iterator
from dataclasses import dataclass

from apache_beam.io.filesystem import FileMetadata

from beam_pipelines import storage
from beam_pipelines.sources import local, member_paths
from beam_pipelines.sources.source import (
    FileBatch,
    FileContent,
    FileReference,
    FileState,
    RepositoryInfo,
    SourceError,
    Unit,
    in_batches,
)
from coder.data.records import Reject


@dataclass(frozen=True)
class RemoteFolder:
    """A folder of objects, of which each first part of a name is a repository.

    There are neither links nor devices, and names are any text: those that are no paths of a
    repository are rejects. Empty objects whose names end in / stand for folders. A listing is held
    in memory by whoever makes it, as Beam returns it whole: about a kilobyte a file.
    """

    folder: str

    def units(self) -> Iterator[Unit | Reject]:
        """A unit for each name directly below the folder that has files below it.

        Files of a name that no repository can have are rejects each.

        Raises:
            SourceError: the folder cannot be listed or has no child folder.
        """
        name = ""
        for path, _ in self._match(""):
            first, slash, _ = path.partition("/")
            if not slash:
                yield Reject(
                    "", member_paths.shown(path), "outside_repositories", "not in a folder"
                )
                continue
            if first in local.IGNORED_FOLDERS:
                continue
            if problem := member_paths.path_problem(first):
                yield Reject("", member_paths.shown(path), *problem)
            elif first != name:
                name = first
                yield Unit(name, name)
        if not name:
            raise SourceError(f"--source folder:{self.folder}: no child folder, so no repository")

    def state(self, unit: Unit) -> Iterator[FileState]:
        """The size and time of every file."""
        for path, metadata in self._match(f"{unit.key}/"):
            time = str(metadata.last_updated_in_seconds)
            yield FileState(path, metadata.size_in_bytes, time)

    def batches(self, unit: Unit) -> Iterator[FileBatch | Reject]:
        """The files of one child folder."""
        info = RepositoryInfo(unit.name, "", "", f"{self.folder}/{unit.key}")
        return in_batches(info, self._listed(info))

    def _listed(self, info: RepositoryInfo) -> Iterator[FileReference | Reject]:
        for path, metadata in self._match(f"{info.name}/"):
            inner = path.partition("/")[2]
            if local.IGNORED_FOLDERS.intersection(inner.split("/")[:-1]):
                continue
            if problem := member_paths.path_problem(inner):
                yield Reject(info.name, member_paths.shown(inner), *problem)
            else:
                yield FileReference(inner, metadata.size_in_bytes)

    def read(self, batch: FileBatch, limit: int) -> Iterator[FileContent | Reject]:
        """Files below the child folder."""
        for file in batch.files or ():
            try:
                content = storage.read_bytes(storage.join(batch.info.place, file.path), limit)
            except OSError as error:
                yield Reject(batch.info.name, file.path, "unreadable", storage.problem(error))
            else:
                yield FileContent(file.path, content)

    def _match(self, prefix: str) -> Iterator[tuple[str, FileMetadata]]:
        """The files whose path begins with `prefix`; paths relative to the folder, by name."""
        try:
            for path, metadata in storage.files_below(self.folder, prefix):
                if metadata.size_in_bytes or path.rpartition("/")[2]:
                    yield path, metadata
        except (OSError, ValueError) as error:
            raise SourceError(f"--source folder:{self.folder}: {error}") from error
