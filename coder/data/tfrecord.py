# SPDX-License-Identifier: Apache-2.0
"""TFRecord shards and `tf.train.Example` records, without TensorFlow.

A shard is a sequence of frames: the length of the record (uint64, little endian), its masked
CRC-32C (uint32), the record, its masked CRC-32C (uint32); `tensorflow/core/lib/io/record_writer.h`.
Every check sum is verified on reading.
"""

import mmap
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

Feature = bytes | int | float | Sequence[bytes] | Sequence[int] | Sequence[float]

_HEADER = struct.Struct("<QI")
_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
FRAME_BYTES = _HEADER.size + _CHECKSUM.size
_LIST_OF_TYPE = {bytes: "bytes_list", float: "float_list", int: "int64_list"}


class CorruptRecordError(ValueError):
    """A record that is cut off or fails a check sum; names file, record number and byte offset."""

    def __init__(
        self, path: str | os.PathLike[str], record: int, offset: int, problem: str
    ) -> None:
        """Says what is wrong with record number `record`, framed from byte `offset` of `path`."""
        self.path, self.record, self.offset, self.problem = os.fspath(path), record, offset, problem
        where = f"{self.path}: record {record} at byte {offset}"
        super().__init__(f"{where}: {problem}; write this file again from its source")

    def __reduce__(self) -> tuple[type, tuple[str, int, int, str]]:
        """Pickles by its parts, so that the error survives the way back from a worker process."""
        return CorruptRecordError, (self.path, self.record, self.offset, self.problem)


_SCHEMA = """
name: "example.proto" package: "tensorflow" syntax: "proto3"
message_type { name: "BytesList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "FloatList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT } }
message_type { name: "Int64List"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
message_type { name: "Feature" oneof_decl { name: "kind" }
  field { name: "bytes_list" number: 1 type_name: "BytesList" oneof_index: 0 }
  field { name: "float_list" number: 2 type_name: "FloatList" oneof_index: 0 }
  field { name: "int64_list" number: 3 type_name: "Int64List" oneof_index: 0 } }
message_type { name: "Features"
  field { name: "feature" number: 1 label: LABEL_REPEATED type_name: "FeatureEntry" }
  nested_type { name: "FeatureEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING }
    field { name: "value" number: 2 type_name: "Feature" } } }
message_type { name: "Example"
  field { name: "features" number: 1 type_name: "Features" } }
"""


def _example_class() -> type[Any]:
    """The message `tf.train.Example`, in a descriptor pool of its own beside TensorFlow's."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(_SCHEMA, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


_Example = _example_class()


def encode_example(features: Mapping[str, Feature]) -> bytes:
    """The bytes of a `tf.train.Example`; the same mapping gives the same bytes, whatever its order.

    A single value is a list of one. Prefer bytes: an array's `tobytes()` is written 16 times as
    fast as its integers.

    Raises:
        TypeError: a value is neither bytes, int nor float, nor a sequence of one of them.
    """
    example = _Example()
    for name, value in features.items():
        values = [value] if isinstance(value, bytes | int | float) else value
        feature = example.features.feature[name]
        if len(values) == 0:
            continue  # a feature without a kind is how the format spells an empty list
        kind = _LIST_OF_TYPE.get(type(values[0]))
        if kind is None:
            held = type(values[0]).__name__
            raise TypeError(f"feature {name!r} holds {held}: store bytes, int or float")
        getattr(feature, kind).value.extend(values)
    return example.SerializeToString(deterministic=True)


def decode_example(record: bytes) -> dict[str, list[Any]]:
    """The features of a `tf.train.Example`: name to list of bytes, ints or floats.

    Raises:
        google.protobuf.message.DecodeError: the bytes are no such message.
    """
    feature = _Example.FromString(record).features.feature
    decoded = {}
    for name in sorted(feature):
        kind = feature[name].WhichOneof("kind")
        decoded[name] = list(getattr(feature[name], kind).value) if kind else []
    return decoded


def masked_crc32c(data: bytes) -> int:
    """CRC-32C, rotated and offset as the format has it: a CRC of data that holds CRCs is weak."""
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def frame(record: bytes) -> bytes:
    """One record as it stands in a shard."""
    length = _LENGTH.pack(len(record))
    return b"".join(
        (
            length,
            _CHECKSUM.pack(masked_crc32c(length)),
            record,
            _CHECKSUM.pack(masked_crc32c(record)),
        )
    )


@dataclass(frozen=True)
class ShardInfo:
    """What a manifest says of a shard."""

    path: str
    """File name, relative to the manifest."""
    records: int
    bytes: int
    """Size of the file."""
    crc32c: int
    """CRC-32C of the whole file."""


def write_shard(path: str | os.PathLike[str], records: Iterable[bytes]) -> ShardInfo:
    """Writes `records` to `path`, atomically: under its name there is never a part of a shard.

    Raises:
        OSError: the folder does not exist or cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    crc, number, size = 0, 0, 0
    with open(temporary, "wb") as file:
        for record in records:
            framed = frame(record)
            file.write(framed)
            crc = google_crc32c.extend(crc, framed)
            number += 1
            size += len(framed)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return ShardInfo(path.name, number, size, crc)


