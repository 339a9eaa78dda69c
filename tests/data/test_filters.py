# SPDX-License-Identifier: Apache-2.0
"""The filters against a slow reading of the rules, at their thresholds, and on hostile files.

`make oracle NAME=rules` compares them on every file of this machine's packages.
"""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks import _slow_rules as slow_rules
from coder.data.filters import REASONS, FilterConfig, Kept, check, check_name
from coder.data.languages import PRESETS, Languages

RULES = FilterConfig()
ONLY_RULES = FilterConfig(keep_vendored=True, keep_generated=True, keep_minified=True)
LANGUAGES = Languages(PRESETS["v1"])
CODE = "def add(left, right):\n    return left + right\n"


class ByEnding:
    """A language for every name, so that what is compared here are the rules alone."""

    NAMES = {"html": "HTML", "json": "JSON", "yaml": "YAML", "xslt": "XSLT", "svg": "SVG"}

    def of(self, path: str, text: str) -> str:
        return self.NAMES.get(path.rpartition(".")[2], "Python")

    def possible(self, path: str) -> bool:
        return True


NAMED: Any = ByEnding()


def agrees(path: str, content: bytes) -> bool:
    found = check(path, content, ONLY_RULES, NAMED)
    expected = slow_rules.verdict(path, content, NAMED.of(path, ""))
    if isinstance(found, Kept):
        return not expected and found.text.encode() == content.removeprefix(b"\xef\xbb\xbf")
    return found in expected


@pytest.mark.parametrize("package", ["selectolax", "tyro", "hypothesis", "tensorboardX", "grain"])
def test_installed_files_get_the_slow_verdict(package: str):
    spec = importlib.util.find_spec(package)
    assert spec and spec.submodule_search_locations
    (root,) = spec.submodule_search_locations
    files = [file for file in Path(root).rglob("*") if file.is_file() and file.suffix != ".pyc"]
    small = [file for file in files if file.stat().st_size < 50_000][:100]
    assert small
    for file in small:
        assert agrees(file.name, file.read_bytes()), file


letters = st.characters(codec="utf-8") | st.sampled_from("aé中1 \n\r\x0b\x0c\x1c\x85\u2028\ufeff²")
endings = st.sampled_from(["a.py", "a.json", "a.yaml", "a.svg", "a.xslt"])
declarations = st.sampled_from(["", "", "<?xml version=", "<?xml version", "\ufeff<?xml version="])


@given(st.text(letters), st.integers(1, 60), endings, declarations)
@example("a", 50, "a.json", "")
@example("\r\n", 20, "a.py", "aaaaaaaaaaaaaa")
@example("a" * 40 + "\n", 60, "a.svg", "b" * 86 + "<?xml version=")
@example("a" * 40 + "\n", 60, "a.svg", "b" * 87 + "<?xml version=")
def test_any_text_gets_the_slow_verdict(text: str, times: int, path: str, before: str):
    assert agrees(path, (before + text * times).encode())


@given(st.integers(99, 101), st.integers(1, 3), st.sampled_from(["\n", "\r\n", "\r", "\u2028"]))
def test_lines_of_about_the_average_get_the_slow_verdict(length: int, lines: int, end: str):
    assert agrees("a.py", (("a" * length + end) * lines + "a" * 101).encode())


