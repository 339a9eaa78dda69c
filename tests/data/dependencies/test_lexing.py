# SPDX-License-Identifier: Apache-2.0
"""What is blanked out of sources, against a slow reading character by character."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coder.data.dependencies.lexing import (
    BLOCK_COMMENT,
    CHARACTERS,
    HASH_COMMENT,
    LINE_COMMENT,
    NESTED_COMMENT,
    STRING,
    Masker,
)

PLAIN = Masker(LINE_COMMENT, BLOCK_COMMENT, STRING, CHARACTERS)
NESTED = Masker(LINE_COMMENT, NESTED_COMMENT, STRING)
SCRIPT = Masker(HASH_COMMENT, STRING)

pieces = st.sampled_from(
    [
        "/*",
        "*/",
        "//",
        "/",
        "*",
        '"',
        "'",
        "\\",
        "\n",
        "\r\n",
        "\r",
        "#",
        "a",
        "b c",
        "\0",
        "\udc80",
    ]
)
sources = st.lists(pieces | st.characters(), max_size=40).map("".join)


@pytest.mark.parametrize(
    ("source", "masked"),
    [
        ("a // b\nc", "a     \nc"),
        ("a /* b\r\nc */ d", "a     \r\n     d"),
        ('f("/*", "\\"//") /* " */', 'f("  ", "    ")        '),
        ('"not closed\nx // y', '"          \nx     '),
        ('"joined \\\nline" x', '"        \n    " x'),
        ("'\"' + '\\'' + x", "' ' + '  ' + x"),
        ("a /* b", "a     "),
    ],
)
def test_comments_and_the_insides_of_strings_become_blank(source: str, masked: str):
    assert PLAIN.mask(source) == masked


def test_comments_within_comments_count_where_a_language_has_them():
    assert NESTED.mask("a /* b /* c */ d */ e") == "a                   e"
    assert PLAIN.mask("a /* b /* c */ d */ e") == "a              d */ e"
    assert NESTED.mask("a /* b /* c */ d") == "a               "


def one_by_one(source: str, nested: bool) -> str:
    """The same for LINE_COMMENT, a block comment and STRING, in quadratic time."""
    masked, at = "", 0
    while at < len(source):
        end, kept = at, 0
        if source.startswith("//", at):
            while end < len(source) and source[end] not in "\r\n":
                end += 1
        elif source.startswith("/*", at):
            depth, end = 1, at + 2
            while end < len(source) and depth:
                if source.startswith("*/", end):
                    depth, end = depth - 1, end + 2
                elif source.startswith("/*", end) and nested:
                    depth, end = depth + 1, end + 2
                else:
                    end += 1
        elif source[at] == '"':
            end, kept = at + 1, 1
            while end < len(source) and source[end] not in '"\r\n':
                if source[end] == "\\":
                    if end + 1 == len(source):
                        break
                    end += 2 if source.startswith("\r\n", end + 1) else 1
                end += 1
        if end == at:
            masked, at = masked + source[at], at + 1
            continue
        inside = source[at + kept : end]
        masked += source[at : at + kept]
        masked += "".join(letter if letter in "\r\n" else " " for letter in inside)
        at = end
        if kept and source[at : at + 1] == '"':
            masked, at = masked + '"', at + 1
    return masked


@given(sources)
@example("/*/")
@example('"\\')
def test_masking_agrees_with_a_reading_character_by_character(source: str):
    assert NESTED.mask(source) == one_by_one(source, nested=True)
    assert Masker(LINE_COMMENT, BLOCK_COMMENT, STRING).mask(source) == one_by_one(source, False)


@given(sources)
def test_masking_keeps_length_and_line_breaks(source: str):
    for masker in (PLAIN, NESTED, SCRIPT):
        masked = masker.mask(source)
        assert len(masked) == len(source)
        assert all(
            kept == letter or (kept == " " and letter not in "\r\n")
            for kept, letter in zip(masked, source, strict=True)
        )
        assert masker.mask(masked) == masked


@pytest.mark.parametrize(
    "piece", ["/*", "*/", "/*/", "//", '"', "'", "\\", '"\\', "#", "\0", "(", "/"]
)
def test_masking_a_megabyte_of_anything_would_take_under_a_second(piece: str):
    source = piece * ((1 << 18) // len(piece))
    start = time.process_time()
    for masker in (NESTED, SCRIPT):
        assert len(masker.mask(source)) == len(source)
    assert time.process_time() - start < 5
