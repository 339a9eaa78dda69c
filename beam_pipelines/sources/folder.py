# SPDX-License-Identifier: Apache-2.0
"""A folder of checkouts on this machine: each child folder is a repository, a link to one is not.

What a link leads to may be elsewhere, or another child, which would be read twice.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from beam_pipelines.sources import local
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
class LocalFolder:
    """A folder on this machine or mounted on all workers."""

    folder: str

    def units(self) -> Iterator[Unit | Reject]:
        """A unit for each child folder, by name; loose files and links are rejects without one.

        Raises:
            SourceError: the folder cannot be read or has no child folder.
        """
        try:
            children = sorted(os.scandir(self.folder), key=lambda entry: entry.name)
        except OSError as error:
            raise SourceError(
                f"--source folder:{self.folder}: {os.strerror(error.errno or 0)}"
            ) from error
        children = [child for child in children if child.name not in local.IGNORED_FOLDERS]
        if not any(child.is_dir(follow_symlinks=False) for child in children):
            raise SourceError(f"--source folder:{self.folder}: no child folder, so no repository")
        for child in children:
            name = local.printable(child.name)
            if child.is_symlink():
                yield Reject("", name, *local.link_problem(self.folder, child.path))
            elif not child.is_dir(follow_symlinks=False):
                yield Reject("", name, "outside_repositories", "not in a child folder")
            elif name != child.name:
                yield Reject("", name, "path", "unprintable characters in a repository's name")
            else:
                yield Unit(name, os.path.realpath(child.path))

    def state(self, unit: Unit) -> Iterator[FileState]:
        """The size and time of every file."""
        for path, _ in local.walk(unit.key):
            try:
                status = os.lstat(os.path.join(unit.key, path))
            except OSError:
                continue
            yield FileState(path, status.st_size, f"{status.st_mode} {status.st_mtime_ns}")

    def batches(self, unit: Unit) -> Iterator[FileBatch | Reject]:
        """The files of one child folder."""
        info = RepositoryInfo(unit.name, "", "", unit.key)
        return in_batches(info, self._listed(info))

    def _listed(self, info: RepositoryInfo) -> Iterator[FileReference | Reject]:
        for path, problem in local.walk(info.place):
            if problem:
                yield Reject(info.name, local.printable(path), *problem)
            else:
                yield local.list_entry(info, path)

    def read(self, batch: FileBatch, limit: int) -> Iterator[FileContent | Reject]:
        """Files below the child folder."""
        return local.read(batch, limit)
