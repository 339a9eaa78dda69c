# SPDX-License-Identifier: Apache-2.0
"""How fast are the kernels on this GPU, beside its own ceilings and beside others' kernels?

    python -m kernels.bench                    every case; benchmarks/results/<device>-<date>.json
    python -m kernels.bench --only mla         cases whose name has `mla`; nothing is written
    python -m kernels.bench --sweep            the fastest tiles into kernels/tiles.json
    python -m kernels.bench --table            the table of docs/kernels.md from the results

First the two ceilings: a product of large bfloat16 matrices of random numbers, and a copy from
device to device. Then each case: ours, cuDNN's, tokamax's where it is installed and XLA's take
turns; a figure is the median of 21 turns, each a row of launches. FLOPs are those of causal
attention, half of all; of packed documents those within documents, and beside them, as
"dense-causal", what a kernel that skipped nothing would need to reach. The backward pass is timed
alone. Errors are against the reference in float32, on part of the results. Exit status 1: something
of ours failed, or was wrong.
"""

import argparse
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

import jax

from kernels._bench import machine, measuring, report, suite, sweep, table

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


def main(argv: Sequence[str] | None = None) -> int:
    """Does what is asked; returns the exit status."""
    options = _options(argv)
    if options.table:
        table.write(RESULTS)
        return 0
    if jax.default_backend() != "gpu":
        print(f"error: jax {jax.__version__} sees no GPU", file=sys.stderr)
        return 1
    found = machine.measure()
    print(report.header(found), flush=True)
    if options.sweep:
        return sweep.run(found, options.only)
    return run(found, options.only)


def run(
    found: machine.Machine, only: str = "", results: Path = RESULTS, say: report.Say = report.say
) -> int:
    """Measures and prints; writes after each case what there is so far, where all are asked for."""
    cases = [case for case in suite.cases() if only in case.name]
    path = results / f"{report.slug(found.device)}-{datetime.date.today():%Y-%m-%d}.json"
    rows: list[measuring.Row] = []
    for row in measuring.rows(cases, found):
        rows.append(row)
        say(report.text(row))
        if not only:
            report.write(path, found, rows)
    say(report.ratios(rows))
    wrong = [row["case"] for row in rows if not measuring.is_right(row)]
    if wrong or not rows:
        say(
            f"error: {', '.join(wrong)}: failed or wrong"
            if wrong
            else f"error: no case has {only!r}"
        )
        return 1
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m kernels.bench", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--only", default="", help="cases, or entries of the sweep, that have this")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--sweep", action="store_true", help="rewrite kernels/tiles.json")
    what.add_argument("--table", action="store_true", help="rewrite the table of docs/kernels.md")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
