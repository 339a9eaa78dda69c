# SPDX-License-Identifier: Apache-2.0
"""The corpus pipeline as a whole: one process beside two, and their memory.

The input is made in a temporary folder of the installed packages' files, over and over: each copy
of a package is a repository whose files end with some line breaks more, so that none are equal.
Wall time counts, so the machine should be idle. Needs twice the input's size on the disk.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psutil

from benchmarks import _corpus_inputs as inputs
from coder.config import write_json
from coder.data.filters import FilterConfig

RESULT = Path(__file__).parent / "results" / "corpus_scale.json"
LEAST_RATIO = 1.4
MOST_MEMORY = 1e9


@dataclass(frozen=True)
class Run:
    """One run of the pipeline."""

    seconds: float
    memory: dict[str, float]
    """Most bytes of the launcher, and of the largest of the processes that it has started."""


def main(megabytes: int) -> int:
    """Measures both and prints them; returns the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "repositories")
        size = make_input(source, megabytes * 1_000_000)
        runs = {workers: run(source, Path(folder, f"out{workers}"), workers) for workers in (1, 2)}
        same = outputs(Path(folder, "out1")) == outputs(Path(folder, "out2"))
    ratio = runs[1].seconds / runs[2].seconds
    for workers, found in runs.items():
        peaks = " ".join(f"{name}={peak / 1e6:.0f}MB" for name, peak in found.memory.items())
        speed = size / 1e6 / found.seconds
        print(f"corpus/{workers}_processes {found.seconds:.1f} s, {speed:.2f} MB/s, peaks {peaks}")
    print(f"corpus/output {'the same bytes' if same else 'DIFFERS'}")
    peak = max(peak for found in runs.values() for peak in found.memory.values())
    print(f"ratio corpus/two_processes/one_process {ratio:.2f}")
    print(f"bar corpus/memory {peak / 1e6:.0f} MB (at most {MOST_MEMORY / 1e6:.0f})")
    rows = {str(workers): vars(found) for workers, found in runs.items()}
    write_json(RESULT, {"megabytes": size / 1e6, "ratio": ratio, "same": same, "processes": rows})
    return 0 if same and ratio >= LEAST_RATIO and peak <= MOST_MEMORY else 1


def make_input(folder: Path, size: int) -> int:
    """Writes repositories of `size` bytes or a little more; returns how many."""
    total = 0
    batches = inputs.installed(sys.maxsize)
    for copy in count():
        for batch in batches:
            for file in batch.files or ():
                content = Path(batch.info.place, file.path).read_bytes() + b"\n" * copy
                if len(content) > FilterConfig().max_bytes:
                    continue
                path = folder / f"{batch.info.name}-{copy}" / file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                total += len(content)
            if total >= size:
                return total
    raise AssertionError("count() does not end")


def run(source: Path, output: Path, workers: int) -> Run:
    """Builds a corpus in processes of its own and watches them."""
    command = [sys.executable, "-m", "beam_pipelines.corpus", "--source", f"folder:{source}"]
    command += ["--output", str(output), "--workers", str(workers)]
    start = time.monotonic()
    log = output.with_suffix(".log")
    with log.open("wb") as written:
        process = subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT)
    memory: dict[int, float] = {}
    watcher = threading.Thread(target=watch, args=(process, memory))
    watcher.start()
    status = process.wait()
    seconds = time.monotonic() - start
    watcher.join()
    if status:
        raise SystemExit(f"{log.read_text()}the pipeline has ended with status {status}")
    launcher = memory.pop(process.pid)
    return Run(seconds, {"launcher": launcher} | {"worker": max(memory.values(), default=0.0)})


def watch(process: subprocess.Popen[bytes], memory: dict[int, float]) -> None:
    """Notes the most memory of a process and of those that it has started."""
    top = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            for one in (top, *top.children(recursive=True)):
                memory[one.pid] = max(memory.get(one.pid, 0), one.memory_info().rss)
        except psutil.Error:
            pass  # it has ended in between
        time.sleep(0.1)


def outputs(folder: Path) -> dict[str, bytes]:
    """The bytes of a corpus's shards."""
    shards = (path for path in folder.iterdir() if path.suffix in (".tfrecord", ".jsonl"))
    return {os.path.basename(path): path.read_bytes() for path in shards}


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
