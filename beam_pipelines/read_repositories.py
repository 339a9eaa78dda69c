# SPDX-License-Identifier: Apache-2.0
"""Stage 1: from a source to batches of files, and from a batch to the bytes of its files.

Listing runs once, where the pipeline is launched, and opens no file: it gives references
(repository, path, size), so that a source of any size is shuffled as names and balanced by bytes.
Contents are read inside the workers. Symbolic links are never followed below a repository's root,
and only regular files are opened: nothing outside the repository is read, and a FIFO or device
cannot block the run.
"""

import dataclasses
import errno
import hashlib
import importlib.metadata
import json
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from coder.data.records import Reject

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"

# Not part of a repository's tree: what version control and the interpreter keep beside it.
IGNORED_FOLDERS = frozenset({".git", ".hg", ".svn", "__pycache__"})

# Copies of other projects: their originals, if wanted, are repositories of their own.
VENDORED_FOLDERS = frozenset(
    {"_vendor", "_vendored", "vendor", "vendored", "third_party", "node_modules"}
)

BATCH_BYTES = 2 * 2**20
BATCH_FILES = 256


class SourceError(ValueError):
    """The source cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class RepositoryInfo:
    """What every file of a repository shares.

    Attributes:
        name: Unique within the source.
        revision: Version or commit; empty when the source does not tell.
        licence: SPDX expression or the package's own words; empty when unknown.
        root: Folder that the paths are relative to.
    """

    name: str
    revision: str
    licence: str
    root: str


@dataclass(frozen=True)
class FileReference:
    """A file that was listed, not opened; `state`: its digest or time, for `input_digest`."""

    path: str
    size: int
    state: str = field(default="", compare=False)


@dataclass(frozen=True)
class Repository:
    """A repository as listed: files to read, and what listing itself had to refuse."""

    info: RepositoryInfo
    files: tuple[FileReference, ...]
    rejects: tuple[Reject, ...] = ()

    @property
    def num_files(self) -> int:
        """Every path met, refused ones included."""
        return len(self.files) + len(self.rejects)


@dataclass(frozen=True)
class FileBatch:
    """Some files of one repository: the unit of work, of about `BATCH_BYTES`."""

    info: RepositoryInfo
    files: tuple[FileReference, ...]


def list_repositories(source: str) -> list[Repository]:
    """The repositories of `installed` or `folder:DIR`, sorted by name.

    Raises:
        SourceError: the source is unknown, missing or holds no repository.
    """
    kind, _, place = source.partition(":")
    if source == "installed":
        return list_installed(REQUIREMENTS)
    if kind == "folder" and place:
        return list_folder(Path(place))
    raise SourceError(
        f"--source {source}: use installed, or folder:DIR with a repository in each child folder"
    )


def input_digest(repositories: Iterable[Repository]) -> str:
    """Sixteen hex digits that change with the hash or time of a listed file."""
    state = hashlib.blake2b(digest_size=8)
    for repository in repositories:
        state.update(repr(dataclasses.replace(repository.info, root="")).encode())
        state.update(json.dumps([[f.path, f.size, f.state] for f in repository.files]).encode())
        state.update(json.dumps([[r.path, r.reason] for r in repository.rejects]).encode())
    return state.hexdigest()


def list_installed(requirements: Path) -> list[Repository]:
    """Every distribution that a lock file pins for this platform, as its RECORD lists it.

    Raises:
        SourceError: a locked distribution is missing or installed in another version.
    """
    repositories, wrong = [], []
    for requirement in _locked(requirements):
        try:
            distribution = importlib.metadata.distribution(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{requirement} (missing)")
            continue
        if not requirement.specifier.contains(distribution.version, prereleases=True):
            wrong.append(f"{requirement} (installed: {distribution.version})")
            continue
        repositories.append(_installed_repository(requirement.name, distribution))
    if wrong:
        raise SourceError(
            f"--source installed: {requirements.name} locks what is not installed here: "
            f"{', '.join(wrong)}; run make setup, or use --source folder:DIR"
        )
    return sorted(repositories, key=lambda repository: repository.info.name)


def _locked(requirements: Path) -> Iterator[Requirement]:
    """The requirements of a lock file whose markers hold on this machine."""
    for line in requirements.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].partition("--hash")[0].rstrip(" \\")
        if not text.strip() or text.startswith(("-", " ")):
            continue
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise SourceError(f"{requirements}: cannot read {line!r}: {error}") from error
        if requirement.marker is None or requirement.marker.evaluate():
            yield requirement


def _installed_repository(name: str, distribution: importlib.metadata.Distribution) -> Repository:
    metadata = distribution.metadata
    licence = metadata.get("License-Expression") or metadata.get("License") or ""
    info = RepositoryInfo(
        name,
        distribution.version,
        licence.partition("\n")[0].strip(),
        str(distribution.locate_file("")),
    )
    files, rejects = [], []
    for entry in sorted(distribution.files or (), key=str):
        folders = entry.parts[:-1]
        if ".." in folders or "__pycache__" in folders or entry.parts[0].endswith(".dist-info"):
            continue
        listed = _list_entry(info, str(entry), str(distribution.locate_file(entry)))
        if isinstance(listed, Reject):
            rejects.append(listed)
        else:
            state = entry.hash.value if entry.hash else ""
            files.append(dataclasses.replace(listed, state=state))
    return Repository(info, tuple(files), tuple(rejects))


def list_folder(folder: Path) -> list[Repository]:
    """Each child folder as a repository; loose files are rejects of a repository without name.

    Raises:
        SourceError: the folder cannot be read or has no child folder.
    """
    try:
        children = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise SourceError(f"--source folder:{folder}: {os.strerror(error.errno or 0)}") from error
    repositories, loose = [], []
    for child in children:
        if child.name in IGNORED_FOLDERS:
            continue
        name = printable(child.name)
        if not os.path.isdir(child.path):  # unlike `child.is_dir()`, takes a loop of links
            loose.append(Reject("", name, "outside_repositories", "not in a child folder"))
        elif name != child.name:
            loose.append(
                Reject("", name, "path", "unprintable characters in the name of a repository")
            )
        else:
            repositories.append(_folder_repository(child))
    if not repositories:
        raise SourceError(f"--source folder:{folder}: no child folder, so no repository")
    if loose:
        nowhere = RepositoryInfo("", "", "", os.fspath(folder))
        repositories.insert(0, Repository(nowhere, (), tuple(loose)))
    return repositories


def _folder_repository(child: os.DirEntry[str]) -> Repository:
    info = RepositoryInfo(child.name, "", "", os.path.realpath(child.path))
    files, rejects = [], []
    for path, problem in _walk(info.root):
        if problem:
            rejects.append(Reject(info.name, printable(path), *problem))
            continue
        listed = _list_entry(info, path, os.path.join(info.root, path))
        (rejects if isinstance(listed, Reject) else files).append(listed)
    files.sort(key=lambda file: file.path)
    rejects.sort(key=lambda reject: reject.path)
    return Repository(info, tuple(files), tuple(rejects))


def _walk(root: str) -> Iterator[tuple[str, tuple[str, str] | None]]:
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


def _list_entry(info: RepositoryInfo, path: str, place: str) -> FileReference | Reject:
    """What `lstat` tells about one path: a reference to a regular file, or why it is refused."""

    def reject(reason: str, detail: str = "") -> Reject:
        return Reject(info.name, printable(path), reason, detail)

    if printable(path) != path:
        return reject("path", "unprintable characters or invalid UTF-8")
    try:
        status = os.lstat(place)
    except OSError as error:
        return reject("unreadable", os.strerror(error.errno or 0))
    if stat.S_ISLNK(status.st_mode):
        return reject(*_link_problem(info.root, place))
    if not stat.S_ISREG(status.st_mode):
        return reject("not_a_file", stat.filemode(status.st_mode)[0])
    if VENDORED_FOLDERS.intersection(path.split("/")[:-1]):
        return reject("vendored")
    return FileReference(path, status.st_size, str(status.st_mtime_ns))


def _link_problem(root: str, place: str) -> tuple[str, str]:
    """Why a link is not read: its target is read where it lies, or must not be read at all."""
    try:
        target = os.path.realpath(place, strict=True)
    except OSError as error:
        reason = "symlink_loop" if error.errno == errno.ELOOP else "symlink_broken"
        return reason, os.strerror(error.errno or 0)
    if os.path.commonpath([os.path.realpath(root), target]) != os.path.realpath(root):
        return "symlink_outside", printable(os.readlink(place))
    return "symlink", f"of {printable(os.path.relpath(target, root))}"


def printable(name: str) -> str:
    """`name` with unprintable characters, undecodable bytes among them, as escapes."""
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def batches(repository: Repository) -> Iterator[FileBatch]:
    """Cuts a repository's files, in path order, into batches that are about equally heavy."""
    files: list[FileReference] = []
    size = 0
    for file in repository.files:
        if files and (size + file.size > BATCH_BYTES or len(files) == BATCH_FILES):
            yield FileBatch(repository.info, tuple(files))
            files, size = [], 0
        files.append(file)
        size += file.size
    if files:
        yield FileBatch(repository.info, tuple(files))


def read_file(info: RepositoryInfo, path: str, limit: int = -1) -> bytes | Reject:
    """At most `limit` bytes of a listed file, or why they cannot be had; it may have changed."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(os.path.join(info.root, path), flags)
    except OSError as error:
        return Reject(info.name, path, "unreadable", os.strerror(error.errno or 0))
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Reject(info.name, path, "not_a_file", stat.filemode(status.st_mode)[0])
        try:
            return file.read(limit)
        except OSError as error:
            return Reject(info.name, path, "unreadable", os.strerror(error.errno or 0))
