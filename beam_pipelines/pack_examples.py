# SPDX-License-Identifier: Apache-2.0
"""The last stage of the examples: the texts of a shard, in the order of their hashes, packed."""

from collections.abc import Sequence

import numpy as np

from beam_pipelines.make_texts import FormattedExcerpt
from beam_pipelines.write_tfrecords import WriteShards, order_key
from coder.data import packing
from coder.data.formatting import Text


class PackShards(WriteShards):
    """Writes `FormattedExcerpt`s as packed examples, up to a number of them for each shard."""

    def __init__(
        self,
        folder: str,
        prefix: str,
        limits: Sequence[int | None],
        sequence_length: int,
        vocab_size: int,
    ):
        """Writes a shard for each of `limits`: its most examples, or None for all there are."""
        super().__init__(folder, prefix, len(limits))
        self.limits, self.sequence_length, self.vocab_size = limits, sequence_length, vocab_size

    @staticmethod
    def sort_key(record: FormattedExcerpt) -> tuple[int, str]:
        """Where an excerpt stands in its shard; no two have one id."""
        return order_key(record.id)

    def contents(
        self, shard: int, ordered: Sequence[FormattedExcerpt]
    ) -> tuple[list[bytes], dict[str, int]]:
        """Packs the texts of a shard."""
        texts = [text for excerpt in ordered for text in excerpt.texts]
        sequences = packing.pack(
            [len(text.ids) for text in texts],
            self.sequence_length,
            self.limits[shard],
            [text.reserved for text in texts],
        )
        records = [
            packing.encode(
                [texts[segment.text].ids[segment.start : segment.stop] for segment in sequence],
                self.sequence_length,
                self.vocab_size,
            )
            for sequence in sequences
        ]
        return records, count(texts, sequences)


def count(texts: Sequence[Text], sequences: Sequence[Sequence[packing.Segment]]) -> dict[str, int]:
    """What the manifest sums up over shards; a text that the limit cut off counts in part."""
    segments = [segment for sequence in sequences for segment in sequence]
    written = np.zeros(len(texts), np.int64)
    pieces = np.zeros(len(texts), np.int64)
    for segment in segments:
        written[segment.text] = max(written[segment.text], segment.stop)
        pieces[segment.text] += 1
    used = [text for text, length in zip(texts, written, strict=True) if length]
    return {
        "tokens": sum(segment.stop - segment.start for segment in segments),
        "texts": len(used),
        "infilling": sum(text.infilling for text in used),
        "parts": sum(text.part for text in used),
        "cut": int((pieces > 1).sum()),
        "bytes": sum(
            text.bytes * int(length) // len(text.ids)
            for text, length in zip(texts, written, strict=True)
        ),
    }
