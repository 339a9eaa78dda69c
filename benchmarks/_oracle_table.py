# SPDX-License-Identifier: Apache-2.0
"""The table of errors in docs/parity.md, from what `benchmarks.oracle_transformers` measured."""

from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "parity.md"
BEGIN, END = "<!-- begin: errors -->", "<!-- end: errors -->"
GENERATIONS = {"llama": "Llama", "v2": "DeepseekV2", "peft": "adapters"}


def write_table(report: dict[str, Any]) -> None:
    """Puts the errors into the page, between its two marks."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    lines = [BEGIN, "", f"Versions: {report['versions']}.", "", *_errors(report["rows"]), ""]
    lines += [*_faults(report["seeded"]), "", END]
    PAGE.write_text(before + "\n".join(lines) + after, encoding="utf-8")


def _errors(rows: dict[str, dict[str, float]]) -> list[str]:
    """A line for each check and generation, with its worst case: the one nearest to its bar."""
    groups: dict[tuple[str, str], list[tuple[str, dict[str, float]]]] = {}
    for name, row in rows.items():
        check, case = name.split("/")
        groups.setdefault((check, case.split("_")[0]), []).append((case, row))
    lines = ["| check | of | cases | worst case | error | bar |", "|---|---|--:|---|--:|--:|"]
    for (check, generation), found in groups.items():
        case, row = max(found, key=lambda pair: _nearness(pair[1]))
        lines.append(
            f"| `{check}` | {GENERATIONS[generation]} | {len(found)} | `{case}` | "
            f"{row['error']:.2g} | {row['bar']:.2g} |"
        )
    return lines


def _faults(rows: dict[str, dict[str, float]]) -> list[str]:
    lines = [
        "| fault put in | case | error of the logits | bar | at the first position |",
        "|---|---|--:|--:|--:|",
    ]
    for name, row in rows.items():
        fault, case = name.split("/")
        lines.append(
            f"| `{fault}` | `{case}` | {row['error']:.2g} | {row['bar']:.2g} | "
            f"{row['first_position']:.2g} |"
        )
    return lines


def _nearness(row: dict[str, float]) -> float:
    return row["error"] / row["bar"] if row["bar"] else row["error"]
