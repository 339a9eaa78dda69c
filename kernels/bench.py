# SPDX-License-Identifier: Apache-2.0
"""How fast are the kernels on this GPU, beside its own ceilings and beside others' kernels?

    python -m kernels.bench                    every case; benchmarks/results/<device>-<date>.json
    python -m kernels.bench --only mla         cases whose name has `mla`; nothing is written
    python -m kernels.bench --check            are they right? Nothing is timed or written
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

from kernels._bench import (
    attention_checks,
    checks,
    decode_checks,
    grouped_checks,
    machine,
    measuring,
    report,
    suite,
    sweep,
    table,
)
from kernels._bench.report import Results

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


def main(argv: Sequence[str] | None = None) -> int:
    """Does what is asked; returns the exit status."""
    options = _options(argv)
    if options.table:
        table.write(RESULTS)
        print(f"{table.PAGE}: written")
        return 0
    if jax.default_backend() != "gpu":
        print(f"error: jax {jax.__version__} sees no GPU", file=sys.stderr)
        return 1
    results = begin(written=not (options.only or options.check or options.sweep))
    if options.sweep:
        return sweep.run(results.machine, options.only)
    if options.check:
        return 0 if check(results, options.only) else 1
    return 0 if run(results, options.only) else 1


def begin(written: bool = True) -> Results:
    """Measures the ceilings."""
    found = machine.measure()
    path = RESULTS / f"{report.slug(found.device)}-{datetime.date.today():%Y-%m-%d}.json"
    results = Results(found, path if written else None)
    results.say(report.header(found))
    return results


def check(results: Results, only: str = "") -> bool:
    """Whether the kernels whose checks have `only` in their name are right."""
    subjects = [
        *attention_checks.subjects(),
        *decode_checks.subjects(),
        *grouped_checks.subjects(),
    ]
    for row in checks.run(subjects, only):
        results.add(results.checks, row, checks.text(row))
    wrong = [row["check"] for row in results.checks if "failed" in row]
    return _verdict(results, len(results.checks), wrong)


def run(results: Results, only: str = "") -> bool:
    """Whether everything of ours works in the cases whose name has `only`."""
    cases = [case for case in suite.cases() if only in case.name]
    for row in measuring.rows(cases, results.machine):
        results.add(results.cases, row, report.text(row))
    results.say(report.ratios(results.cases))
    wrong = [row["case"] for row in results.cases if not measuring.is_right(row)]
    return _verdict(results, len(results.cases), wrong)


def _verdict(results: Results, count: int, wrong: Sequence[str]) -> bool:
    if not count:
        results.say("error: nothing has that in its name")
    for name in wrong:
        results.say(f"error: {name}: failed or wrong")
    return bool(count) and not wrong


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m kernels.bench", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--only", default="", help="what has this in its name")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="compare with the reference")
    what.add_argument("--sweep", action="store_true", help="rewrite kernels/tiles.json")
    what.add_argument("--table", action="store_true", help="rewrite the table of docs/kernels.md")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
