# SPDX-License-Identifier: Apache-2.0
"""Whatever the tokens, what is streamed is the text, cut before its first stop string."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder.data import tokenizer
from coder.infer.text import TextStream, stop_place

DEFINITION = tokenizer.train(["ab"], 330).definition


class Pieces(tokenizer.Tokenizer):
    """Tokens of any bytes: id n is the nth of them."""

    def __init__(self, pieces: Sequence[bytes]):
        super().__init__(DEFINITION)
        self.vocab_size, self._bytes_of_id = len(pieces), list(pieces)


BYTES = st.one_of(
    st.binary(max_size=24),
    st.text(alphabet="ab\né€😀\ufffd", max_size=16).map(str.encode),
)
STOPS = st.lists(st.text(alphabet="ab\né😀\ufffd", min_size=1, max_size=4), max_size=3)


def cut_into(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    ends = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in zip(ends, ends[1:], strict=False)]


def expected(data: bytes, stops: Sequence[str]) -> str:
    """The definition, character by character: ends with the first stop string, the longest."""
    text = data.decode("utf-8", "replace")
    for end in range(len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - max(map(len, complete))]
    return text


@given(BYTES, st.lists(st.integers(0, 99), max_size=8), STOPS, st.integers(1, 5))
def test_what_is_streamed_is_the_text_up_to_its_first_stop_string(data, cuts, stops, chunk):
    pieces = cut_into(data, cuts)
    stream = TextStream(Pieces(pieces), stops)
    shown = ""
    for start in range(0, len(pieces), chunk):
        shown += stream.feed(range(start, min(start + chunk, len(pieces))))
        assert expected(data, stops).startswith(shown)
    assert shown + stream.finish() == expected(data, stops)


@given(BYTES, st.lists(st.integers(0, 99), max_size=8), STOPS)
def test_an_answer_is_over_with_the_token_that_completes_a_stop_string(data, cuts, stops):
    pieces = cut_into(data, cuts)
    stream = TextStream(Pieces(pieces), stops)
    count = stream.is_over(range(len(pieces)))
    fed = [stream.feed([number]) for number in range(len(pieces))]
    if count is None:
        assert not stream.is_complete
    else:
        whole = TextStream(stream.tokenizer, stops)
        assert "".join(fed) == whole.feed(range(count)) and whole.is_complete
        assert whole.is_over(range(count - 1)) is None


def test_half_a_character_waits_for_its_other_half():
    stream = TextStream(Pieces([b"a\xe2\x82", b"\xac", b"\xf0\x9f"]))
    assert [stream.feed([0]), stream.feed([1]), stream.feed([2])] == ["a", "€", ""]
    assert stream.finish() == "\ufffd"


def test_what_may_begin_a_stop_string_waits():
    stream = TextStream(Pieces([b"x\n", b"\nde", b"f y", b"more"]), ["\n\ndef"])
    assert [stream.feed([number]) for number in range(4)] == ["x", "", "", ""]
    assert stream.is_complete and stream.finish() == ""


def test_what_began_no_stop_string_is_shown():
    stream = TextStream(Pieces([b"x\n", b"\nfor", b"\n"]), ["\n\ndef"])
    assert [stream.feed([number]) for number in range(3)] == ["x", "\n\nfor", ""]
    assert stream.finish() == "\n"


def test_of_two_stop_strings_the_first_to_be_complete_counts():
    assert stop_place("abcd", ["bc", "abcd"]) == 1
    assert stop_place("abcd", ["bc", "abc"]) == 0
    assert stop_place("abcd", ["x"]) is None


def test_an_empty_stop_string_is_refused():
    with pytest.raises(ValueError, match="empty"):
        TextStream(Pieces([b"a"]), ["a", ""])
