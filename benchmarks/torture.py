# SPDX-License-Identifier: Apache-2.0
"""Everything that reads strangers' files, fed with hostile ones: `make torture N=100000`.

    make torture                        a short run
    make torture N=100000               inputs in all, spread over the targets
    make torture ARGS="--only rules"    some targets
    make torture ARGS="--replay rules/0/17"    one input again, in this process

No exception may escape, no input may take more than a second of processor time, and each must be
accounted for. The work is done in a process of its own: one that crashes, or gives no answer for
`WATCHDOG` seconds, is ended, and the next one goes on after the input that did it. Failures are
saved below runs/torture/. Prints the fates of each target's inputs and its slowest one; exit
status 1 after any failure.
"""

import argparse
import json
import multiprocessing
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks._torture_inputs import make, real_files
from benchmarks._torture_targets import targets

FAILURES = Path("runs/torture")
SECONDS = 1.0
"""Processor time that one input may take."""
WATCHDOG = 20.0
"""Seconds without an answer after which the process is ended; more than SECONDS, as other
processes take their share of the machine."""


@dataclass
class Result:
    """What became of a target's inputs."""

    inputs: int = 0
    fates: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    slowest_seed: str = ""
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """One input's fates, or what went wrong with it."""

    number: int
    seconds: float
    fates: Counter[str]
    error: str = ""


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("inputs", nargs="?", type=int, default=3000, help="inputs in all")
    parser.add_argument("--seed", type=int, default=0, help="other seeds make other inputs")
    parser.add_argument("--only", nargs="+", choices=sorted(targets()), help="some targets")
    parser.add_argument("--replay", metavar="TARGET/SEED/NUMBER", help="one input again")
    options = parser.parse_args(arguments)
    if options.replay:
        target = options.replay.partition("/")[0]
        print(targets()[target](options.replay))
        return 0
    names = options.only or sorted(targets())
    results = {}
    for name in names:
        results[name] = run(name, options.seed, -(-options.inputs // len(names)))
    show(results)
    return 1 if any(result.failures for result in results.values()) else 0


def run(target: str, seed: int, inputs: int) -> Result:
    """Feeds one target."""
    result, start = Result(), time.monotonic()
    context = multiprocessing.get_context("spawn")
    while result.inputs < inputs:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(target, seed, result.inputs, inputs, theirs))
        process.start()
        theirs.close()
        try:
            listen(ours, target, seed, inputs, result)
        except (EOFError, TimeoutError) as error:
            ended = "hang" if isinstance(error, TimeoutError) else "crash"
            process.kill()
            process.join()
            if result.inputs < inputs:
                why = f"{ended}, exit status {process.exitcode}"
                note_failure(result, f"{target}/{seed}/{result.inputs}", why)
                result.fates[ended] += 1
                result.inputs += 1
        process.join()
    seconds = time.monotonic() - start
    print(
        f"{target}: {inputs} inputs in {seconds:.0f} s, {len(result.failures)} failures", flush=True
    )
    return result


def work(target: str, seed: int, first: int, inputs: int, answers: Connection) -> None:
    """Reads the inputs from `first` on, in a process of its own."""
    read = targets()[target]
    real_files()  # which takes a while once
    answers.send(None)
    for number in range(first, inputs):
        fates, error, start = Counter[str](), "", time.process_time()
        try:
            fates = read(f"{target}/{seed}/{number}")
        except Exception:
            error = traceback.format_exc()
        answers.send(Answer(number, time.process_time() - start, fates, error))


def listen(answers: Connection, target: str, seed: int, inputs: int, result: Result) -> None:
    """Takes the answers of one process.

    Raises:
        EOFError: it died.
        TimeoutError: it has not answered for too long.
    """
    if answers.poll(120):
        answers.recv()  # it has begun
    while result.inputs < inputs:
        if not answers.poll(WATCHDOG):
            raise TimeoutError
        answer: Answer = answers.recv()
        name = f"{target}/{seed}/{answer.number}"
        result.inputs += 1
        result.fates.update(answer.fates)
        if answer.seconds > result.slowest:
            result.slowest, result.slowest_seed = answer.seconds, name
        if answer.error:
            result.fates["exception"] += 1
            note_failure(result, name, answer.error)
        elif answer.seconds > SECONDS:
            note_failure(result, name, f"took {answer.seconds:.2f} s")
        elif not answer.fates:
            note_failure(result, name, "was neither read nor refused")


def note_failure(result: Result, name: str, why: str) -> None:
    """Keeps a failure, with what is needed to have it again."""
    result.failures.append(name)
    folder = FAILURES / name.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "why.txt").write_text(
        f'{why}\nmake torture ARGS="--replay {name}"\n', encoding="utf-8"
    )
    (folder / "input").write_bytes(make(name))
    print(
        f"{name}: {why.strip().splitlines()[-1][:200]}; see {folder}", file=sys.stderr, flush=True
    )


def show(results: dict[str, Result]) -> None:
    """A table, and the same as plain lines."""
    table = Table("target", "inputs", "fates", "slowest", "failures", title="Hostile inputs")
    for name, result in results.items():
        fates = ", ".join(f"{fate} {count}" for fate, count in result.fates.most_common(6))
        slowest = f"{result.slowest:.2f} s {result.slowest_seed}"
        table.add_row(name, str(result.inputs), fates, slowest, str(len(result.failures)))
    Console(width=140).print(table)
    for name, result in results.items():
        figures = f"inputs={result.inputs} failures={len(result.failures)}"
        print(f"torture {name} {figures} slowest={result.slowest:.3f}")
    FAILURES.mkdir(parents=True, exist_ok=True)
    rows = {name: vars(result) for name, result in results.items()}
    (FAILURES / "report.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
