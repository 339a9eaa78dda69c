# SPDX-License-Identifier: Apache-2.0
"""Runs jobs side by side, each as soon as what it needs is finished and a worker is free.

A job that fails stops the others; whatever they have written stays and is continued next time.
Children run in process groups of their own: an interrupt reaches only this process, which then ends
them in order.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from experiments._runner.jobs import Job

POLL_SECONDS = 0.1
GRACE_SECONDS = 15.0
"""Between asking a child to end and killing it."""
LAST_LINES = 15
"""Lines of a failed job's log that are shown."""


class JobFailed(Exception):
    """A subprocess ended badly; the message names it and shows the end of its log."""


class Stopped(Exception):
    """A signal asked this process to end."""

    def __init__(self, signum: int) -> None:
        """Remembers the signal, for the exit code."""
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


@dataclass(frozen=True)
class Running:
    """A job at work."""

    job: Job
    process: subprocess.Popen[bytes]
    started: float
    """time.monotonic() at its start."""


def raise_stopped(signum: int, frame: FrameType | None) -> None:
    """A signal handler: unwinds to where the children are ended."""
    raise Stopped(signum)


class Pool:
    """Up to `workers` jobs at once."""

    def __init__(
        self, jobs: Iterable[Job], workers: int, environment: dict[str, str], locks: Sequence[int]
    ) -> None:
        """Takes the jobs to run.

        Args:
            jobs: what to run; a needed job that is not among them counts as finished.
            workers: how many run at once.
            environment: variables set for every child, beside those of this process.
            locks: file descriptors that every child inherits.
        """
        self.waiting = list(jobs)
        self.running: list[Running] = []
        self._workers = workers
        self._environment = {**os.environ, **environment}
        self._locks = tuple(locks)

    def unfinished(self) -> list[Job]:
        """Jobs that wait or run."""
        return self.waiting + [running.job for running in self.running]

    def run(
        self, on_tick: Callable[["Pool"], None], on_finished: Callable[[Job, float], None]
    ) -> None:
        """Works until nothing is left.

        Args:
            on_tick: called several times a second.
            on_finished: called with each job that ended well, and its seconds.

        Raises:
            JobFailed: a child ended badly; the others have been ended.
            Stopped: a signal came; all children have been ended.
        """
        try:
            while self.waiting or self.running:
                self._start_ready()
                on_tick(self)
                time.sleep(POLL_SECONDS)
                for ended in [r for r in self.running if r.process.poll() is not None]:
                    self._take(ended)
                    on_finished(ended.job, time.monotonic() - ended.started)
        finally:
            self._end_all()

    def _start_ready(self) -> None:
        """Starts waiting jobs while workers are free, in their order."""
        for job in sorted(self.waiting, key=lambda job: job.order):
            if len(self.running) >= self._workers:
                return
            taken = job.on_accelerator and any(r.job.on_accelerator for r in self.running)
            if not taken and not any(other.name in job.needs for other in self.unfinished()):
                self.waiting.remove(job)
                self.running.append(self._start(job))

    def _start(self, job: Job) -> Running:
        """Starts one job, its output appended to its log."""
        job.prepare()
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("ab") as log:
            process = subprocess.Popen(
                job.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
                pass_fds=self._locks,
            )
        return Running(job, process, time.monotonic())

    def _take(self, ended: Running) -> None:
        """Books a job that ended.

        Raises:
            JobFailed: it did not end well, or left no result.
        """
        self.running.remove(ended)
        job, code = ended.job, ended.process.returncode
        if code != 0 or not job.finished:
            reason = f"ended with code {code}" if code else f"ended without writing {job.done}"
            shown = "\n".join(f"  {line}" for line in last_lines(job.log))
            raise JobFailed(f"{job.name} {reason}. The end of its log, {job.log}:\n{shown}")

    def _end_all(self) -> None:
        """Ends what still runs: first by asking, then by force."""
        for running in self.running:
            _signal_group(running.process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        for running in self.running:
            try:
                running.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass
            _signal_group(running.process, signal.SIGKILL)
            running.process.wait()
        self.running.clear()


def _signal_group(process: subprocess.Popen[bytes], signum: int) -> None:
    """Signals a child and its own children; it may be gone already."""
    try:
        os.killpg(process.pid, signum)
    except ProcessLookupError:
        pass


def last_lines(log: Path, count: int = LAST_LINES) -> list[str]:
    """The end of a log."""
    with log.open("rb") as file:
        return _tail(file, count)


def _tail(file: BinaryIO, count: int) -> list[str]:
    """The last lines of a file of any size."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 200 * count))
    return file.read().decode(errors="replace").splitlines()[-count:]
