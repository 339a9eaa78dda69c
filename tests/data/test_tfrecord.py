# SPDX-License-Identifier: Apache-2.0
"""Shards against Beam's TFRecord reader and writer, Examples against a codec written by hand."""

import io
import os
import pickle
import struct
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from apache_beam.io.tfrecordio import _TFRecordUtil as BeamFrames
from hypothesis import given
from hypothesis import strategies as st

from coder.data.tfrecord import (
    FRAME_BYTES,
    CorruptRecordError,
    RecordFile,
    decode_example,
    encode_example,
    frame,
    read_shard,
    read_stream,
    write_shard,
)

RECORDS = [b"", b"a", b"record " * 1000, bytes(range(256))]

int64s = st.integers(-(2**63), 2**63 - 1)
features = st.dictionaries(
    st.text(max_size=8),
    st.lists(st.binary(max_size=300), max_size=4) | st.lists(int64s, max_size=9),
    max_size=5,
)


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def example_by_hand(features: dict[str, list]) -> bytes:
    """The wire format of tf.train.Example, integers packed."""
    entries = b""
    for name, values in features.items():
        kind = b""
        if values and isinstance(values[0], bytes):
            kind = field(1, b"".join(field(1, value) for value in values))
        elif values:
            kind = field(3, field(1, b"".join(map(varint, values))))
        entries += field(1, field(1, name.encode()) + field(2, kind))
    return field(1, entries)


@given(features)
def test_examples_have_the_wire_format(features: dict[str, list]):
    assert decode_example(example_by_hand(features)) == features
    for name, values in features.items():  # one by one: the order of several is protobuf's affair
        assert encode_example({name: values}) == example_by_hand({name: values})


@given(features)
def test_examples_do_not_depend_on_the_order_of_their_features(features: dict[str, list]):
    backwards = dict(reversed(features.items()))
    assert encode_example(features) == encode_example(backwards)
    assert decode_example(encode_example(backwards)) == features


def test_single_values_are_lists_of_one_and_floats_are_read():
    encoded = encode_example({"a": b"x", "b": -1, "c": 0.5})
    assert decode_example(encoded) == {"a": [b"x"], "b": [-1], "c": [0.5]}


def test_text_is_refused_as_a_feature():
    features: dict[str, Any] = {"name": ["text"]}
    with pytest.raises(TypeError, match="'name' holds str"):
        encode_example(features)


@given(st.binary(max_size=2000))
def test_frames_are_those_of_beam(record: bytes):
    theirs = io.BytesIO()
    BeamFrames.write_record(theirs, record)
    assert frame(record) == theirs.getvalue()
    assert BeamFrames.read_record(io.BytesIO(frame(record))) == record


def test_a_shard_gives_back_its_records_in_any_order(tmp_path: Path):
    info = write_shard(tmp_path / "a.tfrecord", iter(RECORDS))
    assert list(read_shard(tmp_path / "a.tfrecord")) == RECORDS
    with RecordFile(tmp_path / "a.tfrecord") as file:
        assert [file.read(i) for i in (3, 0, 2, 1)] == [RECORDS[i] for i in (3, 0, 2, 1)]
        assert pickle.loads(pickle.dumps(file)).read(3) == RECORDS[3]
        with pytest.raises(IndexError, match="has 4 records, no record 4"):
            file.read(4)
    content = (tmp_path / "a.tfrecord").read_bytes()
    assert list(read_stream(io.BytesIO(content), "a")) == RECORDS
    assert (info.path, info.records, info.bytes) == ("a.tfrecord", 4, len(content))
    assert info.crc32c == crc32c_bit_by_bit(content)
    assert os.listdir(tmp_path) == ["a.tfrecord"]


@given(st.data())
def test_a_stream_that_is_cut_or_changed_is_an_error(data: st.DataObject):
    content = b"".join(map(frame, RECORDS))
    place = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CorruptRecordError, match="^a: record"):
        list(read_stream(io.BytesIO(changed), "a"))
    ends = list(accumulate(len(frame(record)) for record in RECORDS))
    if place and place not in ends:
        with pytest.raises(CorruptRecordError, match="the file ends"):
            list(read_stream(io.BytesIO(content[:place]), "a"))


def crc32c_bit_by_bit(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_an_empty_shard_has_no_records(tmp_path: Path):
    assert write_shard(tmp_path / "a", []).records == 0
    assert len(RecordFile(tmp_path / "a")) == 0


def test_a_failing_source_leaves_the_old_shard(tmp_path: Path):
    def failing():
        yield b"new"
        raise OSError("source lost")

    write_shard(tmp_path / "a", [b"old"])
    with pytest.raises(OSError, match="source lost"):
        write_shard(tmp_path / "a", failing())
    assert list(read_shard(tmp_path / "a")) == [b"old"]


def test_every_changed_byte_and_every_cut_is_noticed(tmp_path: Path):
    path = tmp_path / "a"
    write_shard(path, [b"first", b"second"])
    whole = path.read_bytes()
    second = FRAME_BYTES + len(b"first")
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        record, offset = (0, 0) if place < second else (1, second)
        with pytest.raises(CorruptRecordError, match=f"record {record} at byte {offset}:") as error:
            list(read_shard(path))
        assert str(path) in str(error.value)
    for length in set(range(1, len(whole))) - {second}:
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptRecordError, match="the file ends"):
            RecordFile(path)


def test_a_shard_cut_while_it_is_open_is_noticed(tmp_path: Path):
    write_shard(tmp_path / "a", RECORDS)
    with RecordFile(tmp_path / "a") as file:
        os.truncate(tmp_path / "a", 20)
        with pytest.raises(CorruptRecordError, match="shorter since it was opened"):
            file.read(2)


def test_what_is_no_tfrecord_file_is_refused_even_with_a_huge_length(tmp_path: Path):
    (tmp_path / "a").write_bytes(struct.pack("<QI", 2**63, 0) + b"x" * 50)
    with pytest.raises(CorruptRecordError, match="check sum of its length"):
        RecordFile(tmp_path / "a")


def test_the_error_survives_pickling():
    error = pickle.loads(pickle.dumps(CorruptRecordError("shard", 3, 99, "torn")))
    assert (error.path, error.record, error.offset, error.problem) == ("shard", 3, 99, "torn")
    assert "shard: record 3 at byte 99: torn" in str(error)
