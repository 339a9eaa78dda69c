# SPDX-License-Identifier: Apache-2.0
"""Repositories of git, read at a revision without a checkout: bare ones, checkouts and bundles.

Git itself reads them (it has to be installed on every worker) as `git_commands` describes, so
they lie on this machine or are mounted on all workers. Bundles may lie in any of Beam's file
systems: whoever reads one fetches it and indexes it in a temporary folder, of about its size, with
no working tree.

Links, submodules, and objects that are missing or damaged are rejects.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import batched

from beam_pipelines.sources import git_commands, matching, member_paths
from beam_pipelines.sources.git_commands import GitError
from beam_pipelines.sources.source import (
    BATCH_FILES,
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

BUNDLE = ".bundle"
_ENDINGS = (".git", BUNDLE)

_MAX_HEADER = 16 << 20  # bytes of a bundle before its pack: a line for each of its heads


@dataclass(frozen=True)
class GitSource:
    """A repository or bundle, or a folder of some, at a revision.

    Repositories are called by their names below the folder, without .git or .bundle; where two
    would be called the same they keep it.

    Attributes:
        spelling: DIR or DIR@REV. An @ in a path that exists, or in a host, belongs to DIR.
        folder: A path, or for bundles a pattern or folder with a scheme, such as gs://.
        revision: Whatever git takes for a commit; for each repository what it is there.
    """

    spelling: str
    folder: str = field(init=False)
    revision: str = field(init=False)

    def __post_init__(self) -> None:
        """Raises SourceError if the spelling is incomplete, or git is not installed."""
        folder, revision = _split(self.spelling)
        object.__setattr__(self, "folder", folder)
        object.__setattr__(self, "revision", revision)
        if not self.folder or not self.revision:
            raise SourceError("--source git: name a folder, and a revision behind @: git:DIR@REV")
        if not shutil.which("git"):
            raise SourceError(f"--source git:{self.folder}: git is not installed; install it")

    def units(self) -> Iterator[Unit | Reject]:
        """A unit for each repository; what else lies in the folder is a reject.

        Raises:
            SourceError: there is none.
        """
        found: dict[str, str | FileState] = {}
        for name, place in self._remote() if matching.is_remote(self.folder) else self._local():
            if place is None:
                yield Reject("", member_paths.shown(name), "outside_repositories", "not a git one")
            elif not name.isprintable():
                yield Reject("", member_paths.shown(name), "path", "unprintable name")
            else:
                found[name] = place
        if not found:
            raise SourceError(
                f"--source git:{self.folder}: no repository of git, nor a folder of some; wanted: "
                "bare repositories, checkouts with a .git folder, or *.bundle"
            )
        names = matching.short_names(found, _ENDINGS)
        for name, place in found.items():
            yield Unit(names[name], place)

    def _remote(self) -> Iterator[tuple[str, FileState]]:
        pattern = self.folder
        if not pattern.endswith(BUNDLE):
            pattern = f"{pattern.rstrip('/')}/**{BUNDLE}"
        for file in matching.match(f"--source git:{self.folder}", pattern):
            yield matching.relative(file.path, pattern), matching.state_of(file)

    def _local(self) -> Iterator[tuple[str, str | FileState | None]]:
        """Names and places in the folder; None of what is no repository."""
        folder = os.path.abspath(self.folder)
        place = _place(folder)
        if place:
            if isinstance(place, str):
                self._check(place)
            yield os.path.basename(folder), place
            return
        try:
            children = sorted(os.listdir(folder))
        except OSError as error:
            raise SourceError(
                f"--source git:{self.folder}: {os.strerror(error.errno or 0)}"
            ) from error
        for child in children:
            yield child, _place(os.path.join(folder, child))

    def _check(self, git_dir: str) -> None:
        """Raises SourceError if the only repository lacks the revision."""
        try:
            git_commands.commit_of(git_dir, self.revision)
        except GitError as error:
            raise SourceError(f"--source git:{self.folder}@{self.revision}: {error}") from error

    def state(self, unit: Unit) -> Iterator[FileState]:
        """The commit and every file's size and id; of a bundle its size and time."""
        if isinstance(unit.key, FileState):
            yield unit.key
            return
        try:
            commit = git_commands.commit_of(unit.key, self.revision)
            yield FileState("", 0, commit)
            for entry in git_commands.tree(unit.key, commit):
                path = member_paths.shown(_text(entry.path))
                yield FileState(path, entry.size or 0, f"{entry.mode} {entry.id}")
        except GitError as error:
            yield FileState("", 0, str(error))

    def batches(self, unit: Unit) -> Iterator[FileBatch | Reject]:
        """The files of a repository; all of a bundle at once, as it has to be indexed first."""
        try:
            if isinstance(unit.key, FileState):
                place = unit.key.path
                info = RepositoryInfo(unit.name, _bundled_commit(place, self.revision), "", place)
                yield FileBatch(info, None)
                return
            commit = git_commands.commit_of(unit.key, self.revision)
        except (GitError, OSError) as error:
            reason = "revision" if isinstance(error, git_commands.RevisionError) else "unreadable"
            yield Reject(unit.name, unit.name, reason, str(error)[:200])
            return
        info = RepositoryInfo(unit.name, commit, "", unit.key)
        yield from in_batches(info, _listed(info, unit.key))

    def read(self, batch: FileBatch, limit: int) -> Iterator[FileContent | Reject]:
        """Blobs of the commit, none further than to the limit."""
        info = batch.info
        named = [info.name] if batch.files is None else [file.path for file in batch.files]
        given: set[str] = set()  # what a batch lists; all of a bundle may be too many to note
        try:
            with _opened(info.place) as git_dir:
                listed = _listed(info, git_dir) if batch.files is None else batch.files
                for some in batched(listed, BATCH_FILES):
                    yield from (found for found in some if isinstance(found, Reject))
                    files = [found.path for found in some if isinstance(found, FileReference)]
                    for found in _contents(info, git_dir, files, limit):
                        if batch.files is not None:
                            given.add(found.path)
                        yield found
        except (GitError, OSError) as error:
            for path in named:
                if path not in given:
                    yield Reject(info.name, path, "unreadable", str(error)[:200])


