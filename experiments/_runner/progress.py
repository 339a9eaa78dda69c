# SPDX-License-Identifier: Apache-2.0
"""Shows how far an experiment is: a live table on a terminal, a line now and then in a log file."""

import json
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from experiments._runner.jobs import Job
from experiments._runner.processes import Pool, Running
from experiments.experiment import JobKind

LOG_EVERY_SECONDS = 30.0
UNKNOWN_SECONDS = 10.0
"""First guess for a kind of job of which nothing is known."""


def last_row(metrics: Path) -> dict[str, Any]:
    """The newest complete row of a metrics.jsonl; {} if there is none."""
    try:
        with metrics.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 4096))
            complete = file.read().rpartition(b"\n")[0]
    except FileNotFoundError:
        return {}
    line = complete.rpartition(b"\n")[2]
    return json.loads(line) if line.startswith(b"{") else {}


def duration(seconds: float) -> str:
    """Seconds as `1:02:03` or `2:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Pace:
    """Steps per second of one training process, from the rows it has written while it was watched.

    The first row is only where the measurement begins: what came before it was mostly compiling, or
    belongs to the attempt that is resumed.
    """

    def __init__(self, step: int) -> None:
        """Begins at the step that was reached before."""
        self._rows = [(step, 0.0)]

    def seconds_left(self, step: int, steps: int, now: float) -> float | None:
        """Seconds until `steps`; None until two rows have been seen."""
        if step > self._rows[-1][0]:
            self._rows.append((step, now))
        if len(self._rows) < 3:
            return None
        (first, begun), (last, seen) = self._rows[1], self._rows[-1]
        return (steps - last) * (seen - begun) / (last - first) - (now - seen)


class Clock:
    """Estimates the time left from what jobs of each kind took."""

    def __init__(self, expected: dict[JobKind, float], workers: int) -> None:
        """Begins with `expected` seconds per kind of job."""
        self._expected = expected
        self._taken: dict[JobKind, list[float]] = defaultdict(list)
        self._workers = workers
        self._paces: dict[str, Pace] = {}

    def finished(self, job: Job, seconds: float) -> None:
        """Learns from a job that ended."""
        self._taken[job.kind].append(seconds)

    def seconds(self, kind: JobKind) -> float:
        """What a job of this kind is expected to take."""
        taken = self._taken[kind]
        return sum(taken) / len(taken) if taken else self._expected.get(kind, UNKNOWN_SECONDS)

    def left(self, running: Running) -> float:
        """Seconds until a running job ends, from its own pace once it has one."""
        job, now = running.job, time.monotonic()
        measured = None
        if job.progress is not None:
            step = last_row(job.progress).get("step", 0)
            pace = self._paces.setdefault(job.name, Pace(step))
            measured = pace.seconds_left(step, job.steps, now)
        if measured is None:
            measured = self.seconds(job.kind) - (now - running.started)
        return max(0.0, measured)

    def total_left(self, pool: Pool) -> float:
        """Seconds until everything ends."""
        # Corpus and tokenizer run alone, for all else needs them.
        alone = sum(self.seconds(job.kind) for job in pool.waiting if job.seed is None)
        shared = sum(self.seconds(job.kind) for job in pool.waiting if job.seed is not None)
        left = [self.left(running) for running in pool.running]
        return alone + max([(shared + sum(left)) / self._workers, *left])


class Progress:
    """Draws the state of a pool; use as a context manager around its work."""

    def __init__(self, console: Console, clock: Clock, num_jobs: int) -> None:
        """Shows a live table if `console` is a terminal, else log lines."""
        self._console = console
        self._clock = clock
        self._num_jobs = num_jobs
        self._started = time.monotonic()
        self._last_log = self._started
        self._announced: set[str] = set()
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> "Progress":
        """Starts drawing."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Leaves the terminal clean."""
        if self._console.is_terminal:
            self._live.stop()

    def tick(self, pool: Pool) -> None:
        """Redraws, or logs if it is time."""
        if self._console.is_terminal:
            self._live.update(Group(self._jobs(pool), Text(self._total(pool), style="bold")))
            return
        for running in pool.running:
            if running.job.name not in self._announced:
                self._announced.add(running.job.name)
                self.say(f"{running.job.name} started")
        if time.monotonic() - self._last_log >= LOG_EVERY_SECONDS:
            self._last_log = time.monotonic()
            self.say("; ".join([self._total(pool), *map(self._state, pool.running)]))

    def finished(self, job: Job, seconds: float) -> None:
        """Notes a job that ended."""
        self._clock.finished(job, seconds)
        self.say(f"{job.name} finished in {duration(seconds)}")

    def say(self, message: str) -> None:
        """Prints a line with the time since the start."""
        stamp = duration(time.monotonic() - self._started)
        self._console.print(f"{stamp:>8}  {message}", highlight=False, markup=False, soft_wrap=True)

    def _jobs(self, pool: Pool) -> Table:
        """A line for every running process."""
        table = Table.grid(padding=(0, 2))
        for running in pool.running:
            job, left = running.job, self._clock.left(running)
            row = last_row(job.progress) if job.progress else {}
            step, steps = row.get("step", 0), max(1, job.steps)
            loss = f"loss {row['loss']:.3f}" if "loss" in row else ""
            bar = ProgressBar(total=steps, completed=step, width=24, pulse=job.progress is None)
            table.add_row(
                job.name,
                bar,
                f"{step}/{job.steps}" if job.progress else "",
                loss,
                duration(time.monotonic() - running.started),
                f"{duration(left)} left" if left else "",
            )
        return table

    def _state(self, running: Running) -> str:
        """A running process in a few words."""
        row = last_row(running.job.progress) if running.job.progress else {}
        if "step" not in row:
            return running.job.name
        return f"{running.job.name} at {row['step']}/{running.job.steps}"

    def _total(self, pool: Pool) -> str:
        """How far all of it is."""
        done = self._num_jobs - len(pool.unfinished())
        gone = duration(time.monotonic() - self._started)
        left = duration(self._clock.total_left(pool))
        return f"{done} of {self._num_jobs} jobs, {gone} gone, {left} left"
