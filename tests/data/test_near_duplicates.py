# SPDX-License-Identifier: Apache-2.0
"""Shingle hashes against sets of tuples of tokens."""

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from coder.data.near_duplicates import contained, containment, distinct, shingle_hashes

words = st.lists(st.sampled_from("a b c é 中文 x1 _".split()), max_size=25)


def shingles(text: str) -> set[tuple[str, ...]]:
    tokens = re.findall(r"\w+", text)
    if len(tokens) < 5:
        return {tuple(tokens)} if tokens else set()
    return {tuple(tokens[start : start + 5]) for start in range(len(tokens) - 4)}


@given(words, words)
def test_hashes_count_and_share_as_the_shingles_do(left: list[str], right: list[str]):
    mine, others = shingles(" ".join(left)), shingles("(".join(right))
    hashes, within = shingle_hashes(" ".join(left)), shingle_hashes("(".join(right))
    assert hashes.dtype == np.uint64
    assert (len(hashes), len(within)) == (len(mine), len(others))
    assert list(hashes) == sorted(hashes.tolist())
    assert contained(hashes, within).sum() == len(mine & others)
    assert containment(hashes, within) == (len(mine & others) / len(mine) if mine else 0)


def test_layout_and_punctuation_do_not_count_but_order_and_case_do():
    text = "def f(a, b):\n    return a + b\n"
    assert list(shingle_hashes(text)) == list(shingle_hashes("def f(a,b): return\ta-b"))
    for other in ("def f(b, a):\n    return a + b\n", text.upper()):
        assert containment(shingle_hashes(other), shingle_hashes(text)) < 1


def test_a_short_text_matches_only_its_like():
    assert containment(shingle_hashes("import os"), shingle_hashes("import os;")) == 1
    assert containment(shingle_hashes("import os"), shingle_hashes("import os, re, sys, io")) == 0
    assert containment(shingle_hashes("a b"), shingle_hashes("b a")) == 0
    assert len(shingle_hashes(" +-* \n")) == 0


@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=5), max_size=5))
def test_distinct_is_the_sorted_union(parts: list[list[int]]):
    made = distinct([np.array(part, np.uint64) for part in parts])
    assert made.dtype == np.uint64
    assert made.tolist() == sorted(set().union(*parts))
