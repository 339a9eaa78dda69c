# SPDX-License-Identifier: Apache-2.0
"""FIM loses nothing: the parts of every text, in either format, give it back byte for byte."""

from collections import Counter
from random import Random
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coder.config import FimFormat
from coder.data import fim
from tests.data.samples import CODE, SENTINELS, TEXTS, TOKENIZER

FORMATS = get_args(FimFormat)


def restore(ids: list[int], format: FimFormat) -> bytes:
    """The source text of a rearranged one, found by its control tokens alone."""
    bos, begin, *rest, eos = ids
    assert (bos, begin, eos) == (TOKENIZER.bos, TOKENIZER.fim_begin, TOKENIZER.eos)
    hole, end = rest.index(TOKENIZER.fim_hole), rest.index(TOKENIZER.fim_end)
    before, suffix, after = rest[:hole], rest[hole + 1 : end], rest[end + 1 :]
    if format == "psm":
        return TOKENIZER.decode_bytes([*before, *after, *suffix])
    assert not before
    return TOKENIZER.decode_bytes([*after, *suffix])


@given(TEXTS, st.randoms(use_true_random=False), st.sampled_from(FORMATS), st.sampled_from([0, 1]))
@example("", Random(0), "psm", 1)
@example("one line", Random(0), "psm", 1)
def test_a_rearranged_text_can_be_restored(
    text: str, rng: Random, format: FimFormat, line_aligned: float
):
    parts = fim.split(text, rng, line_aligned)
    assert "".join(parts) == text
    prefix_ids, middle_ids, suffix_ids = TOKENIZER.encode_batch(parts)
    ids = fim.format_ids(TOKENIZER, prefix_ids, middle_ids, suffix_ids, format)
    assert restore(ids, format) == text.encode()
    assert sum(id_ in SENTINELS for id_ in ids) == fim.CONTROL_TOKENS


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("psm", "{bos}{begin}p{hole}s{end}m{eos}"),
        ("spm", "{bos}{begin}{hole}s{end}pm{eos}"),
    ],
)
def test_formats_are_those_of_the_papers(format: FimFormat, expected: str):
    p, m, s = TOKENIZER.encode_batch(["p", "m", "s"])
    names = {
        "bos": "<｜begin▁of▁sentence｜>",
        "eos": "<｜end▁of▁sentence｜>",
        "begin": "<｜fim▁begin｜>",
        "hole": "<｜fim▁hole｜>",
        "end": "<｜fim▁end｜>",
    }
    formatted = fim.format_ids(TOKENIZER, p, m, s, format)
    assert TOKENIZER.decode(formatted) == expected.format(**names)
    prompt = fim.prompt_ids(TOKENIZER, p, s, format)
    assert formatted == [*prompt, *m, TOKENIZER.eos]


@given(st.text(alphabet="ab\n", min_size=1), st.randoms(use_true_random=False))
def test_aligned_cuts_stand_at_line_ends_and_leave_a_middle(text: str, rng: Random):
    prefix, middle, suffix = fim.split(text, rng, line_aligned=1.0)
    assert middle
    assert prefix == "" or prefix.endswith("\n")
    assert middle.endswith("\n") or not suffix


def test_aligned_middles_are_any_line_or_lines_after_the_first():
    text = "one\ntwo\nthree\nfour"
    found = {fim.split(text, Random(seed), 1.0)[1] for seed in range(500)}
    lines = {"one\n", "two\n", "three\n", "four"}
    assert found == lines | {"two\nthree\n", "three\nfour", "two\nthree\nfour"}


def test_cuts_are_uniform():
    """All pairs of the 4 places in three characters: 4 with an empty middle, 6 others twice."""
    found = Counter(fim.split("abc", Random(seed)) for seed in range(16_000))
    assert len(found) == 10
    for (prefix, middle, suffix), times in found.items():
        expected = 1000 if not middle else 2000
        assert abs(times - expected) < 6 * expected**0.5, (prefix, middle, suffix)


def test_the_aligned_share_is_kept():
    splits = [fim.split(CODE, Random(seed), line_aligned=0.5) for seed in range(600)]
    aligned = sum(
        (not prefix or prefix.endswith("\n")) and middle.endswith("\n")
        for prefix, middle, _ in splits
    )
    assert 240 < aligned < 360
