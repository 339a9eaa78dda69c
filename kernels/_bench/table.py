# SPDX-License-Identifier: Apache-2.0
"""The tables of speeds in docs/kernels.md, from what `kernels.bench` measured."""

import json
from pathlib import Path
from typing import Any

from kernels._bench import bars

PAGE = Path(__file__).parents[2] / "docs" / "kernels.md"
BEGIN, END = "<!-- begin: speeds -->", "<!-- end: speeds -->"
_RESULTS = "*-[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].json"


def write(results: Path, page: Path = PAGE) -> None:
    """Puts the newest results of each device into the page, between its two marks."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    newest = {
        path.name[: -len("-2026-01-01.json")]: path for path in sorted(results.glob(_RESULTS))
    }
    lines = [BEGIN, "", *_bars()]
    for path in newest.values():
        lines += ["", *_device(path.name, json.loads(path.read_text(encoding="utf-8")))]
    if not newest:
        lines += ["", "No GPU has run them yet."]
    page.write_text(before + "\n".join([*lines, "", END]) + after, encoding="utf-8")


def _bars() -> list[str]:
    """What is asked, to pass and to be ahead."""
    lines = ["| on an H200 | to pass | to be ahead |", "|---|---|---|"]
    return lines + [f"| {bar.title} | {_asked(bar, 0)} | {_asked(bar, 1)} |" for bar in bars.BARS]


def _asked(bar: bars.Bar, place: int) -> str:
    asked = [f"{bar.share[place]:.2f} of peak"] if bar.share else []
    return ", ".join(asked + [f"{pair[place]:.1f} × {name}" for name, pair in bar.ratios.items()])


def _device(name: str, found: dict[str, Any]) -> list[str]:
    machine = found["machine"]
    versions = ", ".join(f"{key} {value}" for key, value in machine["versions"].items())
    lines = [
        f"**{machine['device']}** ([{name}](../benchmarks/results/{name})): "
        f"{machine['flops'] / 1e12:.0f} TFLOP/s, {machine['bandwidth'] / 1e9:.0f} GB/s. "
        f"{versions}.",
        "",
        "| case | implementation | speed | of peak | max error | others' time over ours | bar |",
        "|---|---|--:|--:|--:|---|---|",
    ]
    return lines + [line for row in found["cases"] for line in _case(row)]


def _case(row: dict[str, Any]) -> list[str]:
    """A line for each of ours: first the one that serves, with ratios and verdict."""
    lines = []
    for name, result in row["results"].items():
        if not result["ours"] or name.endswith(" dense"):
            continue
        if "seconds" not in result:
            lines.append(f"| `{row['case']}` | {name} | failed | | | | |")
            continue
        is_best = name == row["best"]
        ratios = ", ".join(f"{key} {value:.2f}" for key, value in row["ratios"].items())
        lines.append(
            f"| `{row['case']}` | {name} | {_rate(result)} | {result['share']:.2f} | "
            f"{result['max_error']:.1e} | {ratios if is_best else ''} | "
            f"{row['verdict'] if is_best else ''} |"
        )
    return lines


def _rate(result: dict[str, Any]) -> str:
    if "gb_per_s" in result:
        return f"{result['gb_per_s']:.0f} GB/s"
    dense = f" (dense-causal {result['dense_tflops']:.0f})" if "dense_tflops" in result else ""
    return f"{result['tflops']:.0f} TFLOP/s{dense}"
