# SPDX-License-Identifier: Apache-2.0
"""Entries of zip archives (wheels and jars among them), read by their directory.

`zipfile` keeps an object of several hundred bytes for each entry before the first can be read, as
many as the directory has; here the directory's bytes are bounded and walked over. Entries may be
stored or deflated, as nearly all are; the other methods are rejects.
"""

import stat
import struct
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import BinaryIO, NamedTuple

from beam_pipelines.sources.members import Member, MemberError
from beam_pipelines.sources.streams import CHUNK, ArchiveError, Limits

MAX_DIRECTORY = 64 << 20
"""Bytes of the directory that are read; 320 for each of the entries that are."""

MAX_TARGET = 4096
"""Bytes of a symbolic link's target."""

_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s4B4H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_UNIX = 3
_ENCRYPTED = 0x2041  # of the flags: by password, strongly, or the directory itself
_UTF8 = 0x800


class Entry(NamedTuple):
    """What the directory says about an entry."""

    name: bytes
    flags: int
    method: int
    checksum: int
    packed: int
    size: int
    mode: int
    offset: int


class ZipReader:
    """The entries of a file in the order of its directory.

    Attributes:
        comment: Of the archive: `git archive` writes the commit's id there.
        num_entries: As the archive says.
    """

    def __init__(self, raw: BinaryIO, limits: Limits) -> None:
        """Finds the directory.

        Raises:
            ArchiveError: this is no zip archive, or it is cut off.
        """
        self.raw, self.limits = raw, limits
        self.size = raw.seek(0, 2)
        tail_start = max(0, self.size - _END.size - 0xFFFF)
        raw.seek(tail_start)
        tail = raw.read(_END.size + 0xFFFF)
        end, fields = _end_record(tail)
        comment = tail[end + _END.size : end + _END.size + fields[7]]
        self.comment = comment.decode("ascii", "replace")
        self.num_entries, length, start = fields[4:7]
        position = tail_start + end
        wide = tail[max(0, end - 76) : end]
        if len(wide) == 76 and wide[:4] == b"PK\6\6" and wide[56:60] == b"PK\6\7":
            *_, self.num_entries, length, start = _END_64.unpack(wide[:56])
            position -= 76
        # Bytes before the archive's own start, as of a program that unpacks itself.
        self._shift = position - length - start
        if self._shift < 0:
            raise ArchiveError("unreadable", "it is cut off, or its directory is damaged")
        self._end = start
        self._place, self._length = position - length, length
        self._produced = 0
        self._problem: ArchiveError | None = None

    @cached_property
    def _directory(self) -> bytes:
        self.raw.seek(self._place)
        return self.raw.read(min(self._length, MAX_DIRECTORY))

    @cached_property
    def _starts(self) -> "array[int]":
        """Where the entries begin, sorted."""
        return array("Q", sorted(entry.offset for entry in self._entries()))

    def names(self) -> Iterator[str]:
        """Names of all entries that are read, folders included."""
        return (_name(entry) for entry in self._entries())

    def members(self) -> Iterator[Member]:
        """Entries but folders.

        Raises:
            ArchiveError: at the end, if the directory is damaged or too long; before, if the
                archive turns out too large.
        """
        used: set[int] = set()
        for entry in self._entries():
            path = _name(entry)
            kind, detail = _kind(entry, path)
            if kind == "folder":
                continue
            if kind in ("file", "symlink") and self._overlaps(entry, used):
                kind, detail = "overlapping", "its bytes belong to another entry as well"
            yield Member(path, lambda limit, e=entry: self._read(e, limit), kind, None, detail)
        if self._problem:
            raise self._problem

    def _entries(self) -> Iterator[Entry]:
        """Takes the directory apart, up to the limit; at the end says what is wrong with it."""
        directory, position, number = self._directory, 0, 0
        while position + _ENTRY.size <= len(directory) and number < self.limits.members:
            fields = _ENTRY.unpack_from(directory, position)
            name_length, extra_length, comment_length = fields[12:15]
            name_end = position + _ENTRY.size + name_length
            after = name_end + extra_length + comment_length
            if fields[0] != b"PK\1\2" or after > len(directory):
                break
            extra = directory[name_end : name_end + extra_length]
            yield _entry(fields, directory[position + _ENTRY.size : name_end], extra)
            number += 1
            position = after
        self._problem = self._directory_problem(number, position)

    def _directory_problem(self, number: int, position: int) -> ArchiveError | None:
        """What is wrong with a directory of which so many entries and bytes were read."""
        left = self._length - position
        if left and (number == self.limits.members or self._length > MAX_DIRECTORY):
            words = f"{self.num_entries} entries; what follows the first {number} is not read"
            return ArchiveError("too_many_members", words)
        if left:
            return ArchiveError("unreadable", f"its directory is damaged at entry {number + 1}")
        if number & 0xFFFF != self.num_entries & 0xFFFF:  # a field of 16 bits, without zip64
            words = f"its directory has {number} entries instead of {self.num_entries}"
            return ArchiveError("unreadable", words)
        return None

    def _overlaps(self, entry: Entry, used: set[int]) -> bool:
        """Whether an entry's bytes reach into the next one's; of several at a place, not the first.

        A bomb that is small and not nested has to use the same bytes for many entries.
        """
        begin = bisect_left(self._starts, entry.offset)
        end = bisect_right(self._starts, entry.offset)
        if end - begin > 1:
            if entry.offset in used:
                return True
            used.add(entry.offset)
        limit = min(self._starts[end], self._end) if end < len(self._starts) else self._end
        return entry.offset + _LOCAL.size + len(entry.name) + entry.packed > limit

    def _read(self, entry: Entry, limit: int) -> bytes:
        """At most `limit` bytes of an entry; checked against its check sum if that is all."""
        if entry.flags & _ENCRYPTED:
            raise MemberError("encrypted", "")
        if entry.method not in (0, 8):
            raise MemberError("compression", f"method {entry.method}; stored and deflated are read")
        try:
            self.raw.seek(entry.offset + self._shift)
            local = self.raw.read(_LOCAL.size)
            if len(local) < _LOCAL.size or local[:4] != b"PK\3\4":
                raise MemberError("unreadable", "no header where the directory says")
            name_length, extra_length = _LOCAL.unpack(local)[9:]
            if self.raw.read(name_length) != entry.name:
                raise MemberError("unreadable", "another name than in the directory")
            self.raw.seek(extra_length, 1)
            whole = entry.size <= limit
            content = self._unpack(entry, limit + 1 if whole else limit)
        except (OSError, OverflowError, zlib.error) as error:
            raise MemberError("unreadable", str(error)[:200]) from error
        if whole and len(content) != entry.size:
            raise MemberError("unreadable", "another size than in the directory")
        if whole and zlib.crc32(content) != entry.checksum:
            raise MemberError("unreadable", "wrong check sum")
        return content

    def _unpack(self, entry: Entry, limit: int) -> bytes:
        """At most `limit` bytes from where the file stands."""
        if entry.method == 0:
            content = self.raw.read(min(entry.packed, limit))
        else:
            decoder, parts, left = zlib.decompressobj(-15), [], entry.packed
            missing = limit
            while missing > 0 and left > 0 and not decoder.eof:
                data = self.raw.read(min(left, CHUNK))
                if not data:
                    break
                left -= len(data)
                parts.append(decoder.decompress(data, missing))
                missing -= len(parts[-1])
            content = b"".join(parts)
        self._produced += len(content)
        self.limits.check(self._produced, self.size)
        return content


