# SPDX-License-Identifier: Apache-2.0
"""What FnApiRunner lacks with several processes: an end when one of them dies.

Beam 2.77 waits for ever for a worker process that was killed, as for want of memory, or that could
not connect: the exception is raised in a thread of the launcher that nobody looks at.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

import psutil

# `SubprocessSdkWorkerHandler` gives this name to the thread that waits for a worker process.
_WAITING_THREAD = "run_worker"


@contextlib.contextmanager
def fatal_worker_deaths() -> Iterator[None]:
    """While the body runs, the death of a worker process ends the others and this one, status 1."""
    previous = threading.excepthook

    def hook(failure: threading.ExceptHookArgs) -> None:
        if failure.thread is None or failure.thread.name != _WAITING_THREAD:
            previous(failure)
            return
        message = f"error: a worker process died ({failure.exc_value}); try fewer --workers, or 1"
        print(message, file=sys.stderr, flush=True)
        threading.excepthook = lambda _: None  # the others, killed now, have nothing to add
        for child in psutil.Process().children(recursive=True):
            child.kill()
        os._exit(1)  # the main thread cannot be interrupted: it waits for the worker

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = previous
