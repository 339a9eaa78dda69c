# SPDX-License-Identifier: Apache-2.0
"""Archives to read, honest and hostile, and what a source makes of them."""

import io
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path

import zstandard

from beam_pipelines.sources.archive import ArchiveSource
from beam_pipelines.sources.source import FileBatch, FileContent, Unit
from beam_pipelines.sources.streams import Limits
from coder.data.records import Reject

DEFAULTS = Limits()

Files = Iterable[tuple[str, bytes]]


def tar(files: Files, mode: str = "w", pax: dict[str, str] | None = None, format: int = 2) -> bytes:
    """A tar archive; a name that ends in `/` is a folder."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode=mode, format=format, pax_headers=pax) as archive:  # type: ignore[call-overload]
        for name, content in files:
            add(archive, name, content)
    return written.getvalue()


def add(archive: tarfile.TarFile, name: str, content: bytes = b"", **fields: object) -> None:
    """Writes an entry; `fields` are those of its header."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    if name.endswith("/"):
        info.type = tarfile.DIRTYPE
    for field, value in fields.items():
        setattr(info, field, value)
    archive.addfile(info, io.BytesIO(content))


def zipped(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive; a name that ends in `/` is a folder."""
    written = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(written, "w", method) as archive:
        warnings.simplefilter("ignore", UserWarning)  # names that come twice
        for name, content in files:
            archive.writestr(zip_info(name, method), content)
    return written.getvalue()


def zip_info(name: str, method: int = zipfile.ZIP_DEFLATED, mode: int = 0) -> zipfile.ZipInfo:
    """An entry's header, as Unix writes it if it has a mode."""
    info = zipfile.ZipInfo("x")
    info.filename = name  # the constructor would cut it at a NUL
    info.compress_type = method
    info.external_attr = mode << 16
    info.create_system = 3
    return info


def raw_zip(entries: Iterable[tuple[bytes, int, int]], data: bytes, size: int = 0) -> bytes:
    """A zip archive whose directory says what it likes: name, packed size, offset of each entry."""
    entries = list(entries)
    directory = b"".join(
        struct.pack(
            "<4s4B4H3L5H2L",
            *(b"PK\1\2", 20, 3, 20, 0, 0, 8, 0, 0, 0, packed, size),
            *(len(name), 0, 0, 0, 0, 0, offset),
        )
        + name
        for name, packed, offset in entries
    )
    number = min(len(entries), 0xFFFF)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, number, number, len(directory), len(data), 0)
    return data + directory + end


def local_header(name: bytes) -> bytes:
    """What stands before a deflated entry's bytes."""
    return struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, 0, 0, 0, len(name), 0) + name


def read(path: Path, limit: int = 1 << 20, limits: Limits = DEFAULTS) -> list[FileContent | Reject]:
    """What an archive's only batch gives."""
    source = ArchiveSource(str(path), limits)
    (unit,) = source.units()
    assert isinstance(unit, Unit)
    (batch,) = source.batches(unit)
    assert isinstance(batch, FileBatch)
    return list(source.read(batch, limit))


def contents(found: Iterable[FileContent | Reject]) -> dict[str, bytes]:
    """The files among what was read; each path comes once."""
    files = [file for file in found if isinstance(file, FileContent)]
    assert len({file.path for file in files}) == len(files)
    return {file.path: file.content for file in files}


def reasons(found: Iterable[FileContent | Reject]) -> dict[str, str]:
    """The rejects among what was read."""
    return {reject.path: reject.reason for reject in found if isinstance(reject, Reject)}


def details(found: Iterable[FileContent | Reject]) -> str:
    """What the rejects say beyond their reasons."""
    return "; ".join(reject.detail for reject in found if isinstance(reject, Reject))


def write(path: Path, content: bytes) -> Path:
    """Writes a file with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


FILES = [
    ("pkg-1.0/", b""),
    ("pkg-1.0/setup.py", b"setup()\n"),
    ("pkg-1.0/pkg/", b""),
    ("pkg-1.0/pkg/ü.py", "x = 'ü'\n".encode() * 2000),
    ("pkg-1.0/pkg/empty.py", b""),
]

FORMATS = {
    "tar": lambda files: tar(files),
    "tar.gz": lambda files: tar(files, "w:gz"),
    "tgz": lambda files: tar(files, "w:gz"),
    "tar.bz2": lambda files: tar(files, "w:bz2"),
    "tar.xz": lambda files: tar(files, "w:xz"),
    "tar.zst": lambda files: zstandard.compress(tar(files)),
    "zip": lambda files: zipped(files),
}
