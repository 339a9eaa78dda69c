# SPDX-License-Identifier: Apache-2.0
"""Units cover a document exactly once, in order, and no window is longer than asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder.config import DataConfig
from coder.data import spans, units
from coder.data.units import Unit
from tests.data.samples import CODE, TEXTS, TOKENIZER, document


@given(TEXTS, st.integers(8, 40))
def test_windows_cover_their_excerpt(text: str, window_tokens: int):
    found = units.windows(Unit("x", text, ends=True), TOKENIZER, window_tokens)
    assert "".join(unit.text for unit in found) == text
    assert all(0 < unit.tokens <= window_tokens for unit in found)
    assert all(unit.text for unit in found)
    assert [unit.ends for unit in found] == [False] * (len(found) - 1) + [True] * bool(found)
    assert len({unit.id for unit in found}) == len(found)
    assert sum(unit.tokens for unit in found) == len(TOKENIZER.encode(text))


def test_windows_of_code_are_about_as_long_as_asked():
    found = units.windows(Unit("x", CODE, ends=False), TOKENIZER, 64)
    assert all(58 <= unit.tokens <= 64 for unit in found)
    assert not found[-1].ends
    encoded = [len(TOKENIZER.encode(unit.text)) for unit in found]
    assert max(encoded) <= 64 + units._GROWTH


@pytest.mark.parametrize("granularity", ["document", "file", "window"])
def test_excerpts_cover_a_document(granularity):
    doc = document("r", CODE, "", "x = 1", "é" * 5000)
    found = list(units.excerpts(doc, granularity, window_tokens=32))
    assert "".join(unit.text for unit in found) == doc.text()
    assert len({unit.id for unit in found}) == len(found)
    if granularity == "document":
        assert [unit.ends for unit in found] == [True]
    else:
        assert sum(unit.ends for unit in found) == len(doc.files)
    if granularity == "window":
        longest = units.longest_excerpt("window", 32)
        assert len(found) > 10
        assert all(len(unit.text) <= longest for unit in found)
        assert sum(unit.text.endswith("\n") for unit in found) >= len(found) - 4


def test_long_documents_fall_back_to_files_and_long_files_to_line_ends(monkeypatch):
    monkeypatch.setattr(units, "LONGEST_EXCERPT", 1000)
    doc = document("r", "short\n", "a line\n" * 300)
    found = list(units.excerpts(doc, "document", 0))
    assert "".join(unit.text for unit in found) == doc.text()
    assert [unit.ends for unit in found] == [True, False, False, True]
    assert all(unit.text.endswith("\n") and len(unit.text) <= 1000 for unit in found)


@given(TEXTS.filter(lambda text: len(text) > 1))
def test_halves_are_the_whole(text: str):
    first, second = units.halves(Unit("x", text, ends=True, tokens=7))
    assert first.text + second.text == text
    assert first.text and second.text
    assert (first.ends, second.ends) == (False, True)
    assert first.tokens + second.tokens == 7
    assert first.id != second.id


@pytest.mark.parametrize("sequence_length", [32, 80, 256, 1024])
def test_the_longest_window_leaves_room_for_every_form(sequence_length: int):
    data = DataConfig(granularity="window", sequence_length=sequence_length)
    tokens = units.window_tokens(data)
    assert spans.masked_length(tokens, 0.15, 3.0) + units._GROWTH <= sequence_length
    assert tokens + 5 + units._GROWTH <= sequence_length
    assert tokens > 0.4 * sequence_length


def test_windows_that_cannot_fit_are_an_error():
    data = DataConfig(granularity="window", sequence_length=80, window_tokens=76)
    with pytest.raises(ValueError, match="--window-tokens 76: at most 75"):
        units.window_tokens(data)
