# SPDX-License-Identifier: Apache-2.0
"""The paper's rules read slowly, character by character; nothing is shared with what they check.

DeepSeek-Coder, section 2.1, and where it is silent bigcode-dataset's filters: an average line of
more than 100 characters, a line of more than 1000, less than 25 % alphabetic characters, `<?xml
version=` in the first 100 characters of anything but XSLT, HTML whose visible text is under 20 % or
under 100 characters, JSON and YAML of fewer than 50 or more than 5000 characters. Equality passes.
"""

import html.parser
import unicodedata

LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
BYTE_ORDER_MARK = "\ufeff"


def verdict(path: str, content: bytes, language: str) -> set[str]:
    """Every reason against a file; which of several the fast rules tell is theirs to choose."""
    found = _by_name(path)
    if len(content) == 0:
        return found | {"empty"}
    if len(content) > 1_048_576:
        return found | {"too_large"}
    if any(byte == 0 for byte in content):
        return found | {"binary"}
    text = decoded(content)
    if text is None:
        return found | {"encoding"}
    if text[:1] == BYTE_ORDER_MARK:
        text = text[1:]
    return found | (_by_text(text, language) if text else {"empty"})


def _by_name(path: str) -> set[str]:
    hidden = any(unicodedata.category(letter)[0] in "CZ" and letter != " " for letter in path)
    return {"path"} if hidden or not 1 <= len(path) <= 500 else set()


def _by_text(text: str, language: str) -> set[str]:
    lengths = line_lengths(text)
    letters = 0
    for character in text:
        if unicodedata.category(character) in ("Lu", "Ll", "Lt", "Lm", "Lo"):
            letters += 1
    fails = {
        "average_line": sum(lengths) / len(lengths) > 100,
        "longest_line": max(lengths) > 1000,
        "alphabetic": letters / len(text) < 0.25,
        "xml": _has_xml_declaration(text) and language != "XSLT",
    }
    if language in ("JSON", "YAML"):
        fails["json_yaml_size"] = len(text) < 50 or len(text) > 5000
    if language == "HTML":
        visible = visible_characters(text)
        fails["html_text"] = visible < 100 or visible / len(text) < 0.2
    return {reason for reason, is_so in fails.items() if is_so}


def _has_xml_declaration(text: str) -> bool:
    declaration = "<?xml version="
    for start in range(100 - len(declaration) + 1):
        if text[start : start + len(declaration)] == declaration:
            return True
    return False


def line_lengths(text: str) -> list[int]:
    """Characters of each line without its end; a text that ends a line begins no other."""
    lengths, length, previous = [], 0, ""
    for character in text:
        if character == "\n" and previous == "\r":
            pass  # the second half of one line's end
        elif character in LINE_ENDS:
            lengths.append(length)
            length = 0
        else:
            length += 1
        previous = character
    if previous not in LINE_ENDS:
        lengths.append(length)
    return lengths


def decoded(content: bytes) -> str | None:
    """UTF-8 by the table of well-formed byte sequences (Unicode, table 3-7); None: not UTF-8."""
    characters, at = [], 0
    while at < len(content):
        first = content[at]
        if first < 0x80:
            more, number, least = 0, first, 0
        elif 0xC2 <= first <= 0xDF:
            more, number, least = 1, first & 0x1F, 0x80
        elif 0xE0 <= first <= 0xEF:
            more, number, least = 2, first & 0x0F, 0x800
        elif 0xF0 <= first <= 0xF4:
            more, number, least = 3, first & 0x07, 0x10000
        else:
            return None
        rest = content[at + 1 : at + 1 + more]
        if len(rest) < more or any(byte >> 6 != 0b10 for byte in rest):
            return None
        for byte in rest:
            number = number << 6 | byte & 0x3F
        if number < least or number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
            return None
        characters.append(chr(number))
        at += 1 + more
    return "".join(characters)


def visible_characters(page: str) -> int:
    """Characters outside tags, comments, scripts and styles, by the standard library's parser."""
    reader = _VisibleText()
    reader.feed(page)
    reader.close()
    return reader.characters


class _VisibleText(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.characters = 0, 0

    def handle_starttag(self, tag, attrs):
        self.hidden += tag in ("script", "style")

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style") and self.hidden > 0

    def handle_data(self, data):
        if not self.hidden:
            self.characters += len(data)
