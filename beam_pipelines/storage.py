# SPDX-License-Identifier: Apache-2.0
"""Files and folders wherever Beam's file systems reach: local paths, gs://, s3://, hdfs://."""

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems

from coder.data.tfrecord import read_stream

# Beam's patterns have no way to quote these.
_SPECIAL = re.compile(r"[*?\[\]]")


def join(folder: str, name: str) -> str:
    """The address of `name`, with `/` between its folders, below `folder`."""
    return FileSystems.join(folder, *name.split("/"))


def files_below(folder: str, prefix: str = "") -> Iterator[tuple[str, FileMetadata]]:
    """Files whose name below `folder` begins with `prefix`: that name and what is known, by name.

    Raises:
        OSError: the folder cannot be listed; one that does not exist has no files.
    """
    start = folder.rstrip("/") + "/"
    pattern = _SPECIAL.sub("?", start + prefix) + "**"
    (matched,) = FileSystems.match([pattern])
    for metadata in sorted(matched.metadata_list, key=lambda metadata: metadata.path):
        if metadata.path.startswith(start + prefix):
            yield metadata.path.removeprefix(start), metadata


def read_bytes(address: str, limit: int = -1) -> bytes:
    """At most `limit` bytes of a file, as they are stored.

    Raises:
        OSError: the file cannot be read.
    """
    with FileSystems.open(address, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        return file.read(limit)


def read_lines(address: str) -> Iterator[bytes]:
    """The lines of a file, without their ends.

    Raises:
        OSError: the file cannot be read.
    """
    with FileSystems.open(address, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        for line in file:
            yield line.rstrip(b"\n")


def read_records(address: str) -> Iterator[bytes]:
    """The records of a TFRecord shard.

    Raises:
        OSError: the file cannot be read.
        CorruptRecordError: a record is cut off or fails a check sum.
    """
    with FileSystems.open(address, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        yield from read_stream(file, address)


def read_json(address: str) -> Any | None:
    """What a JSON file holds; None if there is no such file.

    Raises:
        OSError, ValueError: it cannot be read, or is not JSON.
    """
    if not FileSystems.exists(address):
        return None
    return json.loads(read_bytes(address))


def write_json(address: str, values: Any) -> None:
    """Writes a JSON file whole: under a temporary name first."""
    temporary = f"{address}.partial"
    with FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        file.write((json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode())
    replace(temporary, address)


def replace(temporary: str, address: str) -> None:
    """Gives a finished file its name, in the place of one that may be there.

    Most file systems put it there in one step; HDFS wants the old one removed first.
    """
    try:
        FileSystems.rename([temporary], [address])
    except BeamIOError:
        if not FileSystems.exists(address):
            raise
        FileSystems.delete([address])
        FileSystems.rename([temporary], [address])


def remove(addresses: Iterable[str]) -> None:
    """Removes files; those that do not exist are no error."""
    FileSystems.delete([address for address in addresses if FileSystems.exists(address)])


def remove_empty(folder: str) -> None:
    """Removes the empty folders in a local one, and itself; elsewhere there are none without files.

    A folder with anything in it stays.
    """
    for path, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(path)


def problem(error: OSError) -> str:
    """What went wrong, in words: Beam wraps the errors of its file systems."""
    if isinstance(error, BeamIOError) and error.exception_details:
        error = next(iter(error.exception_details.values()))
    return getattr(error, "strerror", None) or str(error)
