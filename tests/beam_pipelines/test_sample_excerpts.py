# SPDX-License-Identifier: Apache-2.0
"""The sample is enough for every shard, not much more, and larger shares hold smaller ones."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.sample_excerpts import is_drawn, needed_share, shard_limits
from coder.config import DataConfig
from coder.data.units import Unit
from tests.data.samples import CODE, TOKENIZER, document, write_corpus

EXCERPTS = [Unit(f"r/{n}.py@0", "", ends=True) for n in range(2000)]


@given(st.integers(80, 10**7), st.integers(1, 50))
def test_shards_share_the_examples(tokens: int, shards: int):
    limits = shard_limits(DataConfig(sequence_length=80, tokens=tokens), shards)
    counts = [limit for limit in limits if limit is not None]
    assert len(counts) == shards
    assert sum(counts) == tokens // 80
    assert max(counts) - min(counts) <= 1


def test_without_tokens_there_is_no_limit(tmp_path: Path):
    assert shard_limits(DataConfig(), 3) == (None, None, None)
    assert needed_share(DataConfig(), 0, 3, 10**9, [tmp_path], TOKENIZER) == 1.0


def test_a_sample_is_as_large_as_its_share_and_holds_smaller_ones():
    small = {unit.id for unit in EXCERPTS if is_drawn(unit, 0.1, seed=0)}
    large = {unit.id for unit in EXCERPTS if is_drawn(unit, 0.3, seed=0)}
    assert 150 < len(small) < 250 and 520 < len(large) < 680
    assert small < large
    assert small != {unit.id for unit in EXCERPTS if is_drawn(unit, 0.1, seed=1)}
    assert all(is_drawn(unit, 1.0, seed=0) for unit in EXCERPTS)


@pytest.mark.parametrize("tokens", [10**6, 10**7, 10**8])
def test_the_share_is_what_is_needed_and_some_more(tmp_path: Path, tokens: int):
    corpus = write_corpus(tmp_path, [document(f"r{n}", CODE) for n in range(4)])
    inputs = sorted(corpus.glob("train-*"))
    data = DataConfig(granularity="window", sequence_length=80, tokens=tokens)
    share = needed_share(data, 64, 4, 10**9, inputs, TOKENIZER)
    probed = CODE[:8192]
    bytes_of_token = len(probed.encode()) / len(TOKENIZER.encode(probed))
    needed = tokens * 64 / 80 * bytes_of_token / 10**9
    assert 1.1 * needed < share < 1.5 * needed + 0.0002