def read_shard(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """The records of a shard in order.

    Raises:
        CorruptRecordError: at the first record that is cut off or fails a check sum.
    """
    with RecordFile(path) as file:
        for number in range(len(file)):
            yield file.read(number)


def read_stream(file: BinaryIO, name: str) -> Iterator[bytes]:
    """The records of an open shard in order, for files that are no local ones.

    Raises:
        CorruptRecordError: at the first record that is cut off or fails a check sum.
    """
    start = 0
    for number in count():
        header = file.read(_HEADER.size)
        if not header:
            return
        if len(header) < _HEADER.size:
            raise CorruptRecordError(name, number, start, "the file ends within the header")
        length, checksum = _HEADER.unpack(header)
        if masked_crc32c(header[: _LENGTH.size]) != checksum:
            raise CorruptRecordError(name, number, start, "the check sum of its length is wrong")
        rest = file.read(length + _CHECKSUM.size)
        if len(rest) < length + _CHECKSUM.size:
            raise CorruptRecordError(
                name, number, start, f"the file ends before its {length} bytes do"
            )
        record = rest[:length]
        if masked_crc32c(record) != _CHECKSUM.unpack(rest[length:])[0]:
            raise CorruptRecordError(name, number, start, "the check sum of its data is wrong")
        yield record
        start += FRAME_BYTES + length


def _offsets(path: str | os.PathLike[str], file: int) -> list[int]:
    """Where each frame starts, and the end of the file; hops over the headers, verifying each."""
    end = os.fstat(file).st_size
    offsets = [0]
    if end == 0:
        return offsets
    with mmap.mmap(file, end, access=mmap.ACCESS_READ) as view:
        while (start := offsets[-1]) < end:
            number = len(offsets) - 1
            if end - start < _HEADER.size:
                raise CorruptRecordError(path, number, start, "the file ends within the header")
            length, checksum = _HEADER.unpack_from(view, start)
            if masked_crc32c(view[start : start + _LENGTH.size]) != checksum:
                raise CorruptRecordError(
                    path, number, start, "the check sum of its length is wrong"
                )
            if start + FRAME_BYTES + length > end:
                raise CorruptRecordError(
                    path, number, start, f"the file ends before its {length} bytes do"
                )
            offsets.append(start + FRAME_BYTES + length)
    return offsets


class RecordFile:
    """Random access to the records of one shard; threads may share it, pickling opens it anew.

    Opening reads the header of every frame and nothing else.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Opens and indexes `path`.

        Raises:
            OSError: the file cannot be read.
            CorruptRecordError: the file is cut off, or is no TFRecord file.
        """
        self.path = os.fspath(path)
        self._file = os.open(self.path, os.O_RDONLY)
        try:
            self._offsets = _offsets(self.path, self._file)
        except CorruptRecordError:
            self.close()
            raise

    def __len__(self) -> int:
        """Records in the shard."""
        return len(self._offsets) - 1

    def read(self, number: int) -> bytes:
        """Record `number`, from 0.

        Raises:
            IndexError: there is no such record.
            CorruptRecordError: the record fails its check sum, or the file was cut after opening.
        """
        if not 0 <= number < len(self):
            raise IndexError(f"{self.path} has {len(self)} records, no record {number}")
        start, end = self._offsets[number], self._offsets[number + 1]
        framed = os.pread(self._file, end - start, start)
        if len(framed) != end - start:
            raise CorruptRecordError(
                self.path, number, start, "the file has become shorter since it was opened"
            )
        record = framed[_HEADER.size : -_CHECKSUM.size]
        (checksum,) = _CHECKSUM.unpack_from(framed, len(framed) - _CHECKSUM.size)
        if masked_crc32c(record) != checksum:
            raise CorruptRecordError(self.path, number, start, "the check sum of its data is wrong")
        return record

    def corrupt(self, number: int, problem: str) -> CorruptRecordError:
        """The error that says where record `number` lies, for what only its reader can find."""
        return CorruptRecordError(self.path, number, self._offsets[number], problem)

    def close(self) -> None:
        """Gives the file handle back; closing twice is fine."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> "RecordFile":
        """The file itself, closed at the end of the `with` block."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Closes the file."""
        self.close()

    def __del__(self) -> None:
        """Closes a file that was dropped without `close`."""
        if hasattr(self, "_file"):
            self.close()

    def __reduce__(self) -> tuple[type, tuple[str]]:
        """Pickles by path: a worker process opens the file itself."""
        return RecordFile, (self.path,)
