# SPDX-License-Identifier: Apache-2.0
"""The filters against a slow reading of the rules, at their thresholds, and on hostile files."""

import html.parser
import importlib.util
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder.data.filters import REASONS, FilterConfig, Kept, check, check_name
from coder.data.languages import language_of

RULES = FilterConfig()
CODE = "def add(left, right):\n    return left + right\n"


class VisibleText(html.parser.HTMLParser):
    """Text outside scripts and styles, by the standard library's parser."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.hidden, self.text = 0, ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data):
        if not self.hidden:
            self.text += data


def slow_verdict(path: str, content: bytes) -> set[str]:
    """Every reason against a file with an acceptable name, character by character."""
    if not content:
        return {"empty"}
    if len(content) > 1048576:
        return {"too_large"}
    if 0 in content:
        return {"binary"}
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return {"encoding"}
    if not text:
        return {"empty"}
    lengths = [len(line) for line in text.splitlines()]
    alphabetic = sum(unicodedata.category(letter).startswith("L") for letter in text)
    language = language_of(path)
    failed = {
        "xml": text.find("<?xml version=", 0, 100) >= 0,
        "longest_line": max(lengths) > 1000,
        "average_line": sum(lengths) / len(lengths) > 100,
        "alphabetic": alphabetic / len(text) < 0.25,
        "json_yaml_size": language in ("JSON", "YAML") and not 50 <= len(text) <= 5000,
    }
    if language == "HTML":
        visible = len(VisibleText(text).text)
        failed["html_text"] = visible < 100 or visible / len(text) < 0.2
    return {reason for reason, fails in failed.items() if fails}


def agrees(path: str, content: bytes) -> bool:
    found, expected = check(path, content, RULES), slow_verdict(path, content)
    if isinstance(found, Kept):
        return not expected and found == Kept(found.language, content.decode("utf-8-sig"))
    return found in expected


@pytest.mark.parametrize("package", ["selectolax", "tyro", "hypothesis", "tensorboardX", "grain"])
def test_installed_files_get_the_slow_verdict(package: str):
    spec = importlib.util.find_spec(package)
    assert spec and spec.submodule_search_locations
    (root,) = spec.submodule_search_locations
    files = [file for file in Path(root).rglob("*") if file.is_file() and language_of(file.name)]
    assert files
    for file in files:
        assert agrees(file.name, file.read_bytes()), file


letters = st.characters(codec="utf-8") | st.sampled_from("aé中1 \n\r\x0b\x0c\x1c\x85\u2028\ufeff²")


@given(st.text(letters), st.integers(1, 60), st.sampled_from(["a.py", "a.json", "a.c", "b.md"]))
def test_any_text_gets_the_slow_verdict(text: str, times: int, path: str):
    assert agrees(path, (text * times).encode())


@given(st.binary())
def test_any_bytes_get_the_slow_verdict(content: bytes):
    assert agrees("a.py", content)


def reason(path: str, text: str) -> str | None:
    result = check(path, text.encode(), RULES)
    return None if isinstance(result, Kept) else result


def page_of(visible: int, total: int) -> str:
    """HTML with `visible` characters of text among `total`."""
    return "<p>" + "v" * visible + "<!--" + "c\n" * ((total - visible - 10) // 2) + "-->"


@pytest.mark.parametrize(
    ("path", "kept", "dropped", "why"),
    [
        ("a.py", "a" * 1000 + "\nb" * 19, "a" * 1001 + "\nb" * 19, "longest_line"),
        ("a.py", "a" * 100 + "\r\n", "a" * 101 + "\r\n", "average_line"),
        ("a.py", "a" * 150 + "\n" + "a" * 50, "a" * 150 + "\n" + "a" * 51, "average_line"),
        ("a.py", "ab" + "+" * 6, "ab" + "+" * 7, "alphabetic"),
        ("a.py", "é1" + "²_", "é1" + "²__", "alphabetic"),
        ("a.json", "ab\n" * 16 + "ab", "ab\n" * 16 + "a", "json_yaml_size"),
        ("a.yml", "ab\n" * 1666 + "ab", "ab\n" * 1666 + "abc", "json_yaml_size"),
        ("a.py", "a\n" * 43 + "b<?xml version=", "a\n" * 43 + "<?xml version=", "xml"),
        ("a.html", page_of(100, 500), page_of(99, 400), "html_text"),
        ("a.html", page_of(100, 500), page_of(100, 502), "html_text"),
    ],
)
def test_equality_is_kept(path: str, kept: str, dropped: str, why: str):
    assert reason(path, kept) is None
    assert reason(path, dropped) == why


def test_names_and_sizes_are_judged_unread():
    assert check_name("a.py", RULES.max_bytes, RULES) is None
    assert check_name("a.py", RULES.max_bytes + 1, RULES) == "too_large"
    assert check_name("a.py", 0, RULES) == "empty"
    assert check_name("a.exe", 10, RULES) == "language"
    for path in ("", "a\nb.py", "a\0.py", "bytes\udcff.py", "a" * 498 + ".py"):
        assert check_name(path, 10, RULES) == "path"
        assert check(path, b"x", RULES) == "path"


def test_hostile_files_are_refused_at_once():
    assert check("a.py", b"x" * 50_000_000, RULES) == "too_large"
    assert check("a.py", CODE.encode() + b"\0", RULES) == "binary"
    assert check("a.py", CODE.encode("utf-16"), RULES) == "binary"
    assert check("a.py", b"caf\xe9 " * 9, RULES) == "encoding"
    assert check("a.py", b"\xef\xbb\xbf", RULES) == "empty"
    nested = [f"{tag}\n" * 100_000 for tag in ("<div>", "<ul><li>", "<dd><dl>", "<b><div></b>")]
    lax = FilterConfig(max_bytes=10**7, max_line=10**7, max_average_line=10**7)
    for page in (*nested, "<a " + " b=1" * 100_000):
        assert check("a.html", page.encode(), lax) == "html_nesting"


def test_a_long_flat_page_is_no_nested_one():
    item = "<li>A line of <b>text</b> with <br> and <img src='x'>, never closed\n<p>next\n"
    assert reason("a.html", "<ul>\n" + item * 5000) is None


def test_a_byte_order_mark_is_taken_off():
    assert check("a.py", b"\xef\xbb\xbf" + CODE.encode(), RULES) == Kept("Python", CODE)


def test_thresholds_are_settings():
    assert check("a.py", CODE.encode(), FilterConfig(max_average_line=10)) == "average_line"
    assert len(REASONS) == len(set(REASONS)) == 13
