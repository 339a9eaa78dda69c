# SPDX-License-Identifier: Apache-2.0
"""What the paper's corpus would cost, on paper, from what was measured on this machine.

    python -m benchmarks.scale           prints the tables
    python -m benchmarks.scale --write   puts them into docs/scale.md

The figures are those of benchmarks/results/corpus.json (`make bench NAME=corpus`: MB/s of each
stage on one core) and corpus_scale.json (the same with ARGS="--scale": the whole pipeline, Beam's
own work included), and what the paper says of its corpus (`beam_pipelines/paper_corpus.py`).
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from beam_pipelines import paper_corpus as paper

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENT = ROOT / "docs" / "scale.md"
BEGIN, END = "<!-- scale: written by --write -->\n", "<!-- /scale -->\n"

CORES = 1000
"""Of the cluster whose days are reckoned."""
KEPT = paper.BYTES
READ = paper.BYTES / paper.KEPT_SHARE
FILES_KEPT = paper.FILES
FILES_READ = paper.FILES / paper.KEPT_SHARE
"""Assumed: the rules keep the same share of the files as of the bytes."""

Row = tuple[str, float, float]
"""What is done, to how many bytes, at how many MB/s."""


def main(arguments: list[str]) -> int:
    """The command line; returns the exit status."""
    measured = json.loads((RESULTS / "corpus.json").read_text())
    whole = json.loads((RESULTS / "corpus_scale.json").read_text())
    made = hours_table(measured, whole) + "\n" + shuffle_table(measured)
    if arguments == ["--write"]:
        text = DOCUMENT.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        after = rest.partition(END)[2]
        DOCUMENT.write_text(before + BEGIN + made + END + after, encoding="utf-8")
    else:
        print(made)
    return 0


def work(measured: dict[str, dict]) -> Iterator[Row]:
    """Every pass over the data, with the bytes that it takes."""
    speed = {name: row["megabytes"] / row["seconds"]["ours"] for name, row in measured.items()}
    resolvers = {name: value for name, value in speed.items() if name.startswith("resolve_")}
    yield "unpacking (tar.gz)", READ, speed["read_tar_gz"]
    yield "reading, languages, rules, hash", READ, speed["filter"]
    yield "unpacking again, to order", READ, speed["read_tar_gz"]
    rest = 1.0
    for language, name in (("Java", "java"), ("Python", "python"), ("C++", "c")):
        share = paper.LANGUAGES[language].share
        rest -= share
        yield f"imports of {language}", KEPT * share, speed[f"resolve_{name}"]
    slowest = min(resolvers, key=lambda name: resolvers[name])
    yield f"imports of the rest, as {slowest.removeprefix('resolve_')}", KEPT * rest, speed[slowest]
    yield "licences", KEPT, speed["licences"]
    yield "shingles against the held-out files", KEPT, speed["shingles"]
    yield "check sums and framing", KEPT, speed["write"]


def hours_table(measured: dict[str, dict], whole: dict) -> str:
    """Core-hours of each pass, their sum, and what the whole pipeline's own speed comes to."""
    lines = ["| pass | GB | MB/s per core | core-hours |", "|---|---|---|---|"]
    total = 0.0
    for name, size, speed in work(measured):
        hours = size / 1e6 / speed / 3600
        total += hours
        lines.append(f"| {name} | {size / 1e9:,.0f} | {speed:,.0f} | {hours:,.1f} |")
    end_to_end = whole["megabytes"] / whole["processes"]["1"]["seconds"]
    hours = READ / 1e6 / end_to_end / 3600
    lines.append(f"| **sum of the passes** | | | **{total:,.0f}** |")
    lines.append(
        f"| **the whole pipeline as measured** | {READ / 1e9:,.0f} | {end_to_end:,.1f} "
        f"| **{hours:,.0f}** ({hours / CORES:,.1f} hours on {CORES:,} cores) |"
    )
    return "\n".join(lines) + "\n"


def shuffle_table(measured: dict[str, dict]) -> str:
    """Bytes of each shuffle."""
    listed, kept = (measured["filter"]["shuffled"][name] for name in ("listed", "kept"))
    shuffles = (
        ("batches of listed files, spread", FILES_READ, listed),
        ("files that pass, to shards between the stages", FILES_KEPT, kept),
        ("by content, for exact duplicates", FILES_KEPT, kept),
        ("by output shard", FILES_KEPT, kept),
    )
    lines = ["| shuffle | million records | bytes each | GB |", "|---|---|---|---|"]
    total = 0.0
    for name, records, size in shuffles:
        total += records * size
        lines.append(
            f"| {name} | {records / 1e6:,.0f} | {size:.0f} | {records * size / 1e9:,.0f} |"
        )
    lines.append(f"| **all** | | | **{total / 1e9:,.0f}** |")
    lines.append(
        f"| the same if texts were shuffled | {FILES_READ / 1e6:,.0f} | "
        f"{READ / FILES_READ:,.0f} | {(READ + 3 * KEPT) / 1e9:,.0f} |"
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
