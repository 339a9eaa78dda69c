# SPDX-License-Identifier: Apache-2.0
"""A report of `coder.report.summary` as Markdown, on the terminal, and as lines for scripts."""

from collections.abc import Collection
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

MARKS = {"reproduced": "✓", "not-reproduced": "✗", "inconclusive": "?"}
COLORS = {"reproduced": "green", "not-reproduced": "red", "inconclusive": "yellow"}
MISSING = "–"
LEGEND = (
    "Bits per byte if no other unit is given: mean over seeds ± 95 % interval over seeds, "
    "repositories and holes; ↓ less is better, ↑ more is better"
)


def number(estimate: dict[str, Any] | None, unit: str, signed: bool = False) -> str:
    """An estimate as `1.234 ±0.012`, in percent for shares."""
    if estimate is None:
        return MISSING
    half = (estimate["high"] - estimate["low"]) / 2
    sign = "+" if signed else ""
    if unit == "share":
        return f"{100 * estimate['value']:{sign}.1f} ±{100 * half:.1f} %"
    return f"{estimate['value']:{sign}.3f} ±{half:.3f}"


def signed_interval(estimate: dict[str, Any] | None) -> str:
    """A contrast as `+0.123 [+0.100, +0.146]`."""
    if estimate is None:
        return "not measured"
    return f"{estimate['value']:+.4f} [{estimate['low']:+.4f}, {estimate['high']:+.4f}]"


def bucket_name(bucket: list[int]) -> str:
    """A range of hole lengths, as `4–8 tokens`."""
    first, last = bucket
    return f"{first}–{last} tokens" if last < 1000 else f"{first}+ tokens"


def measure_rows(report: dict[str, Any]) -> list[list[str]]:
    """The main table: measure, a cell for every variant, the paper's figure."""
    arrows = {"lower": "↓", "higher": "↑"}
    units = {"bits per byte": "", "share": "", "nats per item": ", nats"}
    return [
        [
            f"{measure['label']}{units[measure['unit']]} {arrows[measure['better']]}",
            *(number(measure["estimates"][v], measure["unit"]) for v in report["variants"]),
            measure["paper"],
        ]
        for measure in report["measures"]
    ]


def markdown(report: dict[str, Any], plots: dict[str, str]) -> str:
    """The whole report; `plots` maps a caption to the file name of its image."""
    parts = [f"# {report['title']}", report["question"], f"Paper: {report['paper']}."]
    parts += [f"**{notice}**" for notice in _notices(report)]
    parts += ["## Claims", *(_claim_markdown(claim) for claim in report["claims"])]
    parts += [
        "## Held-out measurements",
        f"{LEGEND}.",
        table(["", *report["variants"], "paper"], measure_rows(report)),
    ]
    for breakdown in report["breakdowns"]:
        header = ["", *(bucket_name(bucket) for bucket in breakdown["buckets"])]
        counts = [_items(breakdown, b) for b in range(len(breakdown["buckets"]))]
        rows = [
            [row["label"], *(number(e, breakdown["unit"]) for e in row["estimates"])]
            for row in breakdown["rows"]
        ]
        parts += [f"### {breakdown['title']}", f"{breakdown['unit']}, by hole length."]
        parts += [table(header, [["holes", *counts], *rows])]
    parts += [f"![{caption}]({file})" for caption, file in plots.items()]
    facts = [[name, value] for name, value in report["facts"].items()]
    parts += ["## What was run", table(["", ""], facts), *report["notes"]]
    return "\n\n".join(parts) + "\n"


def _items(breakdown: dict[str, Any], bucket: int) -> str:
    """Holes behind a column of a breakdown."""
    counts = [
        row["estimates"][bucket]["items"] for row in breakdown["rows"] if row["estimates"][bucket]
    ]
    return str(max(counts, default=0))


def _claim_markdown(claim: dict[str, Any]) -> str:
    """A claim as a heading, its verdict with the reason, and a table of its contrasts."""
    rows = [
        [contrast["role"], contrast["label"], signed_interval(contrast["estimate"])]
        for contrast in claim["contrasts"]
    ]
    lines = [
        f"### {MARKS[claim['verdict']]} {claim['statement']}: {claim['verdict']}",
        f"{_first_upper(claim['reason'])}{_advice(claim)}. {claim['caveat']}".strip(),
        f"Paper: {claim['paper']}.",
        table(["", "above zero if the paper's finding holds", "estimate [95 % interval]"], rows),
    ]
    return "\n\n".join(lines)


def _first_upper(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def table(header: list[str], rows: list[list[str]], numbers: Collection[int] = ()) -> str:
    """A Markdown table, with `|` escaped; the columns `numbers` are aligned to the right."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    marks = ["---:" if column in numbers else "---" for column in range(len(header))]
    return "\n".join([line(header), line(marks), *map(line, rows)])


def show(report: dict[str, Any], console: Console) -> None:
    """Prints the main table and the verdicts."""
    main = Table(
        box=box.SIMPLE_HEAD,
        padding=0,
        title=report["title"],
        title_style="bold",
        caption=f"{report['facts']['runs']}. {LEGEND}.",
    )
    main.add_column("")
    for variant in report["variants"]:
        main.add_column(variant, justify="right", no_wrap=True)
    for row in measure_rows(report):
        main.add_row(*row[:-1])
    console.print(main)
    for line in _notices(report):
        console.print(Text(line, style="bold yellow"), soft_wrap=True)
    for claim in report["claims"]:
        mark = Text(
            f"{MARKS[claim['verdict']]} {claim['verdict']}: ", style=COLORS[claim["verdict"]]
        )
        console.print(mark.append(claim["statement"], style="bold"))
        details = [f"{claim['reason']}{_advice(claim)}"]
        details += [f"{signed_interval(c['estimate'])}  {c['label']}" for c in claim["contrasts"]]
        for line in details:
            console.print(Padding(Text(line, style="dim"), (0, 0, 0, 2)))


def _notices(report: dict[str, Any]) -> list[str]:
    """What a reader must know before the figures."""
    named = {
        "Missing runs": report["missing"],
        "Settings changed on the command line": report["overrides"],
    }
    notices = [f"{name}: {', '.join(values)}" for name, values in named.items() if values]
    estimates = [e for measure in report["measures"] for e in measure["estimates"].values() if e]
    if any(len(estimate["seeds"]) == 1 for estimate in estimates):
        notices.append("Intervals of a single seed cover repositories and holes, not seeds")
    return notices


def _advice(claim: dict[str, Any]) -> str:
    """The advice of a claim, to follow its reason."""
    return f"; {claim['advice']}" if claim["advice"] else ""


def script_lines(report: dict[str, Any]) -> list[str]:
    """A line for each claim: `claim <experiment>/<id> <verdict>`."""
    return [f"claim {report['experiment']}/{c['id']} {c['verdict']}" for c in report["claims"]]
