# SPDX-License-Identifier: Apache-2.0
"""Files of a local folder: listed without following links, opened only if they are regular.

So nothing outside a repository is read, and a FIFO or a device cannot block the run. Nor is a path
followed through a folder that is a link.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator

from beam_pipelines.sources.source import FileBatch, FileContent, FileReference, RepositoryInfo
from coder.data.records import Reject

# Not part of a repository's tree: what version control and the interpreter keep beside it.
IGNORED_FOLDERS = frozenset({".git", ".hg", ".svn", "__pycache__"})


def walk(root: str) -> Iterator[tuple[str, tuple[str, str] | None]]:
    """Paths of all entries but folders, following no links; a folder that fails comes with why."""
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            entries = sorted(os.scandir(os.path.join(root, folder)), key=lambda entry: entry.name)
        except OSError as error:
            yield folder, ("unreadable", os.strerror(error.errno or 0))
            continue
        for entry in entries:
            path = os.path.join(folder, entry.name)
            if not entry.is_dir(follow_symlinks=False):
                yield path, None
            elif entry.name not in IGNORED_FOLDERS:
                pending.append(path)


def list_entries(info: RepositoryInfo, paths: Iterable[str]) -> Iterator[FileReference | Reject]:
    """`list_entry` of paths that somebody else has listed, and that may lead through links."""
    folders: dict[str, bool] = {}
    for path in paths:
        yield _refused_link(info, path, folders) or list_entry(info, path)


def list_entry(info: RepositoryInfo, path: str) -> FileReference | Reject:
    """What `lstat` tells about one path: a reference to a regular file, or why it is refused."""

    def reject(reason: str, detail: str = "") -> Reject:
        return Reject(info.name, printable(path), reason, detail)

    place = os.path.join(info.place, path)
    if printable(path) != path:
        return reject("path", "unprintable characters or invalid UTF-8")
    try:
        status = os.lstat(place)
    except OSError as error:
        return reject("unreadable", os.strerror(error.errno or 0))
    if stat.S_ISLNK(status.st_mode):
        return reject(*link_problem(info.place, place))
    if not stat.S_ISREG(status.st_mode):
        return reject("not_a_file", stat.filemode(status.st_mode)[0])
    return FileReference(path, status.st_size)


def _refused_link(info: RepositoryInfo, path: str, folders: dict[str, bool]) -> Reject | None:
    """The reject of a path that leads through a link; `folders` remembers which ones do."""
    folder = os.path.dirname(path)
    if folder not in folders:
        lexical = os.path.normpath(os.path.join(os.path.realpath(info.place), folder))
        folders[folder] = os.path.realpath(os.path.join(info.place, folder)) != lexical
    if not folders[folder]:
        return None
    problem = link_problem(info.place, os.path.join(info.place, path))
    return Reject(info.name, printable(path), *problem)


def link_problem(root: str, place: str) -> tuple[str, str]:
    """Why a link below `root`, or a path through one, is not read.

    Its target is read where it lies, or must not be read at all.
    """
    try:
        target = os.path.realpath(place, strict=True)
    except OSError as error:
        reason = "symlink_loop" if error.errno == errno.ELOOP else "symlink_broken"
        return reason, os.strerror(error.errno or 0)
    root = os.path.realpath(root)
    if os.path.commonpath([root, target]) != root:
        return "symlink_outside", printable(target)
    return "symlink", f"of {printable(os.path.relpath(target, root))}"


def read(batch: FileBatch, limit: int) -> Iterator[FileContent | Reject]:
    """`Source.read` for files below `batch.info.place`."""
    folders: dict[str, bool] = {}
    for file in batch.files or ():
        refused = _refused_link(batch.info, file.path, folders)
        yield refused or read_file(batch.info, file.path, limit)


def read_file(info: RepositoryInfo, path: str, limit: int) -> FileContent | Reject:
    """At most `limit` bytes of a listed file, or why they cannot be had; it may have changed."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(os.path.join(info.place, path), flags)
    except OSError as error:
        return Reject(info.name, path, "unreadable", os.strerror(error.errno or 0))
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Reject(info.name, path, "not_a_file", stat.filemode(status.st_mode)[0])
        try:
            return FileContent(path, file.read(limit))
        except OSError as error:
            return Reject(info.name, path, "unreadable", os.strerror(error.errno or 0))


def printable(name: str) -> str:
    """`name` with unprintable characters, undecodable bytes among them, as escapes."""
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
