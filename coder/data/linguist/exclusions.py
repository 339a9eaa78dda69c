# SPDX-License-Identifier: Apache-2.0
"""Files that Linguist leaves out of statistics, one function for each reason.

- vendored: taken over from elsewhere, by the path (its `vendor.yml`);
- generated: a program wrote it, by path and text (its `generated.rb`);
- minified: JavaScript or CSS without line breaks, which Linguist counts as generated.
"""

import functools
import re

from coder.data.linguist import ruby_regex
from coder.data.linguist.generated import LONGEST_PATH, extension_of, is_generated
from coder.data.linguist.tables import upstream

__all__ = ["is_generated", "is_minified", "is_vendored"]

_MINIFIED_NAME = re.compile(r"[.-]min\.(?:js|css|mjs|cjs)$", re.IGNORECASE)
_MINIFIED_LINE = 110
"""Bytes of a line, on average over the file, that are still written by hand."""


def is_vendored(path: str) -> bool:
    """Whether a path says that the file comes from another project.

    Linguist's list is broad: what is below `dist/`, `vendor/`, `.github/` or `tests/fixtures/`,
    type declarations (`.d.ts`) and well-known libraries' file names, anywhere in the path.
    """
    return _vendored().search(path[-LONGEST_PATH:]) is not None


def is_minified(path: str, text: str) -> bool:
    """Whether JavaScript or CSS is minified.

    By Linguist's rule, lines of more than 110 bytes on average (rounded down), or by the name
    (`x.min.js`, `x-min.css`; Linguist has those among the vendored files).
    """
    if _MINIFIED_NAME.search(path[-LONGEST_PATH:]):
        return True
    if extension_of(path).lower() not in (".js", ".css") or not text:
        return False
    breaks = text.count("\n")
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return (size - breaks) // (breaks + 1) > _MINIFIED_LINE


@functools.cache
def _vendored() -> re.Pattern[str]:
    """All patterns in one; those for whole parts of a path share the look for a part's start."""
    parts, others = [], []
    for pattern in upstream("vendor"):
        start = re.match(r"\(\^\|\\?/\)", pattern)
        if start:
            parts.append(pattern[start.end() :])
        else:
            # leading wildcards find nothing that the rest alone would not
            others.append(re.sub(r"^\(\[\^\\s\]\*\)|^\(\.\*\?\)", "", pattern))
    either = (*others, f"(?:^|/)(?:{'|'.join(map(ruby_regex.translate, parts))})")
    return re.compile("|".join(either), ruby_regex.FLAGS)
