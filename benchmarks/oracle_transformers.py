# SPDX-License-Identifier: Apache-2.0
"""Compares the decoder with transformers, live, on small random models of both generations.

    make oracle NAME=transformers
    make oracle NAME=transformers ARGS="--drawn 10 --seed 100"     other models
    make oracle NAME=transformers ARGS="--write"                   golden files and docs anew

The named cases have what the released models have; of the drawn ones the settings are random too.
transformers computes in .venv-oracle, as a process of its own. `--write` keeps a part of its
numbers in tests/golden, for `make test`, and puts the table of errors into docs/parity.md.

Ends with `oracle transformers/<check>/<case> error=<e> bar=<b>`, and for faults put in on purpose
`seeded transformers/<fault>/<case> error=<e> bar=<b>`; the same is in
benchmarks/results/oracle_transformers.json. Exit status: 0 no error is over its bar and every
fault's is; 1 otherwise.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
import numpy as np
import tyro

from benchmarks import _oracle_adapters as adapters
from benchmarks import _oracle_cases, _oracle_files
from benchmarks._oracle_bugs import BUGS, seeded
from benchmarks._oracle_checks import Row, compare, experts_error
from benchmarks._oracle_reference import Reference
from benchmarks._oracle_table import write_table
from coder.config import write_json
from coder.model import moe
from coder.sharding import make_mesh
from kernels.grouped_matmul import grouped_matmul, implementations

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
RESULT = ROOT / "benchmarks" / "results" / "oracle_transformers.json"
ALWAYS_KEPT = ("settings", "version", "tokens", "prompts", "logits", "loss", "weight")


@dataclass(frozen=True)
class Options:
    """Compares the decoder with transformers."""

    drawn: int = 3
    """Models of either generation whose settings are drawn."""
    seed: int = 0
    """Of the first drawn model."""
    only: str = ""
    """Beginning of the names of the cases that are compared; the results are then only printed."""
    write: bool = False
    """Write the golden files, and the table of errors in docs/parity.md."""


def main(argv: list[str]) -> int:
    """Compares every case; returns the exit status."""
    options = tyro.cli(Options, args=argv, prog="python -m benchmarks.oracle_transformers")
    python = ROOT / ".venv-oracle" / "bin" / "python"
    if not python.exists():
        sys.exit(f"error: {python} does not exist: make oracle NAME=transformers creates it")
    if options.write and options.only:
        sys.exit("error: --write keeps what all cases say: leave out --only")
    jax.config.update("jax_num_cpu_devices", 2)  # for experts on a mesh
    cases = _oracle_cases.cases(options.drawn, options.seed)
    cases = [case for case in cases if case.name.startswith(options.only)]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_json(directory / "cases.json", [_oracle_cases.to_json(case) for case in cases])
        rows = measured(python, directory, [case.name for case in cases])
        if options.write:
            write_goldens(directory, cases)
        faults = dict(found_faults(directory))
        version = str(np.load(directory / cases[0].name / "arrays.npz")["version"])
    report = {"versions": f"{version}, jax {jax.__version__}", "rows": rows, "seeded": faults}
    if not options.only:
        write_json(RESULT, report)
    if options.write:
        write_table(report)
    return judge(report)


def measured(python: Path, directory: Path, names: list[str]) -> dict[str, dict[str, float]]:
    """Error and bar of every check on every case, by `<check>/<case>`."""
    rows: dict[str, dict[str, float]] = {}

    def keep(case: str, found: Iterator[Row]) -> None:
        for row in found:
            rows[f"{row.check}/{case}"] = {"error": float(row.error), "bar": row.bar}

    def ask(what: str) -> None:
        command = [python, "-m", "benchmarks._oracle_torch", what, directory]
        subprocess.run(command, check=True, cwd=ROOT)

    ask("write")
    for number, name in enumerate(names, 1):
        print(f"{name} ({number} of {len(names)})", flush=True)
        reference = Reference.read(directory / name / "arrays.npz")
        keep(name, iter(compare(reference)))
        keep(name, ways_to_multiply(reference))
        keep(name, _oracle_files.convert(directory / name))
        jax.clear_caches()
    ask("read")
    for name in names:
        keep(name, _oracle_files.reread(directory / name))
    for row in adapters.compare(python, directory / "peft"):
        rows[f"{row.check}/{row.case}"] = {"error": row.error, "bar": row.bar}
    return rows


def ways_to_multiply(reference: Reference) -> Iterator[Row]:
    """6: every implementation of the experts' products, and experts on two devices."""
    if not reference.has("mlp"):
        return
    for name in implementations():
        with patch.object(moe, "grouped_matmul", partial(grouped_matmul, implementation=name)):
            yield Row(f"experts_{name}", experts_error(reference), 2e-5)
    with jax.set_mesh(make_mesh(expert=2)):
        on_mesh = Reference(reference.arrays)
        yield Row("experts_parallel", experts_error(on_mesh), 2e-5)


def found_faults(directory: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """What the logits of the cases say of the faults, by `<fault>/<case>`."""
    for name, (case, *_) in BUGS.items():
        path = directory / case / "arrays.npz"
        if path.exists():
            with np.load(path) as arrays:
                error, bar, first = seeded(name, dict(arrays))
            yield f"{name}/{case}", {"error": error, "bar": bar, "first_position": first}


def write_goldens(directory: Path, cases: list[_oracle_cases.Case]) -> None:
    """Keeps what `make test` compares with."""
    for case in cases:
        if case not in _oracle_cases.NAMED:
            continue
        with np.load(directory / case.name / "arrays.npz") as arrays:
            kinds = (*ALWAYS_KEPT, *case.golden)
            kept = {name: x for name, x in arrays.items() if name.split("/")[0] in kinds}
        path = GOLDEN / f"transformers_{case.name}.npz"
        np.savez_compressed(path, **kept)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")
    adapters.write_goldens(directory / "peft", GOLDEN)


def judge(report: dict[str, Any]) -> int:
    """Prints every line; the exit status."""
    for name, row in report["rows"].items():
        print(f"oracle transformers/{name} error={row['error']:.3g} bar={row['bar']:.3g}")
    for name, row in report["seeded"].items():
        print(f"seeded transformers/{name} error={row['error']:.3g} bar={row['bar']:.3g}")
    # Not a number is no success: `error <= bar` must hold.
    wrong = [name for name, x in report["rows"].items() if not x["error"] <= x["bar"]]
    unseen = [name for name, x in report["seeded"].items() if not x["error"] > x["bar"]]
    for name in wrong:
        print(f"over its bar: {name}", file=sys.stderr)
    for name in unseen:
        print(f"not noticed: {name}", file=sys.stderr)
    return 1 if wrong or unseen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
