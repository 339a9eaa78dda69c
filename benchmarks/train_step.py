# SPDX-License-Identifier: Apache-2.0
"""How long does a training step take, ours and that of torch + transformers?

    make bench NAME=train_step [ARGS="--threads 2 --repeats 15"]

Both train the same Llama on the same tokens: forward pass, loss, gradients, clipping, AdamW, all in
float32. Two processes take turns on the same cores, so that what else the machine does slows both.
A turn is several steps: those after the first find their parameters in the cache, as in a training
run. The learning rates rise alike, so the losses that are printed fall alike, from other random
weights. On one core, seconds are those of the processor, which waiting for it does not lengthen; on
more they are those of the clock. The ratio is the median over the pairs; above 1, ours is faster.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro

from benchmarks._worker import ROOT, Worker
from coder.config import ModelConfig, RunConfig, TrainConfig, write_json
from experiments.fim_ablation import EXPERIMENT

RESULTS = ROOT / "benchmarks" / "results" / "train_step.json"


@dataclass(frozen=True)
class Case:
    """One model on batches of one shape."""

    name: str
    """Unique among the cases."""
    model: ModelConfig
    batch_size: int
    sequence_length: int


def cases() -> tuple[Case, ...]:
    """The models and batches of the scales for CPUs, and the smaller model on longer sequences."""
    laptop, workstation = (
        EXPERIMENT.config(scale, "psm_50", 0, {}) for scale in ("laptop", "workstation")
    )
    return (
        _as_trained("laptop", laptop),
        _as_trained("workstation", workstation),
        Case("laptop_8x256", laptop.model, 8, 256),
    )


def _as_trained(name: str, run: RunConfig) -> Case:
    return Case(name, run.model, run.train.batch_size, run.data.sequence_length)


STEPS_PER_TURN = 5


@dataclass(frozen=True)
class Options:
    """Times training steps of ours and of torch + transformers in turns."""

    threads: int = 1
    """Cores, the same for both."""
    repeats: int = 11
    """Pairs of turns of each case."""
    only: str = ""
    """Cases whose name begins so, which are printed and not written; all by default."""
    torch_python: Path = ROOT / ".venv-oracle" / "bin" / "python"
    """An interpreter with torch and transformers."""


def worker(command: list[str], case: Case, threads: int) -> Worker:
    """A process that has made its first steps, and makes more when it is asked."""
    settings = {
        **asdict(case),
        "threads": threads,
        "steps": STEPS_PER_TURN,
        "learning_rate": TrainConfig().learning_rate,
        "warmup_steps": TrainConfig().warmup_steps,
    }
    return Worker(command, settings, threads)


def main(argv: list[str]) -> None:
    """Measures every case, prints a table and the ratios, writes benchmarks/results."""
    options = tyro.cli(Options, args=argv, prog="python -m benchmarks.train_step")
    if not options.torch_python.exists():
        sys.exit(
            f"error: {options.torch_python} does not exist: make bench NAME=train_step creates it"
        )
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    rows = [compare(case, options) for case in cases() if case.name.startswith(options.only)]
    if not rows:
        known = ", ".join(case.name for case in cases())
        sys.exit(f"error: --only {options.only}: no case begins so; there are {known}")
    if not options.only:
        write_json(RESULTS, {"threads": options.threads, "machine": cpu_name(), "cases": rows})
    for row in rows:
        print(f"ratio train_step/{row['case']}/torch {row['ratio']:.2f}")


def compare(case: Case, options: Options) -> dict:
    """The medians of one case."""
    ours = worker([sys.executable, "-m", "benchmarks._train_step_jax"], case, options.threads)
    torch_script = str(ROOT / "benchmarks" / "_train_step_torch.py")
    theirs = worker([str(options.torch_python), torch_script], case, options.threads)
    pairs = [
        tuple((said["seconds"], said["loss"]) for said in (ours.ask({}), theirs.ask({})))
        for _ in range(options.repeats)
    ]
    ours.close()
    theirs.close()
    seconds, torch_seconds = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
    tokens = case.batch_size * case.sequence_length
    row = {
        "case": case.name,
        "batch": f"{case.batch_size} x {case.sequence_length}",
        "seconds": seconds,
        "torch_seconds": torch_seconds,
        "ratio": statistics.median(other[0] / one[0] for one, other in pairs),
        "tokens_per_second": tokens / seconds,
        "torch_tokens_per_second": tokens / torch_seconds,
        "versions": f"{ours.about['version']}, {theirs.about['version']}",
    }
    print(
        f"{case.name:12} {row['batch']:8} {row['versions']}: {1000 * seconds:6.0f} ms and "
        f"{1000 * torch_seconds:6.0f} ms, {row['tokens_per_second']:7,.0f} and "
        f"{row['torch_tokens_per_second']:7,.0f} tokens/s, last losses "
        f"{pairs[-1][0][1]:.3f} and {pairs[-1][1][1]:.3f}",
        flush=True,
    )
    return row


def cpu_name() -> str:
    """What the system calls its processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def answer(version: str, threads: int, steps: int, step: Callable[[], float]) -> None:
    """A worker's side: `steps` steps for each line of the input; `step` returns the loss."""
    clock = time.process_time if threads == 1 else time.perf_counter
    for _ in range(2):
        step()
    print(json.dumps({"version": version}), flush=True)
    for _ in sys.stdin:
        started = clock()
        losses = [step() for _ in range(steps)]
        print(json.dumps({"seconds": (clock() - started) / steps, "loss": losses[-1]}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
