# SPDX-License-Identifier: Apache-2.0
"""The text of an HTML page that a reader sees, and a guard before the parser."""

import re
from collections import Counter

from selectolax.lexbor import LexborHTMLParser

_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
_LONG_TAG = re.compile(r"<[a-zA-Z][^<>]{16384}")
_MAX_DEPTH = 512
_END_TAG_OPTIONAL = frozenset(
    "area base br col dd dt embed hr img input li link meta option p param source tbody td tfoot "
    "th thead tr track wbr".split()
)


def is_overly_nested(html: str) -> bool:
    """Whether parsing might take minutes: deeper than 512 elements, or a tag longer than 16 KiB.

    The HTML standard has the parser search its stack of open elements at every tag and the
    attributes of a tag at every attribute, which is quadratic: 200,000 `<div>` take six minutes.
    Blink, too, stops at 512 elements. The depth is an estimate from the tags alone (elements whose
    end tag is optional are left out): open elements by name, so that a stray end tag hides none.
    """
    if _LONG_TAG.search(html):
        return True
    if html.count("<") <= _MAX_DEPTH:
        return False
    depth, is_open = 0, Counter[str]()
    for end, name in _TAG.findall(html):
        name = name.lower()
        if name in _END_TAG_OPTIONAL:
            continue
        if not end:
            is_open[name] += 1
            depth += 1
        elif is_open[name]:
            is_open[name] -= 1
            depth -= 1
        if depth > _MAX_DEPTH:
            return True
    return False


def visible_text(html: str) -> str:
    """The text of a page without scripts and styles, white space as it stands (as StarCoder does).

    Call `is_overly_nested` before.
    """
    tree = LexborHTMLParser(html)
    tree.strip_tags(["script", "style"])
    return tree.text()
