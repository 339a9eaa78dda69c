# SPDX-License-Identifier: Apache-2.0
"""The format of safetensors, a part of a tensor at a time.

The library writes a file whole, and says of a damaged one only that it is damaged. Here tensors are
written to their places in any order, as soon as they are there, and what is wrong with a file is
said with the name of the tensor. A file is the length of its header in eight bytes, the header in
JSON (type, shape and place of every tensor), and the tensors' bytes.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import google_crc32c
import ml_dtypes
import numpy as np

from coder.checkpoint import CheckpointError

TYPES = {
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F16": np.dtype(np.float16),
    "F32": np.dtype(np.float32),
}
"""Types of weights by their names in the format; others are not supported."""
_METADATA = "__metadata__"
_POINTER = b"version https://git-lfs"
"""Begins what Git leaves in the place of a large file that was not fetched."""
_LARGEST_HEADER = 100_000_000
"""Bytes; the library reads no larger one either."""
_ALIGNMENT = 64
"""Where a tensor begins at a multiple of so many bytes, jax uses a mapped array as it is."""
_NOT_A_HEADER = (
    *(ValueError, TypeError, KeyError, AttributeError),
    *(OverflowError, RecursionError),
)
"""What reading JSON of another form raises; the last two for infinite places and deep lists."""
_PART_BYTES = 2**25
"""What is written at once, and so what has to be in memory."""
_BLOCK = 128
"""Rows that are transposed at once: what a cache holds, against four times as long at once."""


@dataclass(frozen=True)
class Entry:
    """A tensor in a file."""

    path: Path
    """The file."""
    dtype: str
    """In the format's words, as "BF16"."""
    shape: tuple[int, ...]
    start: int
    """Byte of the file at which it begins."""
    end: int
    """Byte of the file at which it has ended."""

    def array(self) -> np.ndarray:
        """The tensor, mapped: nothing is read before it is used, and nothing is copied."""
        if not math.prod(self.shape):
            return np.zeros(self.shape, TYPES[self.dtype])
        return np.memmap(self.path, TYPES[self.dtype], "r", self.start, self.shape)


def read_entries(path: Path) -> dict[str, Entry]:
    """The tensors of a file by name.

    Raises:
        CheckpointError: it cannot be read, is no safetensors file, or is shorter or longer than
            its header says.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, _LARGEST_HEADER):
                raise CheckpointError(_no_tensors(path, size, length))
            header = json.loads(file.read(length))
        header.pop(_METADATA, None)
        entries = {name: _entry(path, told, 8 + length) for name, told in header.items()}
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    except _NOT_A_HEADER as error:
        raise CheckpointError(f"{path}: its header cannot be read: {error!r}") from None
    _check_places(path, entries, 8 + length, size)
    return entries


def _no_tensors(path: Path, size: int, length: int) -> str:
    """What a file is whose header would take `length` of its `size` bytes."""
    if not size:
        return f"{path} is empty: download it again"
    with path.open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            return (
                f"{path} is a pointer of Git LFS, not the file: run `git lfs pull` in "
                f"{path.parent}, or download it again"
            )
    return (
        f"{path} is no safetensors file, or was cut within its header: it has {size} bytes, of "
        f"which the header would take {length}"
    )


class Writer:
    """A file of tensors of one type, whose parts are written in any order."""

    def __init__(self, path: Path, shapes: Mapping[str, tuple[int, ...]], dtype: str):
        """Makes the file in its full size; `with` closes it."""
        self._dtype = TYPES[dtype]
        sizes = {name: math.prod(shape) * self._dtype.itemsize for name, shape in shapes.items()}
        header: dict[str, Any] = {_METADATA: {"format": "pt"}}
        place = 0
        for name in sorted(shapes, key=lambda name: sizes[name] % _ALIGNMENT != 0):
            offsets = [place, place + sizes[name]]
            header[name] = {"dtype": dtype, "shape": shapes[name], "data_offsets": offsets}
            place += sizes[name]
        encoded = json.dumps(header, separators=(",", ":")).encode()
        encoded += b" " * (-(8 + len(encoded)) % _ALIGNMENT)
        self._starts = {name: 8 + len(encoded) + header[name]["data_offsets"][0] for name in shapes}
        self._shapes = dict(shapes)
        self._file = path.open("wb")
        self._file.write(len(encoded).to_bytes(8, "little") + encoded)
        self._file.flush()
        self._file.truncate(8 + len(encoded) + place)

    def __enter__(self) -> Self:
        """The writer itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the file."""
        self._file.close()

    def write(self, name: str, index: tuple[int, ...], array: np.ndarray) -> int:
        """Writes one part of a tensor and returns the CRC-32C of its bytes.

        Args:
            name: the tensor.
            index: which part of it, by its first dimensions; () is all of it.
            array: the part, in any layout and type; it is cast to the file's.
        """
        inner = self._shapes[name][len(index) :]
        assert array.shape == inner, f"{name}{list(index)} is {inner}, not {array.shape}"
        number = 0
        for place, length in zip(index, self._shapes[name], strict=False):
            number = number * length + place
        offset = self._starts[name] + number * math.prod(inner) * self._dtype.itemsize
        crc = 0
        for part in _parts(array, self._dtype):
            crc = google_crc32c.extend(crc, part)
            offset = self._write_at(offset, part)
        return crc

    def _write_at(self, offset: int, data: np.ndarray) -> int:
        """Writes all of `data`, of which the system may take less than asked; where it ends."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file.fileno(), view, offset)
            view, offset = view[written:], offset + written
        return offset


