# SPDX-License-Identifier: Apache-2.0
"""How long does it take to have a Hugging Face model in memory, with us and with transformers?

    make bench NAME=load                            ratios to transformers' from_pretrained
    make bench NAME=load ARGS="--size 6.7b"         v1 6.7B: time and memory of import, load, export

Checkpoints of random bytes in bfloat16, their files in the page cache. Three processes take turns:
one imports, one loads what was imported, verifying every byte, and one calls from_pretrained, which
verifies none. Each is new, and its seconds begin after its libraries are imported. The ratio is the
median over the turns; above 1, ours is faster. An import is made once, a load every time.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from benchmarks._load_models import MODELS, write_checkpoint
from benchmarks.train_step import cpu_name
from coder.config import write_json

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Options:
    """Times imports and loads of ours against from_pretrained of transformers, in turns."""

    size: Literal["small", "6.7b"] = "small"
    """small: 134 M of Llama and 257 M of V2; 6.7b: v1 6.7B alone, which takes 27 GB of disk."""
    threads: int = 2
    """Cores, the same for all."""
    repeats: int = 7
    """Turns of each case."""
    folder: Path = Path(tempfile.gettempdir())
    """Where the checkpoints are made, and deleted afterwards."""
    torch_python: Path = ROOT / ".venv-oracle" / "bin" / "python"
    """An interpreter with torch and transformers."""


def main(argv: list[str]) -> None:
    """Measures, prints a table, and writes benchmarks/results/load.json or load_6.7b.json."""
    options = tyro.cli(Options, args=argv, prog="python -m benchmarks.load")
    if not options.torch_python.exists():
        sys.exit(f"error: {options.torch_python} does not exist: make bench NAME=load creates it")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    with tempfile.TemporaryDirectory(prefix="load-", dir=options.folder) as made:
        if options.size == "6.7b":
            result, name = large(Path(made), options), "load_6.7b.json"
        else:
            cases = [compare(case, Path(made), options) for case in ("llama_134m", "v2_small")]
            result, name = {"cases": cases}, "load.json"
    write_json(RESULTS / name, {"threads": options.threads, "machine": cpu_name(), **result})
    for case in result.get("cases", ()):
        print(f"ratio load/{case['case']}/from_pretrained {case['load_ratio']:.2f}")
        print(f"ratio load/{case['case']}_import/from_pretrained {case['import_ratio']:.2f}")


def compare(case: str, folder: Path, options: Options) -> dict:
    """The medians of one case."""
    source, output = folder / case, folder / f"{case}_imported"
    size = write_checkpoint(source, MODELS[case])
    turns = []
    for _ in range(options.repeats):
        shutil.rmtree(output, ignore_errors=True)
        imported = _ours("import", source, output)
        theirs = _run([options.torch_python, _script("_load_torch"), source, options.threads])
        turns.append((imported, _ours("load", output), theirs))
    assert turns[0][1]["bytes"] == turns[0][2]["bytes"] == size
    import_s, load_s, theirs_s = (
        statistics.median(turn[side]["seconds"] for turn in turns) for side in range(3)
    )
    row = {
        "case": case,
        "bytes": size,
        "import_seconds": import_s,
        "load_seconds": load_s,
        "from_pretrained_seconds": theirs_s,
        "load_ratio": statistics.median(t["seconds"] / b["seconds"] for _, b, t in turns),
        "import_ratio": statistics.median(
            t["seconds"] / (a["seconds"] + b["seconds"]) for a, b, t in turns
        ),
        "version": turns[0][2]["version"],
    }
    print(
        f"{case:12} {size / 1e6:5.0f} MB: import {import_s:.2f} s, load {load_s:.2f} s, "
        f"from_pretrained {theirs_s:.2f} s ({row['version']})",
        flush=True,
    )
    return row


def large(folder: Path, options: Options) -> dict:
    """Time and memory of the import, the load and the export of v1 6.7B."""
    source, output = folder / "source", folder / "imported"
    started = time.perf_counter()
    size = write_checkpoint(source, MODELS[options.size])
    print(f"{size / 1e9:.2f} GB written in {time.perf_counter() - started:.0f} s", flush=True)
    result: dict = {"bytes": size}
    steps = {
        "import": (source, output),
        "load": (output,),
        "export": (output, folder / "exported"),
    }
    for task, folders in steps.items():
        if task == "export":
            shutil.rmtree(source)  # so that there are two copies at a time
        told = _ours(task, *folders)
        result[task] = told
        print(
            f"{task}: {told['seconds']:.0f} s, {size / 1e6 / told['seconds']:.0f} MB/s; memory of "
            f"its own {told['anonymous'] / 1e6:.0f} MB at most, of which {told['added'] / 1e6:.0f} "
            f"MB above what the interpreter has; resident {told['resident'] / 1e6:.0f} MB, mapped "
            "files included",
            flush=True,
        )
    return result


def _ours(task: str, *folders: Path) -> dict:
    return _run([sys.executable, "-m", "benchmarks._load_jax", task, *folders])


def _run(command: list) -> dict:
    """What a worker says in its last line."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"error: {command[:3]} ended with status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def _script(name: str) -> Path:
    return ROOT / "benchmarks" / f"{name}.py"


if __name__ == "__main__":
    main(sys.argv[1:])
