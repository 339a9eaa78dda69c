# SPDX-License-Identifier: Apache-2.0
"""Compressed and plain files as streams that end in an error before they harm.

The first bytes tell the kind of compression, not the name. What can be asked of a stream is `read`
and `skip`; memory holds a buffer and the decoder's window, whatever the file is.
"""

import bz2
import gzip
import lzma
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import zstandard

CHUNK = 1 << 16

# Of the decoder: a file may ask for more, up to 4 GiB in xz and 2 TiB in zst.
MAX_WINDOW = 1 << 27

_BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, ValueError)


@dataclass(frozen=True)
class Limits:
    """What one archive may cost.

    A directory of a million files, or ten gigabytes of zeros, is no repository that anybody wrote:
    Linux has 80,000 files and 1.3 GB; source code shrinks to a fifth, hardly ever to a fiftieth.
    """

    members: int = 200_000
    """Entries; what lies beyond is one reject."""
    bytes: int = 8 << 30
    """Decompressed, what is skipped included if it has to be decompressed for that."""
    ratio: int = 250
    """Decompressed bytes for each byte that was read, once `free_bytes` are past."""
    free_bytes: int = 256 << 20
    """Whatever the ratio, as much may be decompressed."""

    def check(self, decompressed: int, read: int) -> None:
        """Raises ArchiveError if an archive costs more."""
        if decompressed > self.bytes:
            raise ArchiveError("archive_bomb", f"more than {self.bytes} bytes decompressed")
        if decompressed > self.free_bytes and decompressed > self.ratio * read:
            raise ArchiveError(
                "archive_bomb", f"{decompressed} bytes decompressed from no more than {read}"
            )


ENDLESS = Limits(bytes=1 << 62)
"""Of tables: they may be as large as they like, but not made of nothing."""


class ArchiveError(ValueError):
    """An archive or stream cannot be read further: a reason and a detail for its reject."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class _Blocks:
    """Bytes of formats whose decoders handle one stream, of which a file may hold several."""

    def __init__(self, raw: BinaryIO, decoder: type[bz2.BZ2Decompressor] | None) -> None:
        self.raw, self.kind = raw, decoder
        self.decoder = self._new()

    def _new(self) -> Any:
        if self.kind:
            return self.kind()
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=2 * MAX_WINDOW)

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        while True:
            data = b""
            if self.decoder.eof:
                data = (self.decoder.unused_data or self.raw.read(CHUNK)).lstrip(b"\0")
                if not data:
                    return b""
                self.decoder = self._new()
            elif self.decoder.needs_input:
                data = self.raw.read(CHUNK)
                if not data:
                    raise EOFError("the compressed data is cut off")
            decoded = self.decoder.decompress(data, size)
            if decoded:
                return decoded


class Stream:
    """A file, decompressed if it is compressed; errors of any kind are `ArchiveError`s."""

    def __init__(self, raw: BinaryIO, limits: Limits) -> None:
        """`raw` stays open; it has to seek.

        Raises:
            ArchiveError: it cannot be read, or does not seek.
        """
        self.raw, self.limits = raw, limits
        self.position = 0
        try:
            head = raw.read(6)
            raw.seek(0)
            self.decoder = _decoder(raw, head)
        except _BROKEN as error:
            raise ArchiveError("unreadable", _words(error)) from error

    def read(self, size: int) -> bytes:
        """`size` bytes, or fewer at the end."""
        parts, missing = [], size
        while missing > 0:
            part = self._read_some(min(missing, 1 << 20))
            if not part:
                break
            parts.append(part)
            missing -= len(part)
        return b"".join(parts) if len(parts) != 1 else parts[0]

    def _read_some(self, size: int) -> bytes:
        try:
            part = (self.decoder or self.raw).read(size)
            self.position += len(part)
            if self.decoder:
                self.limits.check(self.position, self.raw.tell())
        except ArchiveError:
            raise
        except _BROKEN as error:
            raise ArchiveError("unreadable", _words(error)) from error
        return part

    def skip(self, size: int) -> None:
        """Leaves bytes out; what is not compressed is not read for it."""
        if self.decoder is None:
            try:
                self.position = self.raw.seek(size, os.SEEK_CUR)
            except (OSError, ValueError, OverflowError) as error:
                raise ArchiveError("unreadable", _words(error)) from error
            return
        while size > 0:
            part = self._read_some(min(size, CHUNK))
            if not part:
                raise ArchiveError("unreadable", "the file is cut off")
            size -= len(part)


def lines(stream: Stream, limit: int) -> Iterator[bytes | None]:
    """The lines of a stream, without their ends; None for one of more than `limit` bytes."""
    rest, too_long = bytearray(), False
    while data := stream.read(CHUNK):
        *ended, last = data.split(b"\n")
        for line in ended:
            rest += line
            yield None if too_long or len(rest) > limit else bytes(rest)
            rest, too_long = bytearray(), False
        rest += last
        if len(rest) > limit:
            rest, too_long = bytearray(), True
    if rest or too_long:
        yield None if too_long else bytes(rest)


def _decoder(raw: BinaryIO, head: bytes) -> Any:
    """What decompresses a file that begins with `head`; None if it is not compressed."""
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw, mode="rb")
    if head.startswith(b"BZh"):
        return _Blocks(raw, bz2.BZ2Decompressor)
    if head == b"\xfd7zXZ\0":
        return _Blocks(raw, None)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
        return decompressor.stream_reader(raw, read_across_frames=True, closefd=False)
    return None


def _words(error: BaseException) -> str:
    """An error's message, for a reject."""
    return (str(error) or type(error).__name__)[:200]
