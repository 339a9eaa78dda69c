# SPDX-License-Identifier: Apache-2.0
"""Compiles every kernel for GPUs that are not there, and reports what the compilers say of it.

    make aot [ARGS="--only sm90/pallas_mosaic"]
    make aot ARGS=--candidates

Each entry of the tile table (`kernels/tiles.json`) is compiled for an A100 or an H200, whichever it
is for, on arguments of the sizes of real models. It fails where it does not compile, where a thread
has more values than registers and keeps them in memory ("spills"), where a block asks for more
shared memory than there is, or where products of bfloat16 are not those of tensor cores. With
`--candidates` this is asked of the tiles that `kernels.bench --sweep` would try, so that no time on
a GPU is lost with those that cannot be good.

It says nothing of speed, and the registers that it reports are those of the assembler that is
installed with it (requirements-aot.txt): a GPU host may have another. Exit status 1: an entry of
the table fails.
"""

import dataclasses
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import Progress

from benchmarks import _aot_verdicts as verdicts
from benchmarks._aot_entries import Entry, candidates, table
from benchmarks._worker import ROOT, Worker
from coder.config import write_json

RESULTS = ROOT / "benchmarks" / "results"

TABLE_WIDTH = 130
"""Columns without which the table loses its meaning, as in a log file."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Compiles the kernels of the tile table for A100 and H200, without either."""

    only: str = ""
    """Entries whose name has a match of this regular expression; they are printed, not written."""
    candidates: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """The tiles that a sweep would try, instead of those of the table."""


def main() -> int:
    """Compiles, prints and writes; returns the exit status."""
    options = tyro.cli(Options, description=__doc__)
    entries = candidates() if options.candidates else table()
    chosen = [entry for entry in entries if re.search(options.only, entry.name)]
    if not chosen:
        print(f"error: no entry's name matches --only {options.only!r}", file=sys.stderr)
        return 1
    rows = _compiled(chosen)
    Console(width=max(Console().width, TABLE_WIDTH)).print(verdicts.drawn(rows))
    for row in rows:
        print(verdicts.line(row))
    if not options.only:
        name = "aot_candidates.json" if options.candidates else "aot.json"
        write_json(RESULTS / name, {"rows": rows})
    failing = [row for row in rows if row["problems"]]
    for row in failing:
        print(f"error: {row['name']}: {'; '.join(row['problems'])}", file=sys.stderr)
    print(f"{len(rows) - len(failing)} of {len(rows)} compile as they should")
    return int(bool(failing) and not options.candidates)


def _compiled(entries: list[Entry]) -> list[dict[str, Any]]:
    """A row for each entry, in their order; a process for each architecture works on them."""
    by_architecture: dict[str, list[Entry]] = {}
    for entry in entries:
        by_architecture.setdefault(entry.key.architecture, []).append(entry)
    with (
        Progress(console=Console(stderr=True)) as progress,
        ThreadPoolExecutor(len(by_architecture)) as pool,
    ):
        task = progress.add_task("compiling", total=len(entries))
        sides = pool.map(
            lambda name: _answers(name, by_architecture[name], lambda: progress.advance(task)),
            by_architecture,
        )
        answers = {entry: answer for side in sides for entry, answer in side}
    return [verdicts.row(entry, answers[entry]) for entry in entries]


def _answers(
    architecture: str, entries: list[Entry], done: Callable[[], None]
) -> list[tuple[Entry, dict[str, Any]]]:
    """What became of entries of one architecture."""
    worker, answers = None, []
    for entry in entries:
        worker = worker or _worker(architecture)
        try:
            answer = worker.ask(entry.question())
        except SystemExit as end:  # A compiler that crashes takes its process along.
            answer, worker = {"kernels": [], "error": str(end)}, None
        answers.append((entry, answer))
        done()
    if worker:
        worker.close()
    return answers


def _worker(architecture: str) -> Worker:
    command = [sys.executable, "-m", "benchmarks._aot_worker"]
    return Worker(command, {"architecture": architecture}, threads=1)


if __name__ == "__main__":
    sys.exit(main())
