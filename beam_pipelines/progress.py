# SPDX-License-Identifier: Apache-2.0
"""Progress of a pipeline on this machine: rate and time left.

Workers append what they did to a file, which the launcher reads.
A worker may be another process, so the channel is a file: an append of a few bytes is atomic. On a
terminal it is drawn as a bar, otherwise as a log line now and then. On a remote runner there is no
channel; the runner has its own display.
"""

import contextlib
import logging
import os
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

_AMOUNT = struct.Struct("<q")
_LOG_SECONDS = 20.0

log = logging.getLogger("beam_pipelines")


def advance(channel: str, amount: float) -> None:
    """Tells the launcher that `amount` more bytes are done; does nothing without a channel."""
    if not channel:
        return
    descriptor = os.open(channel, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, _AMOUNT.pack(round(amount)))
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def shown(what: str, total: int) -> Iterator[str]:
    """Shows progress towards `total` bytes while the body runs; yields `advance`'s channel."""
    with (
        tempfile.NamedTemporaryFile(prefix="progress-") as channel,
        contextlib.ExitStack() as stack,
    ):
        update = (
            stack.enter_context(_bar(what, total)) if sys.stderr.isatty() else _logger(what, total)
        )
        finished = threading.Event()
        watcher = threading.Thread(
            target=_watch, args=(channel.name, update, finished), daemon=True
        )
        watcher.start()
        try:
            yield channel.name
        finally:
            finished.set()
            watcher.join()


def _watch(channel: str, update: Callable[[int], None], finished: threading.Event) -> None:
    """Passes the sum of all appended amounts to `update`, twice a second."""
    done = 0
    with open(channel, "rb") as file:
        while not finished.wait(0.5):
            new = file.read()
            done += sum(amount for (amount,) in _AMOUNT.iter_unpack(new))
            update(done)


@contextlib.contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    columns = (
        TextColumn(what),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=min(done, total))


def _logger(what: str, total: int) -> Callable[[int], None]:
    """An update that logs a line every `_LOG_SECONDS`."""
    start = last = time.monotonic()

    def update(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _LOG_SECONDS or not done:
            return
        last = now
        rate = done / (now - start)
        left = max(0.0, total - done) / rate
        log.info(
            "%s: %d %% of %.0f MB, %.1f MB/s, %.0f s left",
            what,
            100 * done / total,
            total / 1e6,
            rate / 1e6,
            left,
        )

    return update