utf8 = st.sampled_from(
    [b"a", b"\n", b"\xc3", b"\xa9", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xe0\x80"]
    + [b"\xef\xbb\xbf", b"\xf0\x9f\x98\x80", b"\xe4\xb8\xad", b"\0", b"\xff"]
)


@given(st.binary() | st.lists(utf8, max_size=6).map(b"".join))
def test_any_bytes_get_the_slow_verdict(content: bytes):
    assert agrees("a.py", content)


pieces = st.sampled_from(
    [
        "<p>",
        "</p>",
        "<br/>",
        "\n",
        "text",
        "<!-- ",
        "-->",
        "&amp;",
        "<script>",
        "</script>",
        "<style>",
    ]
    + ["</style>", "<a href='x'>", "</a>", "<div class=wide>", "</div>", "é", "<", ">", "<b>"]
)


@given(st.lists(pieces, max_size=30).map("".join), st.integers(0, 130))
def test_pages_of_html_get_the_slow_verdict(page: str, visible: int):
    closed = "<!--" not in re.sub("(?s)<!--.*?-->", "", page) and "<<" not in page
    if not closed or page.count("<script>") or page.count("<style>") or "</s" in page:
        page = "<p>"  # what broken markup hides is a matter of the parser
    page = page.replace("<text", "text").replace("<é", "é")
    assert agrees("a.html", f"<html><body>{page}<p>{'v' * visible}</p></body></html>".encode())


def reason_of(path: str, content: bytes, languages: Languages = LANGUAGES) -> str | None:
    result = check(path, content, RULES, languages)
    return None if isinstance(result, Kept) else result


def reason(path: str, text: str) -> str | None:
    return reason_of(path, text.encode())


def page_of(visible: int, total: int) -> str:
    """HTML with `visible` characters of text among `total`."""
    page = "<p>" + "v" * visible + "<!--" + "c\n" * ((total - visible - 10) // 2) + "-->"
    assert len(page) in (total, total - 1)
    return page


@pytest.mark.parametrize(
    ("path", "kept", "dropped", "why"),
    [
        ("a.py", "a" * 1000 + "\nb" * 19, "a" * 1001 + "\nb" * 19, "longest_line"),
        ("a.py", "a" * 100 + "\r\n", "a" * 101 + "\r\n", "average_line"),
        ("a.py", "a" * 150 + "\n" + "a" * 50, "a" * 150 + "\n" + "a" * 51, "average_line"),
        ("a.py", "ab" + "+" * 6, "ab" + "+" * 7, "alphabetic"),
        ("a.py", "é1" + "²_", "é1" + "²__", "alphabetic"),
        ("a.json", "ab\n" * 16 + "ab", "ab\n" * 16 + "a", "json_yaml_size"),
        ("a.json", "ab\n" * 1666 + "ab", "ab\n" * 1666 + "abc", "json_yaml_size"),
        ("a.yml", "ab\n" * 16 + "ab", "ab\n" * 16 + "a", "json_yaml_size"),
        ("a.yml", "ab\n" * 1666 + "ab", "ab\n" * 1666 + "abc", "json_yaml_size"),
        ("a.py", "a\n" * 43 + "b<?xml version=", "a\n" * 43 + "<?xml version=", "xml"),
        ("a.html", page_of(100, 500), page_of(99, 400), "html_text"),
        ("a.html", page_of(100, 500), page_of(100, 502), "html_text"),
    ],
)
def test_equality_is_kept(path: str, kept: str, dropped: str, why: str):
    assert reason(path, kept) is None
    assert reason(path, dropped) == why


def test_both_readings_draw_the_lines_at_the_same_places():
    """One below, at and one above each threshold, by a construction that knows the count."""
    for extra in (-1, 0, 1):
        for path, text, why in (
            ("a.py", "a" * (1000 + extra) + "\nb" * 19, "longest_line"),
            ("a.py", "a" * (100 + extra), "average_line"),
            ("a.py", "ab" + "+" * (6 + extra), "alphabetic"),
            ("a.json", "a\n" * 24 + "a" * (2 - extra), "json_yaml_size"),
            ("a.yaml", "a\n" * 2499 + "a" * (2 + extra), "json_yaml_size"),
            ("a.svg", "a\n" * 43 + "<?xml version="[: 14 + extra], ""),
            ("a.svg", "a" * (86 + extra) + "<?xml version=", ""),
            ("a.html", page_of(100 - extra, 400), "html_text"),
        ):
            expected = slow_rules.verdict(path, text.encode(), NAMED.of(path, ""))
            assert reason_of(path, text.encode(), NAMED) in (expected or {None}), (path, extra)
            if why:
                assert expected == ({why} if extra > 0 else set()), (path, extra)


def test_xml_is_dropped_but_for_xslt():
    text = "<?xml version='1.0'?>\n<xsl:stylesheet>\n  <template/>\n</xsl:stylesheet>\n"
    assert check("a.xslt", text.encode(), RULES, NAMED) == Kept("XSLT", text)
    assert reason_of("a.svg", text.encode(), NAMED) == "xml"


def test_names_and_sizes_are_judged_unread():
    def name_reason(path: str, size: int) -> str | None:
        return check_name(path, size, RULES, LANGUAGES)

    assert name_reason("a.py", RULES.max_bytes) is None
    assert name_reason("a.py", RULES.max_bytes + 1) == "too_large"
    assert name_reason("a.py", 0) == "empty"
    assert name_reason("a.exe", 10) == "language"
    assert name_reason("a" * 497 + ".py", 10) is None
    for path in ("", "a\nb.py", "a\0.py", "bytes\udcff.py", "a" * 498 + ".py"):
        assert name_reason(path, 10) == "path"
        assert reason(path, "x") == "path"


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        ("node_modules/a/index.js", "let x\n", "vendored"),
        ("pip/_vendor/a.py", CODE, "vendored"),
        (
            "a_pb2.py",
            "# Generated by the protocol buffer compiler.  DO NOT EDIT!\nx = y\n",
            "generated",
        ),
        ("static/a.min.js", "let x = 1\n", "vendored"),
    ],
)
def test_what_was_taken_over_or_made_by_programs_is_dropped_unless_wanted(
    path: str, text: str, why: str
):
    assert reason(path, text) == why
    assert isinstance(check(path, text.encode(), ONLY_RULES, LANGUAGES), Kept)


def test_minified_code_is_dropped_where_vendored_is_kept():
    path, text = "a.min.css", b"p { color: red }\n"
    assert check(path, text, FilterConfig(keep_vendored=True), LANGUAGES) == "minified"
    assert check(path, text, ONLY_RULES, LANGUAGES) == Kept("CSS", text.decode())


def test_hostile_files_are_refused_at_once():
    assert reason_of("a.py", b"x" * 50_000_000) == "too_large"
    assert reason_of("a.py", CODE.encode() + b"\0") == "binary"
    assert reason_of("a.py", CODE.encode("utf-16")) == "binary"
    assert reason_of("a.py", b"caf\xe9 " * 9) == "encoding"
    assert reason_of("a.py", b"\xef\xbb\xbf") == "empty"
    nested = [f"{tag}\n" * 100_000 for tag in ("<div>", "<ul><li>", "<dd><dl>", "<b><div></b>")]
    lax = FilterConfig(max_bytes=10**7, max_line=10**7, max_average_line=10**7)
    for page in (*nested, "<a " + " b=1" * 100_000):
        assert check("a.html", page.encode(), lax, LANGUAGES) == "html_nesting"


def test_a_long_flat_page_is_no_nested_one():
    item = "<li>A line of <b>text</b> with <br> and <img src='x'>, never closed\n<p>next\n"
    assert reason("a.html", "<ul>\n" + item * 5000) is None


def test_a_byte_order_mark_is_taken_off():
    found = check("a.py", b"\xef\xbb\xbf" + CODE.encode(), RULES, LANGUAGES)
    assert found == Kept("Python", CODE)


def test_thresholds_are_settings():
    narrow = FilterConfig(max_average_line=10)
    assert check("a.py", CODE.encode(), narrow, LANGUAGES) == "average_line"
    assert len(REASONS) == len(set(REASONS)) == 16
