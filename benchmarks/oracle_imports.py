# SPDX-License-Identifier: Apache-2.0
"""Our dependency graphs beside those of other tools, on real projects: `make oracle NAME=imports`.

    make oracle NAME=imports                       every family whose tools are on this machine
    make oracle NAME=imports ARGS="python c"       these families
    python -m benchmarks.oracle_imports --table    the results as a table, into docs/dependencies.md

Prints `oracle imports/<language>/<project> precision=<p> recall=<r>` for each project, whose files
are fetched by name, and the first edges that only one side has; keeps the figures in
benchmarks/results/oracle_imports.json. Exit status: 0 all bars are met, 1 some are not or a family
could not be compared, 2 there is no such family.
"""

import importlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coder.config import write_json

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "oracle_imports.json"
DOCUMENT = ROOT / "docs" / "dependencies.md"
BEGIN, END = "<!-- oracle_imports: written by --table -->\n", "<!-- /oracle_imports -->\n"

SHOWN = 5
"""Edges of either side alone that are printed."""


@dataclass(frozen=True)
class Family:
    """Languages that one resolver reads; `benchmarks/oracle_imports_<name>.py` has the projects."""

    tools: tuple[str, ...]
    """Programs that have to be on the PATH."""
    bar: float
    """Least precision and recall."""
    oracle: str
    """What we compare with, for the table."""


FAMILIES = {
    "python": Family((), 0.99, "grimp"),
    "c": Family(("gcc",), 0.98, "gcc -E"),
    "java": Family(("javac",), 0.97, "javac"),
    "javascript": Family(("node", "npm"), 0.97, "dependency-cruiser"),
}


def main(arguments: list[str]) -> int:
    """The command line; returns the exit status."""
    if arguments == ["--table"]:
        write_table()
        return 0
    if unknown := [name for name in arguments if name not in FAMILIES]:
        print(f"no family {unknown[0]}: choose from {' '.join(FAMILIES)}", file=sys.stderr)
        return 2
    results: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    good = True
    for name in arguments or FAMILIES:
        found = compare(name)
        good = good and bool(found) and all(meets_bar(*item) for item in found.items())
        if found:
            others = {case: row for case, row in results.items() if row["family"] != name}
            results = others | found
            write_json(RESULT, dict(sorted(results.items())))
    return 0 if good else 1


def compare(name: str) -> dict[str, dict[str, Any]]:
    """The figures of each project of a family; none, and a line why, if they cannot be had."""
    family = FAMILIES[name]
    if missing := [tool for tool in family.tools if not shutil.which(tool)]:
        print(f"oracle imports/{name} skipped: needs {' and '.join(missing)} on the PATH")
        return {}
    found = {}
    try:
        for case, ours, theirs in importlib.import_module(
            f"benchmarks.oracle_imports_{name}"
        ).rows():
            found[case] = {
                "family": name,
                "precision": len(ours & theirs) / max(1, len(ours)),
                "recall": len(ours & theirs) / max(1, len(theirs)),
                "edges": len(theirs),
            }
            show(case, found[case], ours - theirs, theirs - ours)
    except subprocess.CalledProcessError as error:
        print(f"oracle imports/{name} stopped: {error}", file=sys.stderr)
        return {}
    return found


def bar_of(case: str, row: dict[str, Any]) -> float | None:
    """What is asked of a project's figures; None of a second tool, `<project>/<tool>`."""
    return None if case.count("/") > 1 else FAMILIES[row["family"]].bar


def meets_bar(case: str, row: dict[str, Any]) -> bool:
    """Whether a project's figures are as good as asked of its family."""
    return min(row["precision"], row["recall"]) >= (bar_of(case, row) or 0)


def show(
    case: str, row: dict[str, Any], only_ours: set[tuple[str, str]], only_theirs: set[Any]
) -> None:
    """The line of a project, and where the two sides differ."""
    figures = f"precision={row['precision']:.4f} recall={row['recall']:.4f} edges={row['edges']}"
    below = "" if meets_bar(case, row) else f" below the bar of {bar_of(case, row)}"
    print(f"oracle imports/{case} {figures}{below}", flush=True)
    for kind, pairs in (("ours", only_ours), ("theirs", only_theirs)):
        for path, needed in sorted(pairs)[:SHOWN]:
            print(f"  only {kind}: {path} -> {needed}")
        if len(pairs) > SHOWN:
            print(f"  only {kind}: and {len(pairs) - SHOWN} more")


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results in Markdown."""
    lines = ["| project | beside | edges | precision | recall | bar |", "|---|---|---|---|---|---|"]
    for case, row in results.items():
        family = FAMILIES[row["family"]]
        tool = case.split("/")[2] if case.count("/") > 1 else family.oracle
        figures = f"{row['precision']:.4f} | {row['recall']:.4f} | {bar_of(case, row) or '–'}"
        lines.append(f"| {case} | {tool} | {row['edges']:,} | {figures} |")
    return "\n".join(lines) + "\n"


def write_table() -> None:
    """Puts the table of the last results between its marks in the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    made = table(json.loads(RESULT.read_text()))
    DOCUMENT.write_text(before + BEGIN + made + END + after, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
