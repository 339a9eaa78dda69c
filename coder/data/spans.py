# SPDX-License-Identifier: Apache-2.0
"""Masked span prediction, the objective that DeepSeek-Coder's figure 3 compares FIM with (`msp`).

As in T5 (Raffel et al. 2020, `random_spans_noise_mask`): spans of a text are replaced by sentinels,
and follow the text, each after its sentinel. In a decoder both parts are one sequence:

    <bos> Thank <mask 0> me to your <mask 1> week. <mask 0> you for inviting <mask 1> party <eos>
"""

from collections.abc import Sequence
from random import Random

from coder.data.tokenizer import NUM_MASKS, Tokenizer


def num_spans(length: int, rate: float, mean_length: float) -> int:
    """Spans that are masked in a text of `length` tokens; 0 if it has fewer than two."""
    if length < 2:
        return 0
    return max(1, min(round(_num_masked(length, rate) / mean_length), length // 2))


def masked_length(length: int, rate: float, mean_length: float) -> int:
    """Tokens of what `mask` makes of `length` tokens: two sentinels a span, bos and eos more."""
    return length + 2 * num_spans(length, rate, mean_length) + 2


def longest_maskable(room: int, rate: float, mean_length: float) -> int:
    """The most tokens that `mask` can make fit into `room`, with the sentinels there are."""
    length = room
    while length > 0 and (
        masked_length(length, rate, mean_length) > room
        or num_spans(length, rate, mean_length) > NUM_MASKS
    ):
        length -= 1
    return length


def mask(
    ids: Sequence[int], rng: Random, rate: float, mean_length: float, tokenizer: Tokenizer
) -> list[int]:
    """Masks random spans: `rate` of the tokens, `mean_length` tokens each on average.

    Spans and the text between them are random compositions of their totals, so a text starts
    unmasked and no two spans touch.

    Args:
        ids: a text without control tokens, at least one token.
        rng: draws the spans.
        rate: share of the tokens to mask, between 0 and 1.
        mean_length: mean tokens of a span, at least 1.
        tokenizer: gives the control tokens.

    Returns:
        The text with sentinels in the place of the spans, then each sentinel with its span.

    Raises:
        ValueError: the text needs more sentinels than the tokenizer has.
    """
    count = num_spans(len(ids), rate, mean_length)
    if not count:
        return [tokenizer.bos, *ids, tokenizer.eos]
    masked = max(count, min(_num_masked(len(ids), rate), len(ids) - count))
    kept_lengths = _composition(len(ids) - masked, count, rng)
    span_lengths = _composition(masked, count, rng)
    text, spans, start = [tokenizer.bos], [], 0
    for number, (kept, span) in enumerate(zip(kept_lengths, span_lengths, strict=True)):
        sentinel = tokenizer.mask(number)
        text += [*ids[start : start + kept], sentinel]
        spans += [sentinel, *ids[start + kept : start + kept + span]]
        start += kept + span
    return [*text, *spans, tokenizer.eos]


def prompt_ids(
    tokenizer: Tokenizer, prefix_ids: Sequence[int], suffix_ids: Sequence[int]
) -> list[int]:
    """A text with one hole, as `mask` would show it; the hole's tokens and eos are to follow."""
    return [tokenizer.bos, *prefix_ids, tokenizer.mask(0), *suffix_ids, tokenizer.mask(0)]


def _num_masked(length: int, rate: float) -> int:
    return min(max(round(length * rate), 1), length - 1)


def _composition(total: int, parts: int, rng: Random) -> list[int]:
    """`total` as an ordered sum of `parts` positive numbers, every such sum equally likely."""
    cuts = [0, *sorted(rng.sample(range(1, total), parts - 1)), total]
    return [after - before for before, after in zip(cuts, cuts[1:], strict=False)]
