# SPDX-License-Identifier: Apache-2.0
"""Texts of any length into sequences of one length, and the records that hold them.

A sequence is made of segments: texts, or pieces of texts that are longer than a sequence.
Attention, positions and targets stay within a segment. Stored are the tokens and the segments'
lengths; the rest follows from them.

Shapes: T tokens of a sequence, padding included.
"""

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from coder.data.tfrecord import decode_example, encode_example

OPEN_SEQUENCES = 64
"""Sequences that wait for something that fits into what is left of them."""


@dataclass(frozen=True)
class Segment:
    """Tokens `start` to `stop` of text number `text`, which lie in one sequence."""

    text: int
    start: int
    stop: int


def pack(
    lengths: Sequence[int],
    sequence_length: int,
    limit: int | None = None,
    reserved: Sequence[int] | None = None,
) -> list[list[Segment]]:
    """Places texts, in their order, each into the open sequence that it fills best.

    A text that fits a sequence is kept whole. A longer one is cut into pieces that overlap by one
    token: the last token of a piece has no target in it, so it starts the next piece, and every
    token but a text's first is the target of exactly one position.

    Args:
        lengths: tokens of each text, at least 1.
        sequence_length: T, at least 2.
        limit: sequences to fill; the first text that finds no room in them ends the packing.
        reserved: room to set aside for each text instead of its length, so that different forms of
            the same texts are placed alike; a text that is longer than its reserve takes its
            length.

    Returns:
        The sequences, in the order in which they were begun.
    """
    sequences: list[list[Segment]] = []
    open_: list[tuple[int, int]] = []  # (room left, sequence), the fullest first
    for segment in _pieces(lengths, sequence_length):
        size = segment.stop - segment.start
        if reserved is not None:
            size = min(max(size, reserved[segment.text]), sequence_length)
        best = bisect.bisect_left(open_, (size, -1))
        if best < len(open_):
            room, number = open_.pop(best)
        elif len(sequences) == limit:
            break
        else:
            room, number = sequence_length, len(sequences)
            sequences.append([])
        sequences[number].append(segment)
        if room > size:
            bisect.insort(open_, (room - size, number))
        if len(open_) > OPEN_SEQUENCES:
            del open_[0]
    return sequences


def _pieces(lengths: Sequence[int], sequence_length: int) -> Iterator[Segment]:
    """Every text as one segment, or as segments of T tokens that overlap by one."""
    for text, length in enumerate(lengths):
        start = 0
        while length - start > sequence_length:
            yield Segment(text, start, start + sequence_length)
            start += sequence_length - 1
        yield Segment(text, start, length)


def token_type(vocab_size: int) -> np.dtype:
    """The narrowest stored type that holds every id: uint16 or uint32, little endian."""
    return np.dtype("<u2" if vocab_size <= 2**16 else "<u4")


def encode(
    segments: Sequence[Sequence[int] | np.ndarray], sequence_length: int, vocab_size: int
) -> bytes:
    """One sequence as a `tf.train.Example` of bytes features, padding left out.

    Args:
        segments: the ids of each segment; none is empty, together at most `sequence_length`.
        sequence_length: T.
        vocab_size: chooses the stored type of the ids.

    Raises:
        ValueError: a segment is empty or they are too long together.
    """
    lengths = [len(segment) for segment in segments]
    if not lengths or min(lengths) == 0 or sum(lengths) > sequence_length:
        raise ValueError(f"segments of {lengths} tokens make no sequence of {sequence_length}")
    tokens = np.concatenate([np.asarray(segment, token_type(vocab_size)) for segment in segments])
    return encode_example(
        {
            "tokens": tokens.tobytes(),
            "lengths": np.asarray(lengths, "<u4").tobytes(),
            "sequence_length": sequence_length,
        }
    )


def decode(record: bytes) -> dict[str, np.ndarray]:
    """What a model is trained on, from a record of `encode`.

    Returns:
        int32 [T] `tokens`, `targets`, `positions` (from 0 in each segment), `segment_ids` (from 1;
        0 is padding), and float32 [T] `loss_mask`: 1 where the target is the segment's next token,
        0 at its last token and in padding. Ids rise up to the padding, so that every segment lies
        in one piece, as attention needs it.

    Raises:
        ValueError: the segments do not fill the tokens, or do not fit the sequence.
    """
    features = decode_example(record)
    length = int(features["sequence_length"][0])
    lengths = np.frombuffer(features["lengths"][0], "<u4").astype(np.int64)
    stored, used = features["tokens"][0], int(lengths.sum())
    if not all(lengths) or not 0 < used <= length or len(stored) not in (2 * used, 4 * used):
        raise ValueError(
            f"segments of {lengths.tolist()} tokens and {len(stored)} bytes of them make no "
            f"sequence of {length}"
        )
    starts = np.cumsum(lengths) - lengths

    tokens_T = np.zeros(length, np.int32)
    tokens_T[:used] = np.frombuffer(stored, f"<u{len(stored) // used}")
    positions_T = np.zeros(length, np.int32)
    positions_T[:used] = np.arange(used) - np.repeat(starts, lengths)
    segment_ids_T = np.zeros(length, np.int32)
    segment_ids_T[:used] = np.repeat(np.arange(1, len(lengths) + 1), lengths)
    loss_mask_T = (segment_ids_T > 0).astype(np.float32)
    loss_mask_T[starts + lengths - 1] = 0.0
    targets_T = np.zeros(length, np.int32)
    targets_T[:-1] = tokens_T[1:]
    targets_T[loss_mask_T == 0] = 0
    return {
        "tokens": tokens_T,
        "targets": targets_T,
        "positions": positions_T,
        "segment_ids": segment_ids_T,
        "loss_mask": loss_mask_T,
    }
