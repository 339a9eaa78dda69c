# SPDX-License-Identifier: Apache-2.0
"""Plots of an experiment's report, as PNG, and the style of all plots.

Variants have the colours of Okabe and Ito's palette, which colour-blind readers can tell apart, and
a marker each.
"""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLORS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
VERDICT_COLORS = {"reproduced": "#009E73", "not-reproduced": "#D55E00", "inconclusive": "#767676"}
AXIS_COLOR = "#444444"
STYLE: Any = {
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
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "legend.frameon": False,
}
DOTS_PER_INCH = 150


def draw(report: dict[str, Any], folder: Path) -> dict[str, str]:
    """Writes every plot that the report has data for; returns its caption and file name."""
    drawn = {}
    with matplotlib.rc_context(rc=STYLE):
        for name, caption, figure in (
            ("trade_off", "What infilling gains against what it costs", trade_off(report)),
            ("claims", "What the claims rest on", claims(report)),
            ("curves", "Training loss", curves(report)),
        ):
            if figure is not None:
                figure.savefig(folder / f"{name}.png", dpi=DOTS_PER_INCH)
                drawn[caption] = f"{name}.png"
    return drawn


def _looks(report: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each variant, the same in every plot."""
    return {
        variant: (COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)])
        for i, variant in enumerate(report["variants"])
    }


def trade_off(report: dict[str, Any]) -> Figure | None:
    """Gain over cost with intervals, the seeds as small points; the reference is at the origin."""
    data = report["trade_off"]
    if not data or not any(
        all(pair) for panel in data["panels"] for pair in panel["points"].values()
    ):
        return None
    figure = Figure(figsize=(4.6 * len(data["panels"]), 4.3), layout="constrained")
    looks = _looks(report)
    for number, panel in enumerate(data["panels"], start=1):
        axes = figure.add_subplot(1, len(data["panels"]), number)
        axes.axhline(0, color=AXIS_COLOR, linewidth=1)
        axes.axvline(0, color=AXIS_COLOR, linewidth=1)
        color, marker = looks[data["reference"]]
        axes.plot(0, 0, marker, color=color, markersize=8, label=data["reference"])
        for variant, (across, up) in panel["points"].items():
            if across and up:
                _point(axes, across, up, *looks[variant], variant)
        axes.set_title(panel["title"])
        axes.set_xlabel(data["across_label"])
        axes.margins(0.12)
        if number == 1:
            axes.set_ylabel(data["up_label"])
            axes.legend(loc="best")
    figure.suptitle(f"{report['title']}: up and left is better", x=0.01, ha="left")
    return figure


def _point(
    axes: Axes, across: dict[str, Any], up: dict[str, Any], color: str, marker: str, label: str
) -> None:
    """One variant with both intervals and its seeds."""
    axes.errorbar(
        across["value"],
        up["value"],
        xerr=[[across["value"] - across["low"]], [across["high"] - across["value"]]],
        yerr=[[up["value"] - up["low"]], [up["high"] - up["value"]]],
        color=color,
        marker=marker,
        markersize=8,
        elinewidth=1.5,
        linestyle="none",
        label=label,
    )
    if across["seeds"] == up["seeds"]:
        axes.scatter(across["by_seed"], up["by_seed"], color=color, marker=marker, s=12, alpha=0.4)


def claims(report: dict[str, Any]) -> Figure | None:
    """The contrasts behind each claim with their intervals; right of zero is the paper's side."""
    panels = [
        (claim, [contrast for contrast in claim["contrasts"] if contrast["estimate"]])
        for claim in report["claims"]
    ]
    panels = [(claim, contrasts) for claim, contrasts in panels if contrasts]
    if not panels:
        return None
    heights = [len(contrasts) + 1.3 for _, contrasts in panels]
    figure = Figure(figsize=(9.6, 0.8 + 0.36 * sum(heights)), layout="constrained")
    grid = figure.add_gridspec(len(panels), 1, height_ratios=heights)
    for row, (claim, contrasts) in enumerate(panels):
        _forest(figure.add_subplot(grid[row]), claim, contrasts)
    figure.supxlabel(
        "right of zero is the paper's side (bits per byte, 95 % intervals)\n"
        "filled: the verdict rests on it; hollow: a premise, or for comparison",
        fontsize=9,
    )
    figure.suptitle(report["title"], x=0.01, ha="left")
    return figure


def _forest(axes: Axes, claim: dict[str, Any], contrasts: list[dict[str, Any]]) -> None:
    """One claim: a line for each contrast, on a scale of its own."""
    color = VERDICT_COLORS[claim["verdict"]]
    axes.axvline(0, color=AXIS_COLOR, linewidth=1)
    for y, contrast in enumerate(contrasts):
        estimate, component = contrast["estimate"], contrast["role"] == "component"
        axes.plot(
            [estimate["low"], estimate["high"]],
            [y, y],
            color=color,
            linewidth=2.2 if component else 1.2,
        )
        face = color if component else "white"
        axes.plot(estimate["value"], y, "o", color=color, markersize=6.5, markerfacecolor=face)
    axes.set_yticks(range(len(contrasts)), [contrast["label"] for contrast in contrasts])
    axes.set_ylim(len(contrasts) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    verdict = claim["verdict"].replace("-", " ")
    # The title begins at the left edge of the figure, for it is longer than the axes; a blank one
    # makes room for it.
    axes.set_title(" ")
    axes.annotate(
        f"{claim['statement']}: {verdict}",
        (0.01, 1),
        xycoords=(axes.figure.transFigure, axes.transAxes),
        xytext=(0, 7),
        textcoords="offset points",
        color=color,
        weight="bold",
        annotation_clip=False,
    ).set_in_layout(False)


def curves(report: dict[str, Any]) -> Figure | None:
    """Training loss over steps: the mean over seeds, and the range of the seeds."""
    if not any(report["curves"].values()):
        return None
    figure = Figure(figsize=(7.2, 4.3), layout="constrained")
    axes = figure.add_subplot()
    for variant, seeds in report["curves"].items():
        by_step: dict[int, list[float]] = {}
        for step, loss in (point for seed in seeds for point in seed["points"]):
            by_step.setdefault(step, []).append(loss)
        if not by_step:
            continue
        steps, losses = zip(*sorted(by_step.items()), strict=True)
        color = _looks(report)[variant][0]
        axes.plot(
            steps, [sum(at) / len(at) for at in losses], color=color, linewidth=1.4, label=variant
        )
        axes.fill_between(
            steps, [min(at) for at in losses], [max(at) for at in losses], color=color, alpha=0.15
        )
    axes.set_xscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("training loss (nats per token, each on its own examples)")
    axes.set_title(f"{report['title']}: mean and range over seeds")
    axes.legend()
    return figure
