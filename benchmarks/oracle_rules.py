# SPDX-License-Identifier: Apache-2.0
"""The rule filters beside a slow reading of the paper, on every file of this machine's packages.

    make oracle NAME=rules                  all files of Python's packages and its standard library
    make oracle NAME=rules ARGS="DIR ..."   of these folders

The slow reading (`benchmarks/_slow_rules.py`) shares no code with the filters. Files without a
language that the corpus knows are judged as text, so that no file is left out. What linguist
decides, the language and what is vendored, generated or minified, is not compared here.

Ends with `oracle rules/<kind> precision=<p> recall=<r>` on the decisions to keep, for pages of
HTML apart: on damaged ones the standard library's parser, which the slow reading asks, shows what a
tag or script that is cut off would hide, and the insides of `<template>`; the filters' parser does
as browsers do. Exit status: 0 all decisions agree, those on HTML in 19 of 20 pages; 1 they do not.
"""

import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks import _slow_rules as slow_rules
from coder.config import write_json
from coder.data.filters import FilterConfig, Kept, check
from coder.data.html import visible_text
from coder.data.languages import PRESETS, Languages

RESULT = Path(__file__).parent / "results" / "oracle_rules.json"
RULES = FilterConfig(keep_vendored=True, keep_generated=True, keep_minified=True)
SHOWN = 10
HTML_AGREEMENT = 0.95


class EveryLanguage(Languages):
    """Those of DeepSeek-Coder, v1 and V2; anything else is text."""

    def of(self, path: str, text: str) -> str:
        """The language of a file."""
        return super().of(path, text) or "Text"

    def possible(self, path: str) -> bool:
        """No name is refused."""
        return True


def main(folders: list[str]) -> int:
    """Compares all files; returns the exit status."""
    paths = sysconfig.get_paths()
    languages = EveryLanguage(PRESETS["v1"] | PRESETS["v2"])
    decisions: dict[str, Counter[tuple[bool, bool]]] = {}
    causes: dict[str, list[str]] = {}
    for file in files(folders or [paths["purelib"], paths["stdlib"]]):
        kind, ours, theirs = judged(file, languages)
        decisions.setdefault(kind, Counter())[isinstance(ours, Kept), not theirs] += 1
        if cause := difference(ours, theirs):
            causes.setdefault(f"{kind}: {cause}", []).append(str(file))
    for cause, found in sorted(causes.items()):
        print(f"{cause}: {len(found)} files")
        for name in found[:SHOWN]:
            print(f"  {name}{texts_of(Path(name)) if 'html' in cause else ''}")
    rows = {kind: row_of(counts) for kind, counts in sorted(decisions.items())}
    for kind, row in rows.items():
        shown = " ".join(f"{name}={value:.6g}" for name, value in row.items())
        print(f"oracle rules/{kind} {shown}")
    write_json(RESULT, rows)
    return 0 if all(row["agreement"] >= bar(kind) for kind, row in rows.items()) else 1


def files(folders: list[str]) -> Iterator[Path]:
    """All files below folders, each once; byte code that Python has written is none of theirs."""
    seen = set[Path]()
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix == ".pyc" or not path.is_file() or path.is_symlink() or path in seen:
                continue
            seen.add(path)
            yield path


def judged(file: Path, languages: Languages) -> tuple[str, object, set[str]]:
    """The kind of a file, our decision and every reason of the slow reading."""
    with file.open("rb") as opened:
        content = opened.read(RULES.max_bytes + 1)
    text = content.decode(errors="replace")
    language = languages.of(file.name, text) or "Text"
    ours = check(file.name, content, RULES, languages)
    kind = language.lower() if language in ("HTML", "JSON", "YAML") else "text"
    return kind, ours, slow_rules.verdict(file.name, content, language)


def difference(ours: object, theirs: set[str]) -> str:
    """How the two disagree, in words; empty if they do not."""
    if isinstance(ours, Kept):
        return f"kept in spite of {' '.join(sorted(theirs))}" if theirs else ""
    return "" if ours in theirs else f"dropped for {ours}, which is not so"


def texts_of(file: Path) -> str:
    """What either parser sees of a page."""
    page = file.read_text(encoding="utf-8")
    return f" ({len(visible_text(page))} and {slow_rules.visible_characters(page)} of {len(page)})"


def row_of(counts: Counter[tuple[bool, bool]]) -> dict[str, float]:
    """Precision and recall of the files that we keep, and the share of equal decisions."""
    both, ours = counts[True, True], counts[True, True] + counts[True, False]
    theirs, total = both + counts[False, True], counts.total()
    return {
        "precision": both / ours if ours else 1.0,
        "recall": both / theirs if theirs else 1.0,
        "agreement": (both + counts[False, False]) / total,
        "files": total,
    }


def bar(kind: str) -> float:
    """Least share of equal decisions."""
    return HTML_AGREEMENT if kind == "html" else 1.0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
