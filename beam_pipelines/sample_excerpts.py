# SPDX-License-Identifier: Apache-2.0
"""How many examples a shard gets, and which share of the excerpts is needed to fill them.

With --tokens, tokenizing the whole corpus to use a part of it would be most of the work. Excerpts
are small and drawn by hash, so the sample is spread over all repositories in proportion to their
size. Nothing here depends on the objective or the FIM settings: variants see the same texts.
"""

import math
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from coder.config import DataConfig
from coder.data.documents import read_documents
from coder.data.records import stable_hash
from coder.data.tokenizer import Tokenizer
from coder.data.units import Unit, longest_excerpt, reserved_tokens

_PROBED_DOCUMENTS = 8
_PROBED_CHARACTERS = 8192
_DEVIATIONS = 3
"""Standard deviations of a shard's bytes that the sample is larger than what is needed."""
_MARGIN = 1.1
"""For texts whose tokens are longer than those of the documents that were probed."""


def shard_limits(data: DataConfig, shards: int) -> tuple[int | None, ...]:
    """Examples of each shard so that all have `data.tokens` slots; None for no limit."""
    if not data.tokens:
        return (None,) * shards
    examples = data.tokens // data.sequence_length
    return tuple(examples // shards + (shard < examples % shards) for shard in range(shards))


def needed_share(
    data: DataConfig,
    window_tokens: int,
    shards: int,
    split_bytes: int,
    inputs: Sequence[Path],
    tokenizer: Tokenizer,
) -> float:
    """The share of the excerpts that is enough to fill every shard up to its limit.

    Excerpts are placed by hash, so a shard's bytes vary about as a sum of independent pieces of
    the greatest size; the share leaves room for that.

    Args:
        data: settings of the examples.
        window_tokens: tokens of a window; 0 when units are not windows.
        shards: output shards.
        split_bytes: text of the whole split.
        inputs: shards of documents, to see how many bytes a token has.
        tokenizer: encodes them.
    """
    if not data.tokens:
        return 1.0
    slots = -(-data.tokens // shards)
    needed = slots * _fill(data, window_tokens) * _bytes_per_token(inputs, tokenizer) * _MARGIN
    piece = longest_excerpt(data.granularity, window_tokens)
    wanted = needed + _DEVIATIONS * math.sqrt(needed * piece) + 2 * piece
    return min(1.0, wanted * shards / max(1, split_bytes))


def is_drawn(excerpt: Unit, share: float, seed: int) -> bool:
    """Whether an excerpt is in the sample; a larger share draws the same ones and more."""
    return share >= 1 or stable_hash(seed, "sample", excerpt.id) < share * 2**64


def _fill(data: DataConfig, window_tokens: int) -> float:
    """Text tokens for each slot of a sequence, at most."""
    if not window_tokens:
        return 1.0
    windows = data.sequence_length // min(
        reserved_tokens(window_tokens, data), data.sequence_length
    )
    return windows * window_tokens / data.sequence_length


def _bytes_per_token(inputs: Sequence[Path], tokenizer: Tokenizer) -> float:
    """Measured on the first files of some documents of every shard; their order is random."""
    texts = [
        document.files[0].text[:_PROBED_CHARACTERS]
        for path in inputs
        for document in islice(read_documents(path), _PROBED_DOCUMENTS)
    ]
    tokens = sum(map(len, tokenizer.encode_batch(texts)))
    return sum(len(text.encode()) for text in texts) / max(1, tokens)
