# SPDX-License-Identifier: Apache-2.0
"""How long does a training step take, ours and that of torch + transformers?

    make bench NAME=train_step [ARGS="--threads 2 --repeats 15"]

Both train the same Llama on the same tokens: forward pass, loss, gradients, clipping, AdamW, all in
float32. Two processes take turns step by step on the same cores, so that what else the machine does
slows both. On one core, seconds are those of the processor, which waiting for it does not lengthen;
on more they are those of the clock. The ratio is the median over the pairs; above 1, ours is
faster.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro

from coder.config import ModelConfig, write_json
from coder.model.presets import PRESETS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "train_step.json"


@dataclass(frozen=True)
class Case:
    """One model on batches of one shape."""

    preset: str
    batch_size: int
    sequence_length: int

    @property
    def name(self) -> str:
        """Unique among the cases."""
        return f"{self.preset}_{self.batch_size}x{self.sequence_length}"

    @property
    def model(self) -> ModelConfig:
        """Its settings."""
        return PRESETS[self.preset]


CASES = (Case("tiny", 8, 256), Case("tiny", 16, 80), Case("small", 28, 80))
"""The laptop scale's model on long and on short sequences, and a larger one."""


@dataclass(frozen=True)
class Options:
    """Times training steps of ours and of torch + transformers in turns."""

    threads: int = 1
    """Cores, the same for both."""
    repeats: int = 11
    """Pairs of steps of each case."""
    only: str = ""
    """Cases whose name begins so; all by default."""
    torch_python: Path = ROOT / ".venv-oracle" / "bin" / "python"
    """An interpreter with torch and transformers."""


class Worker:
    """A process that makes a step when it is told to."""

    def __init__(self, command: list[str], case: Case, threads: int):
        """Starts the process and waits until it has made its first steps."""
        settings = {**asdict(case), "model": asdict(case.model), "threads": threads}
        environment = {**os.environ, "NPROC": str(threads), "JAX_PLATFORMS": "cpu"}
        self._process = subprocess.Popen(
            [*command, json.dumps(settings)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.version = self._read()["version"]

    def step(self) -> tuple[float, float]:
        """Makes a step: seconds and loss."""
        assert self._process.stdin
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        answer = self._read()
        return answer["seconds"], answer["loss"]

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> dict:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"error: {self._process.args} ended with status {self._process.wait()}")
        return json.loads(line)


def main(argv: list[str]) -> None:
    """Measures every case, prints a table and the ratios, writes benchmarks/results."""
    options = tyro.cli(Options, args=argv, prog="python -m benchmarks.train_step")
    if not options.torch_python.exists():
        sys.exit(
            f"error: {options.torch_python} does not exist: make bench NAME=train_step creates it"
        )
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    rows = [compare(case, options) for case in CASES if case.name.startswith(options.only)]
    write_json(RESULTS, {"threads": options.threads, "machine": cpu_name(), "cases": rows})
    for row in rows:
        print(f"ratio train_step/{row['case']}/torch {row['ratio']:.2f}")


def compare(case: Case, options: Options) -> dict:
    """The medians of one case."""
    ours = Worker([sys.executable, "-m", "benchmarks._train_step_jax"], case, options.threads)
    torch_script = str(ROOT / "benchmarks" / "_train_step_torch.py")
    theirs = Worker([str(options.torch_python), torch_script], case, options.threads)
    pairs = [(ours.step(), theirs.step()) for _ in range(options.repeats)]
    ours.close()
    theirs.close()
    seconds, torch_seconds = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
    tokens = case.batch_size * case.sequence_length
    row = {
        "case": case.name,
        "seconds": seconds,
        "torch_seconds": torch_seconds,
        "ratio": statistics.median(other[0] / one[0] for one, other in pairs),
        "tokens_per_second": tokens / seconds,
        "torch_tokens_per_second": tokens / torch_seconds,
        "versions": f"{ours.version}, {theirs.version}",
    }
    print(
        f"{case.name:14} {row['versions']}: {1000 * seconds:6.0f} ms and "
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


def answer(version: str, threads: int, step: Callable[[], float]) -> None:
    """A worker's side: makes a step for each line of the input; `step` returns the loss."""
    clock = time.process_time if threads == 1 else time.perf_counter
    for _ in range(2):
        step()
    print(json.dumps({"version": version}), flush=True)
    for _ in sys.stdin:
        started = clock()
        loss = step()
        print(json.dumps({"seconds": clock() - started, "loss": loss}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
