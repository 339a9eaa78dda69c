# SPDX-License-Identifier: Apache-2.0
"""Compiles every kernel for GPUs that are not there, and reports what the compilers say of it.

    make aot [ARGS="--only sm90/pallas_mosaic"]
    make aot ARGS=--candidates

Each entry of the tile table (`kernels/tiles.json`) is compiled for an A100 or an H200, whichever it
is for, on arguments of the sizes of real models. It fails where it does not compile, where a thread
has more values than registers and keeps them in memory ("spills"), where a block asks for more than
a core has, or where products of bfloat16 are not those of tensor cores. Then come whole training
steps, for one GPU and for two hosts of eight: they fail also where the model takes other kernels
than ours, or more memory than there is.

With `--candidates` it is the tiles that `kernels.bench --sweep` would try, so that no time on a GPU
is lost with those that cannot be good.

This says nothing of speed. The registers are those of the assembler that is installed with it
(requirements-aot.txt); a GPU host may have another. Exit status 1: something fails.
"""

import dataclasses
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import Progress

from benchmarks import _aot_verdicts as verdicts
from benchmarks._aot_entries import Entry, candidates, table
from benchmarks._aot_programs import PROGRAMS
from benchmarks._aot_verdicts import entry_row, program_row
from benchmarks._worker import ROOT, Worker
from coder.config import write_json

PACKAGES = ("jax", "jax-cuda13-plugin", "nvidia-cuda-nvcc")
RESULTS = ROOT / "benchmarks" / "results"

TABLE_WIDTH = 140
"""Columns without which the table loses its meaning, as in a log file."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Compiles the kernels of the tile table for A100 and H200, without either."""

    only: str = ""
    """What has a name with a match of this regular expression; printed, and not written."""
    candidates: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """The tiles that a sweep would try, instead of those of the table."""


@dataclasses.dataclass(frozen=True)
class Task:
    """Something to compile."""

    name: str
    architecture: str
    question: dict[str, Any]
    """What a worker is asked."""
    row: Callable[[dict[str, Any]], verdicts.Row]
    """What its answer comes to."""


def main() -> int:
    """Compiles, prints and writes; returns the exit status."""
    options = tyro.cli(Options, prog="python -m benchmarks.aot", description=__doc__)
    if sys.platform != "linux":
        print("error: NVIDIA's compilers, which make aot needs, are for Linux", file=sys.stderr)
        return 1
    try:
        re.compile(options.only)
    except re.error as error:
        print(f"error: --only {options.only!r} is no regular expression: {error}", file=sys.stderr)
        return 1
    entries = _entries((candidates if options.candidates else table)(options.only))
    programs = [] if options.candidates else _programs(options.only)
    if not entries + programs:
        print(f"error: no name has a match of --only {options.only!r}", file=sys.stderr)
        return 1
    rows = _compiled(entries + programs)
    console = Console(width=max(Console().width, TABLE_WIDTH))
    if entries:
        console.print(verdicts.drawn(rows[: len(entries)], verdicts.ENTRY_COLUMNS))
    if programs:
        console.print(verdicts.drawn(rows[len(entries) :], verdicts.PROGRAM_COLUMNS))
    for row in rows:
        print(verdicts.line(row))
    if not options.only:
        name = "aot_candidates.json" if options.candidates else "aot.json"
        versions = {package: version(package) for package in PACKAGES}
        write_json(RESULTS / name, {"versions": versions, "rows": rows})
    failing = [row for row in rows if row["problems"]]
    for row in rows:
        for warning in row["warnings"]:
            print(f"warning: {row['name']}: {warning}", file=sys.stderr)
    for row in failing:
        tile = row["figures"].get("tile", "")
        print(f"error: {row['name']} {tile}: {'; '.join(row['problems'])}", file=sys.stderr)
    print(f"{len(rows) - len(failing)} of {len(rows)} compile as they should")
    return int(bool(failing))


def _entries(entries: list[Entry]) -> list[Task]:
    return [
        Task(entry.name, entry.key.architecture, entry.question(), partial(entry_row, entry))
        for entry in entries
    ]


def _programs(only: str) -> list[Task]:
    return [
        Task(name, program.architecture, {"program": name}, partial(program_row, name, program))
        for name, program in PROGRAMS.items()
        if re.search(only, name)
    ]


def _compiled(tasks: list[Task]) -> list[verdicts.Row]:
    """A row for each task, in their order; a process for each architecture works on them."""
    architectures = sorted({task.architecture for task in tasks})
    with (
        Progress(console=Console(stderr=True)) as progress,
        ThreadPoolExecutor(len(architectures)) as pool,
    ):
        bar = progress.add_task("compiling", total=len(tasks))

        def work(architecture: str) -> list[verdicts.Row]:
            mine = [task for task in tasks if task.architecture == architecture]
            return _rows(architecture, mine, lambda: progress.advance(bar))

        by_architecture = dict(
            zip(architectures, map(iter, pool.map(work, architectures)), strict=True)
        )
    return [next(by_architecture[task.architecture]) for task in tasks]


def _rows(architecture: str, tasks: list[Task], done: Callable[[], None]) -> list[verdicts.Row]:
    """What became of the tasks of one architecture."""
    worker, rows = None, []
    for task in tasks:
        worker = worker or _worker(architecture)
        try:
            answer = worker.ask(task.question)
        except SystemExit as end:  # A compiler that crashes takes its process along.
            answer, worker = {"kernels": [], "error": str(end)}, None
        rows.append(task.row(answer))
        done()
    if worker:
        worker.close()
    return rows


def _worker(architecture: str) -> Worker:
    command = [sys.executable, "-m", "benchmarks._aot_worker"]
    return Worker(command, {"architecture": architecture}, threads=1)


if __name__ == "__main__":
    sys.exit(main())
