# SPDX-License-Identifier: Apache-2.0
"""The loader's order: complete, reproducible, resumable, the same for any number of processes."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coder.data import packing
from coder.data.loader import Batch, Loader
from coder.data.manifest import ExamplesError, training_shards
from coder.data.tfrecord import (
    CorruptRecordError,
    decode_example,
    encode_example,
    read_shard,
    write_shard,
)
from tests.train.small_run import write_examples

COUNT = 50


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_examples(tmp_path_factory.mktemp("loader") / "examples", COUNT)


def rows(batches: list[Batch]) -> list[bytes]:
    return [row.tobytes() for batch in batches for row in batch["tokens"]]


def first(loader: Loader, count: int) -> list[Batch]:
    return list(islice(loader, count))


def same(left: Batch, right: Batch) -> bool:
    return all(np.array_equal(left[name], right[name]) for name in left)


def test_batches_hold_what_the_records_hold(examples: Path):
    decoded = [
        packing.decode(record) for path in training_shards(examples) for record in read_shard(path)
    ]
    batch = next(Loader(examples, 4, seed=0))
    assert {name: array.dtype.name for name, array in batch.items()} == {
        "tokens": "int32",
        "targets": "int32",
        "positions": "int32",
        "segment_ids": "int32",
        "loss_mask": "float32",
    }
    for row in range(4):
        example = {name: array[row] for name, array in batch.items()}
        assert any(same(example, other) for other in decoded)


def test_an_epoch_visits_every_example_once_and_the_next_in_another_order(examples: Path):
    loader = Loader(examples, 10, seed=3)
    epochs = [rows(first(loader, COUNT // 10)) for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert len(set(epochs[0])) == COUNT
    assert epochs[0] != epochs[1]


def test_seeds_give_orders_that_are_not_each_others_epochs(examples: Path):
    zero, one = (Loader(examples, COUNT, seed=seed) for seed in (0, 1))
    orders = [rows([batch]) for loader in (zero, one) for batch in first(loader, 3)]
    assert len({tuple(order) for order in orders}) == 6


@settings(deadline=None, max_examples=30)
@given(
    process_count=st.sampled_from([1, 2, 4]), seed=st.integers(0, 2**31), skip=st.integers(0, 40)
)
def test_processes_share_every_batch_and_may_change_their_number(
    examples: Path, process_count: int, seed: int, skip: int
):
    alone = Loader(examples, 8, seed)
    first(alone, skip)
    parts = [Loader(examples, 8, seed, index, process_count) for index in range(process_count)]
    for part in parts:
        part.restore(alone.state())
    whole = rows([next(alone)])
    assert sorted(whole) == sorted(rows([next(part) for part in parts]))


@settings(deadline=None, max_examples=30)
@given(batch_size=st.integers(1, COUNT), skip=st.integers(0, 30))
def test_a_restored_loader_gives_the_exact_next_batch(examples: Path, batch_size: int, skip: int):
    loader = Loader(examples, batch_size, seed=1)
    first(loader, skip)
    other = Loader(examples, batch_size, seed=1)
    other.restore(loader.state())
    for left, right in zip(first(loader, 3), first(other, 3), strict=True):
        assert same(left, right)


def test_a_flipped_byte_names_file_record_and_offset(tmp_path: Path):
    examples = write_examples(tmp_path / "examples")
    shard = training_shards(examples)[1]
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CorruptRecordError, match=rf"{shard}: record \d+ at byte \d+"):
        first(Loader(examples, 10, seed=0), COUNT // 10)


def test_segments_that_do_not_fit_name_file_record_and_offset(tmp_path: Path):
    examples = write_examples(tmp_path / "examples")
    shard = training_shards(examples)[0]
    first_record, *records = read_shard(shard)
    features = decode_example(first_record)
    features["lengths"] = [np.roll(np.frombuffer(features["lengths"][0], "<u4") + 1, 1).tobytes()]
    write_shard(shard, [encode_example(features), *records])
    with pytest.raises(CorruptRecordError, match=rf"{shard}: record 0 at byte 0: segments of"):
        first(Loader(examples, 10, seed=0), COUNT // 10)


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_shard_that_was_cut_is_refused_before_training(tmp_path: Path, keep: int):
    examples = write_examples(tmp_path / "examples")
    shard = training_shards(examples)[0]
    shard.write_bytes(shard.read_bytes()[:keep])
    with pytest.raises(ExamplesError, match=f"{shard} has .* write the examples again"):
        Loader(examples, 4, seed=0)


def test_a_missing_shard_is_refused(tmp_path: Path):
    examples = write_examples(tmp_path / "examples")
    training_shards(examples)[0].unlink()
    with pytest.raises(ExamplesError, match="is missing"):
        Loader(examples, 4, seed=0)


def test_too_few_examples_are_refused(examples: Path):
    with pytest.raises(ExamplesError, match="50 training examples, fewer than the 51 of one batch"):
        Loader(examples, COUNT + 1, seed=0)


def test_an_unfinished_folder_is_refused(tmp_path: Path):
    with pytest.raises(ExamplesError, match="manifest.json does not exist"):
        Loader(tmp_path, 4, seed=0)


def test_a_batch_that_the_processes_cannot_share_is_refused(examples: Path):
    with pytest.raises(ExamplesError, match="batch_size=5 does not divide by 2 processes"):
        Loader(examples, 5, 0, 0, 2)
