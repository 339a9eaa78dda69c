# SPDX-License-Identifier: Apache-2.0
"""Plots of a report, as PNG; matplotlib is imported here and nowhere else.

Variants have the colours of Okabe and Ito's palette, which colour-blind readers can tell apart, and a marker each.
"""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLORS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
VERDICT_COLORS = {"reproduced": "#009E73", "not-reproduced": "#D55E00", "inconclusive": "#767676"}
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "legend.frameon": False,
}
DOTS_PER_INCH = 150


def draw(report: dict[str, Any], folder: Path) -> dict[str, str]:
    """Writes every plot that the report has data for; returns its caption and file name."""
    drawn = {}
    with matplotlib.rc_context(STYLE):
        for name, caption, figure in (
            ("trade_off", "Left-to-right quality against infilling", trade_off(report)),
            ("claims", "What the claims rest on", claims(report)),
            ("curves", "Training loss", curves(report)),
        ):
            if figure is not None:
                figure.savefig(folder / f"{name}.png", dpi=DOTS_PER_INCH, bbox_inches="tight")
                drawn[caption] = f"{name}.png"
    return drawn


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _looks(report: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each variant, the same in every plot."""
    return {
        variant: (COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)])
        for i, variant in enumerate(report["variants"])
    }


def trade_off(report: dict[str, Any]) -> Figure | None:
    """Both qualities of each variant with their intervals, and its seeds as small points."""
    data = report["trade_off"]
    points = {v: p for v, p in (data or {"points": {}})["points"].items() if all(p)}
    if not points:
        return None
    figure, axes = _figure(6.4, 4.6)
    looks = _looks(report)
    for variant, (across, up) in points.items():
        color, marker = looks[variant]
        axes.errorbar(
            across["value"],
            up["value"],
            xerr=[[across["value"] - across["low"]], [across["high"] - across["value"]]],
            yerr=[[up["value"] - up["low"]], [up["high"] - up["value"]]],
            color=color,
            marker=marker,
            markersize=9,
            elinewidth=1.4,
            linestyle="none",
            label=variant,
        )
        axes.scatter(across["by_seed"], up["by_seed"], color=color, marker=marker, s=14, alpha=0.45)
    axes.set_xlabel(f"{data['across']} (bits per byte; left is better)")
    axes.set_ylabel(f"{data['up']} (bits per byte; down is better)")
    axes.set_title(f"{report['title']}: infilling against left to right")
    axes.legend()
    return figure


def claims(report: dict[str, Any]) -> Figure | None:
    """Every contrast behind a claim with its interval, claim by claim; right of zero is the paper's side."""
    rows = [
        (claim, contrast)
        for claim in report["claims"]
        for contrast in claim["contrasts"]
        if contrast["estimate"]
    ]
    if not rows:
        return None
    figure, axes = _figure(9.2, 0.9 + 0.36 * (len(rows) + len(report["claims"])))
    axes.axvline(0, color="#444444", linewidth=1)
    y, ticks, labels = 0.0, [], []
    previous = None
    for claim, contrast in rows:
        if claim is not previous:
            y -= 1.25
            text = f"{claim['statement']}: {claim['verdict']}"
            axes.annotate(
                text,
                (0, y),
                xycoords=("axes fraction", "data"),
                xytext=(-300, 0),
                textcoords="offset points",
                color=VERDICT_COLORS[claim["verdict"]],
                weight="bold",
                va="center",
                annotation_clip=False,
            )
            previous = claim
        y -= 0.85
        _forest_row(axes, y, contrast, VERDICT_COLORS[claim["verdict"]])
        ticks.append(y)
        aside = "" if contrast["role"] == "component" else f" ({contrast['role']})"
        labels.append(contrast["label"] + aside)
    axes.set_yticks(ticks, labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(y - 0.7, -0.5)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("bits per byte; right of zero is the paper's side (95 % interval over seeds, repositories, holes)")
    return figure


def _forest_row(axes: Axes, y: float, contrast: dict[str, Any], color: str) -> None:
    """One interval; hollow if the verdict does not rest on it."""
    estimate = contrast["estimate"]
    counts = contrast["role"] == "component"
    axes.plot([estimate["low"], estimate["high"]], [y, y], color=color, linewidth=2 if counts else 1)
    axes.plot(
        estimate["value"], y, "o", color=color, markersize=6, markerfacecolor=color if counts else "white"
    )


def curves(report: dict[str, Any]) -> Figure | None:
    """Training loss over steps: a thin line for each seed."""
    looks = _looks(report)
    if not any(report["curves"].values()):
        return None
    figure, axes = _figure(6.4, 4.2)
    for variant, seeds in report["curves"].items():
        for number, seed in enumerate(seeds):
            steps, losses = zip(*seed["points"], strict=True)
            label = variant if number == 0 else None
            axes.plot(steps, losses, color=looks[variant][0], linewidth=1, alpha=0.8, label=label)
    axes.set_xlabel("step")
    axes.set_ylabel("training loss (nats per token of its own objective)")
    axes.set_title(f"{report['title']}: training")
    axes.legend()
    return figure
