# SPDX-License-Identifier: Apache-2.0
"""Entries of tar archives (v7, ustar, GNU, pax), one header at a time.

`tarfile` keeps every entry that it has met, and reads extended headers whole, however long they say
they are; here both are bounded. Of `tarfile` comes what takes one header block apart.
"""

import tarfile
from collections.abc import Iterator

from beam_pipelines.sources.members import Member
from beam_pipelines.sources.streams import ArchiveError, Stream

BLOCK = 512

MAX_EXTENDED_HEADER = 1 << 20
"""Bytes of a pax header or a GNU long name; longer ones end the reading of an archive."""

_PAX_KEYS = frozenset({b"path", b"linkpath", b"size", b"comment"})

_GNU_NAMES = {tarfile.GNUTYPE_LONGNAME: b"path", tarfile.GNUTYPE_LONGLINK: b"linkpath"}
_PAX_LOCAL = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)

# Headers of these are followed by no content, whatever size they name.
_WITHOUT_CONTENT = {
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
    tarfile.CHRTYPE: "not_a_file",
    tarfile.BLKTYPE: "not_a_file",
    tarfile.FIFOTYPE: "not_a_file",
}
_DEVICES = {tarfile.CHRTYPE: "c", tarfile.BLKTYPE: "b", tarfile.FIFOTYPE: "p"}


class TarReader:
    """The entries of a stream in their order.

    Attributes:
        comment: Of the archive's global header: `git archive` writes the commit's id there.
        first: Name of the first entry, with a slash if it is a folder; empty until it was met.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.comment = ""
        self.first = ""
        self._global: dict[bytes, bytes] = {}
        self._left = 0  # bytes of the current entry, padding included, before the next header

    def members(self) -> Iterator[Member]:
        """Entries but folders.

        Raises:
            ArchiveError: this is no tar archive, or is damaged, cut off or too large.
        """
        pax: dict[bytes, bytes] = {}
        limits = self.stream.limits
        for number, header in enumerate(self._headers()):
            if number >= limits.members:
                raise ArchiveError(
                    "too_many_members", f"what follows entry {limits.members} is not read"
                )
            if header.type in _GNU_NAMES:
                pax[_GNU_NAMES[header.type]] = self._extended(header).partition(b"\0")[0]
            elif header.type in _PAX_LOCAL:
                pax.update(_pax_records(self._extended(header)))
            elif header.type == tarfile.XGLTYPE:
                self._global.update(_pax_records(self._extended(header)))
                self.comment = _text(self._global.get(b"comment", b""))
            else:
                member = self._member(header, self._global | pax)
                pax = {}
                if member is not None:
                    yield member

    def _headers(self) -> Iterator[tarfile.TarInfo]:
        """Header blocks up to the end mark; steps over what was not read in between."""
        while True:
            if self._left:
                self.stream.skip(self._left)
                self._left = 0
            start = self.stream.position
            block = self.stream.read(BLOCK)
            if block == bytes(BLOCK):
                while self.stream.decoder and self.stream.read(1 << 16):
                    pass  # the check sum of the compressed stream comes at its end
                return
            try:
                header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except (tarfile.TarError, ValueError) as error:
                if not start:
                    words = "neither a zip nor a tar archive, compressed or not"
                    raise ArchiveError("unreadable", words) from error
                words = "it is cut off" if len(block) < BLOCK else "damaged header"
                raise ArchiveError("unreadable", f"{words} at byte {start}") from error
            if header.type == tarfile.GNUTYPE_SPARSE:
                self._skip_sparse_map(block)
            yield header

    def _member(self, header: tarfile.TarInfo, pax: dict[bytes, bytes]) -> Member | None:
        """The entry of a header, or None of a folder."""
        path = _text(pax[b"path"]) if b"path" in pax else header.name
        size = int(pax[b"size"]) if b"size" in pax else header.size
        kind = _WITHOUT_CONTENT.get(header.type, "file")
        self.first = self.first or (f"{path}/" if kind == "folder" else path)
        if kind == "folder":
            return None
        if kind != "file":
            target = _text(pax[b"linkpath"]) if b"linkpath" in pax else header.linkname
            detail = _DEVICES.get(header.type, "")
            return Member(path, self._no_content, kind, target, detail)
        self._expect(size)
        if header.type == tarfile.GNUTYPE_SPARSE or b"sparse" in pax:
            return Member(path, self._no_content, "not_a_file", detail="sparse")
        if header.type not in _REGULAR:
            return Member(path, self._no_content, "not_a_file", detail=f"type {header.type!r}")
        return Member(path, lambda limit: self._content(size, limit))

    def _expect(self, size: int) -> None:
        """Takes `size` bytes and their padding as what comes before the next header."""
        if not 0 <= size < 1 << 62:
            raise ArchiveError("unreadable", f"an entry of {size} bytes")
        self._left = -(-size // BLOCK) * BLOCK

    def _content(self, size: int, limit: int) -> bytes:
        content = self.stream.read(min(size, limit))
        self._left -= len(content)
        if len(content) < min(size, limit):
            raise ArchiveError("unreadable", "it is cut off")
        return content

    @staticmethod
    def _no_content(_: int) -> bytes:
        return b""

    def _extended(self, header: tarfile.TarInfo) -> bytes:
        """What an extended header holds about the next entry."""
        if header.size > MAX_EXTENDED_HEADER:
            raise ArchiveError("unreadable", f"an extended header of {header.size} bytes")
        self._expect(header.size)
        return self._content(header.size, header.size)

    def _skip_sparse_map(self, block: bytes) -> None:
        """Steps over the blocks between the header of a GNU sparse file and its content."""
        more = block[482]
        while more:
            block = self.stream.read(BLOCK)
            if len(block) < BLOCK:
                raise ArchiveError("unreadable", "it is cut off")
            more = block[504]


def _pax_records(data: bytes) -> dict[bytes, bytes]:
    """Those records that matter here; each is `<length> <key>=<value>` and a line break.

    Raises:
        ArchiveError: they are ill-formed.
    """
    records: dict[bytes, bytes] = {}
    start = 0
    while start < len(data) and data[start]:  # some writers pad with NULs
        digits = data[start : start + 20].partition(b" ")[0]
        length = int(digits) if digits.isdigit() else 0
        key, equals, value = data[start + len(digits) + 1 : start + length - 1].partition(b"=")
        if not equals or data[start + length - 1 : start + length] != b"\n":
            raise ArchiveError("unreadable", "an ill-formed pax header")
        if key == b"size" and not (value.isdigit() and len(value) < 20):
            raise ArchiveError("unreadable", "an ill-formed size in a pax header")
        if key in _PAX_KEYS:
            records[key] = value
        elif key.startswith(b"GNU.sparse."):
            records[b"sparse"] = b""
        start += length
    return records


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
