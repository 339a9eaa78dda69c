# SPDX-License-Identifier: Apache-2.0
"""Paths of a repository: relative to its root, which is the empty string, with `/`."""

import posixpath
from collections.abc import Iterator


def join(folder: str, relative: str) -> str | None:
    """The path that `relative` means in a folder; None if it leads out of the repository."""
    joined = posixpath.normpath(posixpath.join(folder, relative))
    if joined == ".." or joined.startswith(("../", "/")):
        return None
    return "" if joined == "." else joined


def upwards(folder: str) -> Iterator[str]:
    """A folder and those around it, up to the root."""
    yield folder
    while folder:
        folder = folder.rpartition("/")[0]
        yield folder
