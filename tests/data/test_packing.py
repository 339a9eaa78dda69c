# SPDX-License-Identifier: Apache-2.0
"""Packing keeps every token, keeps texts whole where they fit, and never crosses texts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder.data import packing
from coder.data.tfrecord import encode_example

LENGTHS = st.lists(st.integers(1, 40), max_size=60)
T = 16


def used(sequence: list[packing.Segment]) -> int:
    return sum(segment.stop - segment.start for segment in sequence)


@given(LENGTHS, st.integers(2, 40))
def test_every_token_is_kept_and_every_but_the_first_is_a_target_once(
    lengths: list[int], sequence_length: int
):
    sequences = packing.pack(lengths, sequence_length)
    assert all(used(sequence) <= sequence_length for sequence in sequences)
    inputs = [set() for _ in lengths]
    targets = [[] for _ in lengths]
    for sequence in sequences:
        for segment in sequence:
            inputs[segment.text] |= set(range(segment.start, segment.stop))
            targets[segment.text] += range(segment.start + 1, segment.stop)
    for length, text_inputs, text_targets in zip(lengths, inputs, targets, strict=True):
        assert text_inputs == set(range(length))
        assert sorted(text_targets) == list(range(1, length))


@given(LENGTHS)
def test_what_fits_is_whole(lengths: list[int]):
    pieces = [0] * len(lengths)
    for sequence in packing.pack(lengths, T):
        for segment in sequence:
            pieces[segment.text] += 1
    for length, count in zip(lengths, pieces, strict=True):
        assert count == (1 if length <= T else -(-(length - 1) // (T - 1)))


@given(st.lists(st.integers(1, 2 * T), max_size=packing.OPEN_SEQUENCES // 2))
def test_no_two_sequences_could_be_one(lengths: list[int]):
    sequences = packing.pack(lengths, T)
    filled = sorted(used(sequence) for sequence in sequences)
    assert len(filled) < 2 or filled[0] + filled[1] > T


@given(LENGTHS, st.integers(0, 10))
def test_a_limit_gives_the_first_sequences_only(lengths: list[int], limit: int):
    sequences = packing.pack(lengths, T, limit)
    whole = packing.pack(lengths, T)
    assert len(sequences) == min(limit, len(whole))
    for sequence, unlimited in zip(sequences, whole, strict=False):
        assert sequence == unlimited[: len(sequence)]


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 4)), max_size=40))
def test_texts_with_the_same_reserve_are_placed_alike(texts: list[tuple[int, int]]):
    """Two forms of the same texts: as long as the reserve holds both, the places are the same."""
    reserved = [length + more for length, more in texts]
    short = packing.pack([length for length, _ in texts], T, reserved=reserved)
    long = packing.pack(reserved, T, reserved=reserved)
    assert [[segment.text for segment in sequence] for sequence in short] == [
        [segment.text for segment in sequence] for sequence in long
    ]


def test_many_open_sequences_do_not_pile_up():
    """More texts of just over half a sequence than can wait; the small ones still find room."""
    count = 3 * packing.OPEN_SEQUENCES
    sequences = packing.pack([9] * count + [7] * packing.OPEN_SEQUENCES, T)
    assert len(sequences) == count
    assert sum(used(sequence) == T for sequence in sequences) == packing.OPEN_SEQUENCES


def naive(segments: list[list[int]], length: int) -> dict[str, list[float]]:
    """What a model is to be trained on, token by token."""
    rows = []
    for number, segment in enumerate(segments):
        for position, token in enumerate(segment):
            last = position == len(segment) - 1
            target = 0 if last else segment[position + 1]
            rows.append((token, target, position, number + 1, 0.0 if last else 1.0))
    rows += [(0, 0, 0, 0, 0.0)] * (length - len(rows))
    names = ("tokens", "targets", "positions", "segment_ids", "loss_mask")
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


@given(
    st.lists(st.lists(st.integers(0, 65_535), min_size=1, max_size=9), min_size=1, max_size=9),
    st.sampled_from([65_536, 65_537]),
    st.integers(0, 5),
)
def test_records_hold_what_training_needs(segments: list[list[int]], vocab_size: int, padding: int):
    length = sum(map(len, segments)) + padding
    decoded = packing.decode(packing.encode(segments, length, vocab_size))
    expected = naive(segments, length)
    assert decoded.keys() == expected.keys()
    for name, array in decoded.items():
        assert array.tolist() == expected[name], name
        assert array.dtype == (np.float32 if name == "loss_mask" else np.int32)


def test_ids_are_stored_in_two_bytes_where_the_vocabulary_fits():
    small = packing.encode([[1] * 100], 100, 65_536)
    large = packing.encode([[1] * 100], 100, 65_537)
    assert len(large) - len(small) >= 200
    with pytest.raises(OverflowError):
        packing.encode([[65_536]], 10, 65_536)


@pytest.mark.parametrize("lengths", [[], [0, 4], [3, 2], [1], [4, 8]])
def test_segments_that_do_not_fit_their_tokens_are_refused(lengths: list[int]):
    record = encode_example(
        {
            "tokens": np.arange(4, dtype="<u2").tobytes(),
            "lengths": np.asarray(lengths, "<u4").tobytes(),
            "sequence_length": 10,
        }
    )
    with pytest.raises(ValueError, match="tokens and 8 bytes of them make no sequence of 10"):
        packing.decode(record)


@pytest.mark.parametrize("segments", [[], [[]], [[1], []], [[1] * 6, [2] * 6]])
def test_impossible_sequences_are_refused(segments: list[list[int]]):
    with pytest.raises(ValueError, match="make no sequence of 10"):
        packing.encode(segments, 10, 512)
