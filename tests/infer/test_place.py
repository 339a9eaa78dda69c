# SPDX-License-Identifier: Apache-2.0
"""`path:line[:column]`: where the cursor is, and what is said when there is no such place."""

import codecs
from pathlib import Path

import pytest

from coder.infer.place import PlaceError, read_place


def written(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "a.py"
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize(
    ("content", "place", "prefix", "suffix"),
    [
        (b"ab\ncd\n", ":1", "ab", "\ncd\n"),
        (b"ab\ncd\n", ":2:1", "ab\n", "cd\n"),
        (b"ab\ncd\n", ":2:3", "ab\ncd", "\n"),
        (b"ab\ncd\n", ":3", "ab\ncd\n", ""),
        (b"ab\ncd", ":2", "ab\ncd", ""),
        (b"", ":1", "", ""),
        (b"", ":1:1", "", ""),
        (b"ab\r\ncd\r\n", ":1", "ab", "\r\ncd\r\n"),
        (b"ab\r\ncd\r\n", ":2:2", "ab\r\nc", "d\r\n"),
        ("é😀x\n".encode(), ":1:3", "é😀", "x\n"),
        (codecs.BOM_UTF8 + b"ab\n", ":1:2", "a", "b\n"),
        (b"a\x0cb\n", ":1", "a\x0cb", "\n"),
    ],
)
def test_the_text_is_cut_at_the_cursor(tmp_path, content, place, prefix, suffix):
    found = read_place(written(tmp_path, content) + place)
    assert (found.prefix, found.suffix) == (prefix, suffix)


def test_a_colon_in_the_path_is_part_of_it(tmp_path):
    (tmp_path / "a:7.py").write_text("x\ny\n")
    assert read_place(f"{tmp_path}/a:7.py:2:1").prefix == "x\n"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("", "is no place: expected path:line or path:line:column"),
        (":x", "is no place"),
        (":0", "has no line 0: its lines are 1 to 3"),
        (":4", "has no line 4: its lines are 1 to 3"),
        (":1:0", "has no column 0: its columns are 1 to 3"),
        (":1:4", "has no column 4: its columns are 1 to 3"),
        (":3:2", "has no column 2: its columns are 1 to 1"),
    ],
)
def test_a_place_that_does_not_exist_is_named(tmp_path, place, message):
    with pytest.raises(PlaceError, match=message):
        read_place(written(tmp_path, b"ab\r\ncd\r\n") + place)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(PlaceError, match="gone.py: No such file"):
        read_place(f"{tmp_path}/gone.py:1")
    with pytest.raises(PlaceError, match="Is a directory"):
        read_place(f"{tmp_path}:1")
    with pytest.raises(PlaceError, match="not UTF-8: byte 0xe9 at 1"):
        read_place(written(tmp_path, b"x\xe9\n") + ":1")
