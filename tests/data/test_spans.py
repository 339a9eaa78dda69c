# SPDX-License-Identifier: Apache-2.0
"""Masked spans: the text can be put together again, and the counts are T5's."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder.data import spans
from coder.data.tokenizer import NUM_MASKS, TokenizerError
from tests.data.samples import TOKENIZER

MASKS = [TOKENIZER.mask(number) for number in range(NUM_MASKS)]
IDS = st.lists(st.integers(0, TOKENIZER.bos - 1), min_size=1, max_size=300)
RATES = st.floats(0.01, 0.5)
LENGTHS = st.floats(1, 10)


def restore(masked: list[int]) -> tuple[list[int], list[list[int]]]:
    """The text and its spans: each sentinel of the first part is replaced by its span."""
    bos, *body, eos = masked
    assert (bos, eos) == (TOKENIZER.bos, TOKENIZER.eos)
    if MASKS[0] not in body:
        return body, []
    targets_start = len(body) - 1 - body[::-1].index(MASKS[0])
    found: list[list[int]] = []
    for id_ in body[targets_start:]:
        if id_ in MASKS:
            assert id_ == MASKS[len(found)], "sentinels are in order"
            found.append([])
        else:
            found[-1].append(id_)
    text: list[int] = []
    for id_ in body[:targets_start]:
        text += found[MASKS.index(id_)] if id_ in MASKS else [id_]
    return text, found


@given(IDS, st.randoms(use_true_random=False), RATES, LENGTHS)
def test_a_masked_text_can_be_restored(ids: list[int], rng: Random, rate: float, length: float):
    count = spans.num_spans(len(ids), rate, length)
    if count > NUM_MASKS:
        with pytest.raises(TokenizerError, match="64 masked spans"):
            spans.mask(ids, rng, rate, length, TOKENIZER)
        return
    masked = spans.mask(ids, rng, rate, length, TOKENIZER)
    text, found = restore(masked)
    assert text == ids
    assert len(found) == count and all(found)
    assert len(masked) == spans.masked_length(len(ids), rate, length)
    if len(ids) > 1:
        wanted = min(max(round(len(ids) * rate), 1), len(ids) - 1)
        assert sum(map(len, found)) == max(wanted, count)


@pytest.mark.parametrize("length", [2, 20, 64, 100, 512, 1280])
def test_counts_are_those_of_t5(length: int):
    """`random_spans_noise_mask` of google-research/text-to-text-transfer-transformer."""
    num_noise_tokens = int(round(length * 0.15))
    num_noise_tokens = min(max(num_noise_tokens, 1), length - 1)
    num_noise_spans = max(int(round(num_noise_tokens / 3.0)), 1)
    assert spans.num_spans(length, 0.15, 3.0) == num_noise_spans
    _, found = (
        restore(spans.mask(range(length), Random(0), 0.15, 3.0, TOKENIZER))
        if (length < TOKENIZER.bos)
        else ([], [[]] * num_noise_spans)
    )
    assert len(found) == num_noise_spans


@given(st.integers(4, 3000), RATES, LENGTHS)
def test_the_longest_that_fits_does_fit_and_one_more_does_not(
    room: int, rate: float, length: float
):
    longest = spans.longest_maskable(room, rate, length)
    assert spans.masked_length(longest, rate, length) <= room
    assert spans.num_spans(longest, rate, length) <= NUM_MASKS
    more = longest + 1
    assert (
        spans.masked_length(more, rate, length) > room
        or spans.num_spans(more, rate, length) > NUM_MASKS
    )


def test_a_prompt_is_a_text_with_one_masked_span():
    """Training shows `prefix <mask 0> suffix <mask 0> span <eos>`; evaluation asks for the span."""
    masked = spans.mask(range(10), Random(3), 0.15, 3.0, TOKENIZER)
    hole = masked.index(MASKS[0])
    second = masked.index(MASKS[0], hole + 1)
    prompt = spans.prompt_ids(TOKENIZER, masked[1:hole], masked[hole + 1 : second])
    assert masked[: len(prompt)] == prompt
    assert masked[len(prompt) :] == [*restore(masked)[1][0], TOKENIZER.eos]


def test_every_place_is_masked_about_as_often():
    times = [0] * 20
    for seed in range(2000):
        _, (span, *_) = restore(spans.mask(range(20), Random(seed), 0.15, 3.0, TOKENIZER))
        for id_ in span:
            times[id_] += 1
    assert times[0] == 0, "as in T5, a text begins unmasked"
    assert sum(times) == 2000 * 3
