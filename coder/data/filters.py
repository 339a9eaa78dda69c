# SPDX-License-Identifier: Apache-2.0
"""The rule filters of DeepSeek-Coder (section 2.1), which are those of StarCoder.

The paper gives the thresholds in words; where it leaves equality open, bigcode-dataset's
`preprocessing/filtering.py`, from which the rules come, decides. A file is dropped when

- its lines are longer than 100 characters on average, or one is longer than 1000
  (equality is kept; lines as `str.splitlines` has them, their ends not counted);
- less than 25 % of its characters are alphabetic (equality is kept; white space counts as
  characters; the paper says alphabetic, some of the public code counts digits too);
- `<?xml version=` stands in its first 100 characters, unless it is XSLT;
- HTML: its visible text is below 20 % of the characters, or below 100 characters (equality is
  kept, as the paper says; the public code drops it);
- JSON, YAML: it has fewer than 50 or more than 5000 characters (equality is kept).

Beyond the paper: an unprintable or overlong path, a language that is not in the corpus, an empty
file, more than 1 MiB (the limit of The Stack), a NUL byte (no text has one), invalid UTF-8. Files
that linguist knows as vendored, generated or minified are dropped, too, and can be kept by a
setting each. A byte order mark is no character of the text and is taken off.
"""

import codecs
import re
import string
from dataclasses import dataclass
from typing import Literal, get_args

from coder.data.html import is_overly_nested, visible_text
from coder.data.languages import Languages
from coder.data.linguist import exclusions

Reason = Literal[
    "path",
    "vendored",
    "language",
    "empty",
    "too_large",
    "binary",
    "encoding",
    "generated",
    "minified",
    "xml",
    "json_yaml_size",
    "longest_line",
    "average_line",
    "alphabetic",
    "html_nesting",
    "html_text",
]
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True)
class FilterConfig:
    """Thresholds of the rule filters; the defaults are the paper's."""

    max_path: int = 500
    """Characters of a path within its repository."""
    max_bytes: int = 1 << 20
    """Bytes of a file."""
    max_average_line: float = 100.0
    """Characters of a line, on average over the file."""
    max_line: int = 1000
    """Characters of the longest line."""
    min_alphabetic: float = 0.25
    """Share of alphabetic characters."""
    xml_characters: int = 100
    """Where an XML declaration is looked for, from the start of the file."""
    min_html_text: int = 100
    """Characters of visible text in an HTML file."""
    min_html_share: float = 0.20
    """Share of visible text in an HTML file."""
    min_json_yaml: int = 50
    """Characters of a JSON or YAML file."""
    max_json_yaml: int = 5000
    """Characters of a JSON or YAML file."""
    keep_vendored: bool = False
    """Keep copies of other projects, such as those below node_modules."""
    keep_generated: bool = False
    """Keep what a program has written, such as parsers, lock files and protocol buffer stubs."""
    keep_minified: bool = False
    """Keep minified JavaScript and CSS."""


@dataclass(frozen=True)
class Kept:
    """A file that passes the filters."""

    language: str
    text: str


# Python's own names for copies of other projects, beside those that linguist knows.
_VENDORED_FOLDERS = frozenset({"_vendor", "_vendored", "vendored"})


def check(path: str, content: bytes, config: FilterConfig, languages: Languages) -> Kept | Reason:
    """What becomes of a file: its language and text, or the first reason against it."""
    reason = check_name(path, len(content), config, languages)
    if reason is not None:
        return reason
    if b"\0" in content:
        return "binary"
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return "encoding"
    if not text:
        return "empty"
    language = languages.of(path, text)
    if language is None:
        return "language"
    if not config.keep_generated and exclusions.is_generated(path, text):
        return "generated"
    if not config.keep_minified and exclusions.is_minified(path, text):
        return "minified"
    return _check_text(language, text, content, config) or Kept(language, text)


def check_name(path: str, size: int, config: FilterConfig, languages: Languages) -> Reason | None:
    """The reason against a file that its path and size in bytes give, before it is read at all."""
    if not path.isprintable() or not 0 < len(path) <= config.max_path:
        return "path"  # a line break in it, or bytes that are no UTF-8, among others
    if not config.keep_vendored and _is_vendored(path):
        return "vendored"
    if not languages.possible(path):
        return "language"
    if size == 0:
        return "empty"
    return "too_large" if size > config.max_bytes else None


def _is_vendored(path: str) -> bool:
    return not _VENDORED_FOLDERS.isdisjoint(path.split("/")[:-1]) or exclusions.is_vendored(path)


def _check_text(language: str, text: str, content: bytes, config: FilterConfig) -> Reason | None:
    """The reason that the text itself gives; the cheap rules come first."""
    if "<?xml version=" in text[: config.xml_characters] and language != "XSLT":
        return "xml"
    if language in ("JSON", "YAML"):
        if not config.min_json_yaml <= len(text) <= config.max_json_yaml:
            return "json_yaml_size"
    lengths = list(map(len, text.splitlines()))
    if max(lengths) > config.max_line:
        return "longest_line"
    if sum(lengths) > config.max_average_line * len(lengths):
        return "average_line"
    if _alphabetic(text, content) < config.min_alphabetic * len(text):
        return "alphabetic"
    return _check_html(text, config) if language == "HTML" else None


_NO_LETTER = bytes(set(range(256)) - set(string.ascii_letters.encode()))
_ASCII = re.compile(r"[\0-\x7f]+")


def _alphabetic(text: str, content: bytes) -> int:
    """Alphabetic characters of `text`, whose UTF-8 is `content`."""
    beyond_ascii = _ASCII.sub("", text)
    return len(content.translate(None, _NO_LETTER)) + sum(map(str.isalpha, beyond_ascii))


def _check_html(text: str, config: FilterConfig) -> Reason | None:
    if is_overly_nested(text):
        return "html_nesting"
    visible = len(visible_text(text))
    if visible < config.min_html_text or visible < config.min_html_share * len(text):
        return "html_text"
    return None
