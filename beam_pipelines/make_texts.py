# SPDX-License-Identifier: Apache-2.0
"""The middle stage of the examples: from documents to formatted texts, ready to be packed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam

from beam_pipelines import progress
from beam_pipelines.sample_excerpts import is_drawn
from coder.config import DataConfig
from coder.data.formatting import Text, format_units
from coder.data.records import Document
from coder.data.tfrecord import read_shard
from coder.data.tokenizer import Tokenizer
from coder.data.units import excerpts, windows


@dataclass(frozen=True)
class FormattedExcerpt:
    """The texts of one excerpt, which stay together and in order.

    The id, which places them in a shard, holds the seed: a limit cuts off others for each seed.
    """

    id: str
    texts: tuple[Text, ...]


def read_shard_documents(path: str, channel: str) -> Iterator[Document]:
    """The documents of a shard; `channel` hears of the progress."""
    for record in read_shard(path):
        yield Document.decode(record)
        progress.advance(channel, len(record))


class MakeTexts(beam.DoFn):
    """Cuts a document into excerpts, draws some of them and formats their units."""

    def __init__(
        self, data: DataConfig, window_tokens: int, share: float, seed: int, tokenizer: Tokenizer
    ) -> None:
        """`window_tokens` is 0 when units are not windows; `share` of the excerpts are drawn."""
        self.data, self.window_tokens = data, window_tokens
        self.share, self.seed, self.tokenizer = share, seed, tokenizer

    def process(self, document: Document) -> Iterable[FormattedExcerpt]:
        """Yields the drawn excerpts of a document."""
        for excerpt in excerpts(document, self.data.granularity, self.window_tokens):
            if not is_drawn(excerpt, self.share, self.seed):
                continue
            units = [excerpt]
            if self.window_tokens:
                units = windows(excerpt, self.tokenizer, self.window_tokens)
            texts = format_units(units, self.tokenizer, self.data, self.seed)
            yield FormattedExcerpt(f"{self.seed}:{excerpt.id}", tuple(texts))