def _end_record(tail: bytes) -> tuple[int, tuple]:
    """Place and fields of the record that ends a zip archive."""
    place = tail.rfind(b"PK\5\6")
    while place >= 0:
        if place + _END.size <= len(tail):
            fields = _END.unpack_from(tail, place)
            if place + _END.size + fields[7] <= len(tail):
                return place, fields
        place = tail.rfind(b"PK\5\6", 0, place)
    raise ArchiveError("unreadable", "a zip archive that is cut off: it has no end record")


def _entry(fields: tuple, name: bytes, extra: bytes) -> Entry:
    """An entry with its 64-bit sizes, where it has some."""
    flags, method, checksum, packed, size = fields[5], fields[6], *fields[9:12]
    mode = fields[17] >> 16 if fields[2] == _UNIX else 0
    wide = [size, packed, fields[18]]
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            number = len(extra[4 : 4 + length]) // 8
            values = iter(struct.unpack_from(f"<{number}Q", extra, 4))
            wide = [next(values, n) if n == 0xFFFFFFFF else n for n in wide]
        extra = extra[4 + length :]
    return Entry(name, flags, method, checksum, wide[1], wide[0], mode, wide[2])


def _name(entry: Entry) -> str:
    """An entry's name; without the flag for UTF-8 it may be so all the same, as Linux writes it."""
    try:
        return entry.name.decode("utf-8")
    except UnicodeDecodeError:
        errors = entry.flags & _UTF8
        return entry.name.decode(*(("utf-8", "surrogateescape") if errors else ("cp437", "strict")))


def _kind(entry: Entry, path: str) -> tuple[str, str]:
    """What an entry is and, if it is no file, why; by its name and the mode that Unix gave it."""
    form = stat.S_IFMT(entry.mode)
    if form == stat.S_IFLNK:
        return "symlink", ""
    if path.endswith("/"):
        return ("path", "a folder with content") if entry.size else ("folder", "")
    if form in (0, stat.S_IFREG):
        return "file", ""
    return "not_a_file", stat.filemode(entry.mode)[0]