def checksum(array: np.ndarray) -> int:
    """CRC-32C of an array's bytes, as `Writer.write` returns it."""
    return google_crc32c.value(_bytes(np.ascontiguousarray(array)))


def _parts(array: np.ndarray, dtype: np.dtype) -> Iterator[np.ndarray]:
    """The bytes of an array in the order of its indices, cast to a type, some rows at a time."""
    if array.dtype == dtype and array.flags.c_contiguous:
        yield _bytes(array)
        return
    rows_RC = np.atleast_2d(array)
    num_columns = rows_RC.shape[1]
    num_rows = max(1, _PART_BYTES // max(1, num_columns * dtype.itemsize))
    for first in range(0, len(rows_RC), num_rows):
        from_RC = rows_RC[first : first + num_rows]
        to_RC = np.empty(from_RC.shape, dtype)
        if array.dtype == dtype:  # numpy copies its own types faster than bfloat16
            from_RC, to_RC = (x.view(f"u{dtype.itemsize}") for x in (from_RC, to_RC))
        for column in range(0, num_columns, _BLOCK):
            columns = slice(column, column + _BLOCK)
            to_RC[:, columns] = from_RC[:, columns]
        yield _bytes(to_RC)


def _bytes(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)


def _entry(path: Path, told: dict[str, Any], start: int) -> Entry:
    first, last = map(int, told["data_offsets"])
    return Entry(
        path, str(told["dtype"]), tuple(map(int, told["shape"])), start + first, start + last
    )


def _check_places(path: Path, entries: dict[str, Entry], start: int, size: int) -> None:
    """Raises CheckpointError unless the tensors fill the file, each as its type and shape say."""
    place = start
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.end > size:
            raise CheckpointError(
                f"{path} is cut short: {name} ends at byte {entry.end}, the file at {size}"
            )
        known = TYPES.get(entry.dtype)
        expected = place + math.prod(entry.shape) * known.itemsize if known else entry.end
        if (entry.start, entry.end) != (place, expected):
            raise CheckpointError(
                f"{path}: {name}, {entry.dtype} {list(entry.shape)}, should lie at bytes {place} "
                f"to {expected}, and its header has it at {entry.start} to {entry.end}"
            )
        place = entry.end
    if place != size:
        raise CheckpointError(f"{path} has {size} bytes, but its tensors end at byte {place}")
