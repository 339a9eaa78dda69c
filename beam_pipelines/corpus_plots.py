# SPDX-License-Identifier: Apache-2.0
"""The plots of `corpus_report`, as the bytes of PNG files; equal manifests give equal bytes."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from beam_pipelines.paper_corpus import LANGUAGES
from beam_pipelines.reasons import STAGES, by_stage
from beam_pipelines.text_format import percent, power
from coder.report.plots import AXIS_COLOR, COLORS, DOTS_PER_INCH, STYLE

_OURS, _GONE, _PAPER = COLORS[1], COLORS[2], COLORS[0]
_MOST_LANGUAGES = 20
_MOST_TICKS = 9
_ROW, _GAP = 0.28, 0.45
"""Inches from bar to bar; more between groups, in bars."""


def draw(manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """Every plot that a manifest has data for: file name to PNG."""
    figures: dict[str, Figure] = {}
    with matplotlib.rc_context(rc=STYLE):
        figures["corpus_funnel.png"] = funnel(manifest["files"])
        if manifest["bytes"]:
            figures["corpus_languages.png"] = languages(manifest["bytes"])
            figures["corpus_documents.png"] = documents(manifest["document_sizes"])
        return {name: _png(figure) for name, figure in figures.items()}


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def funnel(files: Mapping[str, Any]) -> Figure:
    """Files left after each reason, and those that it took, with a gap between the stages."""
    rows: list[tuple[float, str, int, int]] = [(0, "read", files["read"], 0)]
    place, left = 0.0, files["read"]
    for stage, counts in by_stage(files["rejected"]).items():
        title = STAGES.get(stage, "other")
        place += 1 + _GAP
        for number, (reason, count) in enumerate((counts or {"": 0}).items()):
            place += 1 if number else 0
            left -= count
            label = reason if number else f"{title}:  {reason}" if reason else title
            rows.append((place, label, left, count))
    rows.append((place + 1 + _GAP, "kept", files["kept"], 0))
    figure = Figure(figsize=(9.6, 1.2 + _ROW * (rows[-1][0] + 1)), layout="constrained")
    axes = figure.add_subplot()
    places, labels, kept, gone = zip(*rows, strict=True)
    axes.barh(places, kept, color=_OURS, height=0.76)
    axes.barh(places, gone, left=kept, color=_GONE, height=0.76)
    for place, label, still, count in rows:
        end = label in ("read", "kept")
        text = f"{still:,}" if end else f"−{count:,}" if count else "none"
        color = _OURS if end else _GONE if count else AXIS_COLOR
        _annotate(axes, text, still + count, place, color)
    _bars(axes, places, labels)
    axes.set_xlim(0, 1.12 * max(1, files["read"]))
    axes.set_xlabel("files left (blue) and rejected (orange)")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_title("From read to kept")
    return figure


def languages(sizes: Mapping[str, int]) -> Figure:
    """Each language's share of the bytes, beside the paper's where that is known."""
    total = sum(sizes.values())
    shown = list(sizes.items())[:_MOST_LANGUAGES]
    rest = total - sum(size for _, size in shown)
    if rest:
        shown.append((f"{len(sizes) - _MOST_LANGUAGES} others", rest))
    figure = Figure(figsize=(9.6, 1.3 + _ROW * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    shares = [100 * size / total for _, size in shown]
    axes.barh(range(len(shown)), shares, color=_OURS, height=0.72, label="this corpus")
    known = [
        (place, 100 * LANGUAGES[name].share)
        for place, (name, _) in enumerate(shown)
        if name in LANGUAGES
    ]
    if known:
        places, theirs = zip(*known, strict=True)
        axes.plot(theirs, places, "D", color=_PAPER, markersize=6, label="DeepSeek-Coder, table 1")
        axes.legend(loc="lower right")
    for place, (_, number) in enumerate(shown):
        _annotate(axes, percent(number, total), shares[place], place, _OURS)
    _bars(axes, range(len(shown)), [name for name, _ in shown])
    axes.margins(x=0.1)
    axes.set_xlabel("share of the bytes (%)")
    axes.set_title("Languages")
    return figure


def _annotate(axes: Axes, text: str, across: float, place: float, color: str) -> None:
    """Text to the right of a bar's end."""
    axes.annotate(
        text, (across, place), (5, 0), textcoords="offset points", va="center", color=color
    )


def _bars(axes: Axes, places: Sequence[float], labels: Sequence[str]) -> None:
    """Names the bars, the first one on top."""
    axes.set_yticks(places, labels)
    axes.set_ylim(places[-1] + 0.6, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)


def documents(sizes: Mapping[str, Mapping[str, int]]) -> Figure:
    """How many documents have how many files, and how many bytes, by powers of two."""
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    for number, what in enumerate(("files", "bytes"), start=1):
        axes = figure.add_subplot(1, 2, number)
        counts = {int(least).bit_length(): count for least, count in sizes[what].items()}
        exponents = range(min(counts), max(counts) + 1)
        axes.bar(exponents, [counts.get(e, 0) for e in exponents], color=_OURS, width=0.86)
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(0, 3 * max(counts.values()))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        named = exponents[:: -(-len(exponents) // _MOST_TICKS)]
        axes.set_xticks(named, [power(1 << e >> 1) for e in named])
        axes.grid(axis="x", visible=False)
        axes.set_xlabel(f"{what} of a document: from this to twice as many")
        axes.set_title(f"Documents by {what}")
        if number == 1:
            axes.set_ylabel("documents (logarithmic)")
    return figure
