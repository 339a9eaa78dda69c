# SPDX-License-Identifier: Apache-2.0
"""The files that a pattern names, in any of Beam's file systems, and what they are called.

Patterns are Beam's: `*` and `?` stay within a folder, `**` does not, and nothing can be quoted.
Beam gives a listing as a whole: it takes about half a kilobyte for each file.
"""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO, cast

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems

from beam_pipelines.sources import local
from beam_pipelines.sources.source import FileState, SourceError
from coder.data.records import Reject


def match(option: str, pattern: str) -> list[FileMetadata]:
    """The files of a pattern, by path.

    Args:
        option: What the user gave, such as `--source archive:*.zip`, for messages.
        pattern: Local, or with the scheme of a file system that Beam knows.

    Raises:
        SourceError: there are none, or they cannot be listed.
    """
    if not is_remote(pattern):
        pattern = os.path.abspath(pattern)
        if os.path.isdir(pattern):
            raise SourceError(f"{option}: {pattern} is a folder; name its files: {pattern}/*")
    try:
        (matched,) = FileSystems.match([pattern])
    except (BeamIOError, ValueError) as error:
        raise SourceError(f"{option}: cannot be listed: {error}") from error
    if not matched.metadata_list:
        raise SourceError(f"{option}: no file matches; `*` stays within a folder, `**` does not")
    return sorted(matched.metadata_list, key=lambda file: file.path)


def broken_links(pattern: str) -> Iterator[Reject]:
    """Local links that a pattern names and that lead nowhere, which `match` leaves out."""
    if is_remote(pattern):
        return
    pattern = os.path.abspath(pattern)
    top = _fixed(pattern)
    links = [
        FileMetadata(path, 0)
        for folder, _, names in os.walk(top)
        for path in (os.path.join(folder, name) for name in names)
        if os.path.islink(path) and not os.path.exists(path)
    ]
    for link in FileSystems.get_filesystem(pattern).match_files(links, pattern):
        name = local.printable(relative(link.path, pattern))
        yield Reject("", name, *local.link_problem(top, link.path))


def is_remote(path: str) -> bool:
    """Whether a path has a scheme, such as gs://."""
    return FileSystems.get_scheme(path) is not None


def open_file(path: str) -> BinaryIO:
    """A file as its bytes lie; Beam would go by the ending of its name.

    What a file system's client raises for a lost connection is an OSError too; the clients of GCS,
    S3 and HDFS try again by themselves before.

    Raises:
        OSError: it cannot be opened, or is local and no regular file: a FIFO would block the run.
    """
    if not is_remote(path) and not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("not a regular file")
    opened = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return cast(BinaryIO, opened)


def relative(path: str, pattern: str) -> str:
    """A path below the folder that a pattern fixes: `b/c.zip` of `/a/**.zip`."""
    if not is_remote(pattern):
        pattern = os.path.abspath(pattern)
    folder = _fixed(pattern)
    return path.removeprefix(folder) if path.startswith(folder) else path.rpartition("/")[2]


def _fixed(pattern: str) -> str:
    """The folder that a pattern fixes, with its `/`."""
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")[0] + "/"


def short_names(names: Iterable[str], endings: tuple[str, ...]) -> Mapping[str, str]:
    """Names without their endings, except where two would be the same: these keep theirs."""
    stems = {name: stem(name, endings) for name in names}
    taken = Counter(stems.values()) + Counter(name for name in stems if stems[name] != name)
    return {name: short if taken[short] == 1 else name for name, short in stems.items()}


def stem(name: str, endings: tuple[str, ...]) -> str:
    """A name without the longest of the endings that it has, in any case."""
    found = [end for end in endings if name.lower().endswith(end) and len(name) > len(end)]
    short = name[: -len(max(found, key=len))] if found else name
    return name if not short or short.endswith("/") else short


def state_of(file: FileMetadata) -> FileState:
    """Size and time of a file that was matched."""
    return FileState(file.path, file.size_in_bytes, str(file.last_updated_in_seconds))
