# SPDX-License-Identifier: Apache-2.0
"""Archives, each a repository: tar, also compressed by gzip, bzip2, xz or zstd, and zip.

GitHub's tarballs, sdists, wheels, eggs, jars and npm's .tgz are such. What a file is, its first
bytes say, not its name. Nothing is written to disk, entries are read in one pass, and memory holds
one entry up to the reader's limit, besides 16 bytes for each name (and a zip archive's directory).

Every entry but folders is a file or a reject; what damage or a limit keeps from being read is one
reject more, under the archive's own name. Of entries with the same path the first is kept. Archives
inside archives are files like any other.

Paths are below the archive's root folder where it has one: the folder that all entries of a zip
archive lie in, except for wheels, eggs and jars, whose top folders are packages. What all entries
of a tar archive share is known only at its end, so there it is the first entry's top folder, if it
is called `package` (npm), or like the archive's file (the words of one name contain those of the
other), or if `git archive` made the archive (as GitHub's are) and it begins with a folder; entries
beside it keep their paths.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from beam_pipelines.sources import matching, member_paths
from beam_pipelines.sources.members import Member, MemberError
from beam_pipelines.sources.source import (
    FileBatch,
    FileContent,
    FileState,
    RepositoryInfo,
    SourceError,
    Unit,
)
from beam_pipelines.sources.streams import ArchiveError, Limits, Stream
from beam_pipelines.sources.tar_members import TarReader
from beam_pipelines.sources.zip_members import MAX_TARGET, ZipReader
from coder.data.records import Reject

_PACKAGES = (".whl", ".egg", ".jar")
_TAR = ("", ".gz", ".bz2", ".xz", ".zst")
ENDINGS = (
    *(f".tar{ending}" for ending in _TAR),
    *(".tgz", ".tbz2", ".txz", ".tzst", ".zip"),
    *_PACKAGES,
)

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True)
class ArchiveSource:
    """The archives that a pattern names.

    A repository is called by its file's path below the folders that the pattern fixes, without the
    ending: /data/**.tar.gz finds `owner/project`. Where two would be called the same they keep it.
    """

    pattern: str
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        """Raises SourceError if there is no pattern."""
        if not self.pattern:
            raise SourceError("--source archive: name the files: archive:FOLDER/*.tar.gz")

    def units(self) -> Iterator[Unit | Reject]:
        """A unit for each archive; links that lead nowhere are rejects.

        Raises:
            SourceError: no file matches.
        """
        files = matching.match(f"--source archive:{self.pattern}", self.pattern)
        yield from matching.broken_links(self.pattern)
        paths = [matching.relative(file.path, self.pattern) for file in files]
        names = matching.short_names(paths, ENDINGS)
        for path, file in zip(paths, files, strict=True):
            if path.isprintable():
                yield Unit(names[path], matching.state_of(file))
            else:
                yield Reject("", member_paths.shown(path), "path", "unprintable name of an archive")

    def state(self, unit: Unit) -> Iterator[FileState]:
        """Size and time of the archive."""
        yield unit.key

    def batches(self, unit: Unit) -> Iterator[FileBatch | Reject]:
        """One batch: all of the archive. Its revision is the commit that `git archive` noted."""
        place = unit.key.path
        revision = ""
        try:
            with matching.open_file(place) as raw:
                revision = _commit(_open(raw, self.limits))
        except (OSError, ArchiveError):
            pass  # reading it will say so
        yield FileBatch(RepositoryInfo(unit.name, revision, "", place), None)

    def read(self, batch: FileBatch, limit: int) -> Iterator[FileContent | Reject]:
        """All files of the archive, or those of the batch, and their rejects."""
        wanted = None if batch.files is None else {file.path for file in batch.files}
        problem = ArchiveError("unreadable", "the archive does not hold it any more")
        try:
            with matching.open_file(batch.info.place) as raw:
                for found in self._found(batch.info, raw, limit):
                    if wanted is None:
                        yield found
                    elif found.path in wanted:
                        wanted.remove(found.path)
                        yield found
                    if wanted is not None and not wanted:
                        return
        except ArchiveError as error:
            problem = error
        except OSError as error:
            problem = ArchiveError("unreadable", str(error)[:200])
        else:
            if wanted is None:
                return
        name = member_paths.shown(batch.info.place.rpartition("/")[2])
        for path in [name] if wanted is None else sorted(wanted):
            yield Reject(batch.info.name, path, problem.reason, problem.detail)

    def _found(
        self, info: RepositoryInfo, raw: BinaryIO, limit: int
    ) -> Iterator[FileContent | Reject]:
        """Every entry of an archive but folders, as a file or a reject."""
        reader = _open(raw, self.limits)
        root = None
        seen: set[bytes] = set()
        for member in reader.members():
            path = member_paths.clean(member.path)
            if root is None:
                root = _root(reader, info.place.rpartition("/")[2])
            path = path.removeprefix(root)
            problem = member_paths.path_problem(path)
            digest = hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            if problem is None and digest in seen:
                problem = "duplicate_path", "an entry before has the same path"
            seen.add(digest)
            if problem:
                yield Reject(info.name, member_paths.shown(path), *problem)
            else:
                yield from _take(info, member, path, limit)
        if root is None:
            raise ArchiveError("unreadable", "no file in it")


def _open(raw: BinaryIO, limits: Limits) -> "TarReader | ZipReader":
    """The reader for what a file turns out to be."""
    try:
        if not raw.seekable():
            raise ArchiveError("unreadable", "the file system it lies on cannot seek")
        head = raw.read(4)
        raw.seek(0, 2)
        end = raw.tell()
        raw.seek(max(0, end - 22))
        tail = raw.read(22)
        if head in (b"PK\3\4", b"PK\5\6") or tail.startswith(b"PK\5\6"):
            return ZipReader(raw, limits)
        raw.seek(0)
        return TarReader(Stream(raw, limits))
    except (OSError, ValueError) as error:
        if isinstance(error, ArchiveError):
            raise
        raise ArchiveError("unreadable", str(error)[:200]) from error


def _take(
    info: RepositoryInfo, member: Member, path: str, limit: int
) -> Iterator[FileContent | Reject]:
    """An entry's content, or why there is none."""

    def reject(reason: str, detail: str) -> Reject:
        return Reject(info.name, path, reason, detail)

    try:
        if member.kind == "file":
            yield FileContent(path, member.read(limit))
        elif member.kind in ("symlink", "hardlink"):
            target = member.target
            if target is None:
                target = member.read(MAX_TARGET).decode("utf-8", "surrogateescape")
            hard = member.kind == "hardlink"
            yield reject(*member_paths.link_problem(path, target, hard=hard))
        else:
            yield reject(member.kind, member.detail)
    except MemberError as error:
        yield reject(error.reason, error.detail)
    except ArchiveError as error:
        yield reject(error.reason, error.detail)
        raise


def _commit(reader: "TarReader | ZipReader") -> str:
    """The id of the commit that `git archive` made an archive of, or nothing."""
    if isinstance(reader, TarReader):
        next(reader.members(), None)  # what comes before the first entry
    return reader.comment if _COMMIT.fullmatch(reader.comment) else ""


def _root(reader: "TarReader | ZipReader", file: str) -> str:
    """The root folder of the archive in `file`, with its slash; empty if it has none."""
    if isinstance(reader, TarReader):
        return _tar_root(reader, file)
    return "" if file.lower().endswith(_PACKAGES) else _zip_root(reader)


def _zip_root(reader: ZipReader) -> str:
    """The folder that all entries lie in."""
    root = ""
    for name in reader.names():
        top, slash, _ = member_paths.clean(name).partition("/")
        if name.endswith("/") and not slash:
            slash = "/"
        if not slash or root not in ("", f"{top}/"):
            return ""
        root = f"{top}/"
    return "" if root in ("/", "../") else root


def _tar_root(reader: TarReader, file: str) -> str:
    """The first entry's top folder, if its name says that it is the root."""
    first = member_paths.clean(reader.first) + ("/" if reader.first.endswith("/") else "")
    top, slash, _ = first.partition("/")
    if not slash or top in ("", ".."):
        return ""
    ours, theirs = (_words(name) for name in (matching.stem(file, ENDINGS), top))
    alike = ours in theirs or theirs in ours
    # Without a prefix it would begin with .gitignore, or whatever else sorts first.
    from_git = _COMMIT.fullmatch(reader.comment) and reader.first.endswith("/") and top[0] != "."
    return f"{top}/" if alike or top == "package" or from_git else ""


def _words(name: str) -> str:
    """A name's words between hyphens, for comparison; tags begin with a `v`."""
    words = re.split(r"[-_.]", re.sub(r"^v(?=\d)", "", name.lower()))
    return f"-{'-'.join(words)}-"