def _split(spelling: str) -> tuple[str, str]:
    """DIR and REV of DIR@REV; HEAD if there is only DIR."""
    start = 0
    if matching.is_remote(spelling):
        start = spelling.find("/", spelling.index("://") + 3) + 1
    elif os.path.exists(spelling):
        return spelling, "HEAD"
    folder, at, revision = spelling[start:].rpartition("@")
    return (spelling[:start] + folder, revision) if at else (spelling, "HEAD")


def _place(path: str) -> str | FileState | None:
    """The folder that git works on, or a bundle's state, or None of what is neither."""
    for folder in (path, os.path.join(path, ".git")):
        if os.path.isfile(os.path.join(folder, "HEAD")) and all(
            os.path.isdir(os.path.join(folder, name)) for name in ("objects", "refs")
        ):
            return folder
    if path.endswith(BUNDLE) and os.path.isfile(path):
        status = os.stat(path)
        return FileState(path, status.st_size, str(status.st_mtime_ns))
    return None


def _listed(info: RepositoryInfo, git_dir: str) -> Iterator[FileReference | Reject]:
    """Every entry of the commit's tree as a file or a reject; raises nothing."""
    seen: set[bytes] = set()
    try:
        for entry in git_commands.tree(git_dir, info.revision):
            path = _text(entry.path)
            problem = member_paths.path_problem(path) or _problem(entry)
            digest = hashlib.blake2b(entry.path, digest_size=16).digest()
            if problem is None and digest in seen:
                problem = "duplicate_path", "an entry before has the same path"
            seen.add(digest)
            if problem:
                yield Reject(info.name, member_paths.shown(path), *problem)
            else:
                yield FileReference(path, entry.size or 0)
    except GitError as error:
        yield Reject(info.name, info.name, "unreadable", str(error))


def _problem(entry: git_commands.Entry) -> tuple[str, str] | None:
    """Why an entry is not read."""
    if entry.mode == "160000":
        return "submodule", f"at {entry.id}"
    if entry.mode == "120000":
        return "symlink", "not followed"
    if entry.kind != "blob":
        return "not_a_file", entry.kind
    return ("unreadable", "the object is missing") if entry.size is None else None


def _contents(
    info: RepositoryInfo, git_dir: str, paths: list[str], limit: int
) -> Iterator[FileContent | Reject]:
    names = [f"{info.revision}:{path}" for path in paths]
    for path, (_, content) in zip(paths, git_commands.blobs(git_dir, names, limit), strict=True):
        if isinstance(content, bytes):
            yield FileContent(path, content)
        else:
            yield Reject(info.name, path, "unreadable", content)


@contextmanager
def _opened(place: str) -> Iterator[str]:
    """The folder that git works on; a bundle's is made, and gone afterwards."""
    if os.path.isdir(place):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="bundle-") as folder:
        bundle = os.path.join(folder, f"fetched{BUNDLE}")
        if matching.is_remote(place):
            with matching.open_file(place) as remote, open(bundle, "wb") as local:
                shutil.copyfileobj(remote, local, 1 << 20)
        else:
            os.symlink(os.path.abspath(place), bundle)
        git_dir = os.path.join(folder, "repository")
        git_commands.unbundle(bundle, git_dir)
        yield git_dir


def _bundled_commit(place: str, revision: str) -> str:
    """The commit's id by a bundle's heads, or, if they do not tell, by its objects.

    Raises:
        GitError, OSError: it is no bundle, or has no such commit.
    """
    heads: dict[str, str] = {}
    with matching.open_file(place) as file:
        header = file.read(_MAX_HEADER).partition(b"\n\n")[0]
    first, *lines = header.split(b"\n")
    if not re.fullmatch(rb"# v\d+ git bundle", first):
        raise GitError("no bundle of git: its first line does not say so")
    for line in lines:
        if line.startswith(b"-"):
            raise GitError("a bundle that continues another one: it lacks the commits before")
        id_, _, name = line.partition(b" ")
        heads[_text(name)] = _text(id_)
    commit = heads.get("HEAD" if revision == "HEAD" else f"refs/heads/{revision}", "")
    if re.fullmatch(r"[0-9a-f]{40}", commit):
        return commit
    with _opened(place) as git_dir:
        return git_commands.commit_of(git_dir, revision)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
