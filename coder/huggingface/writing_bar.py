# SPDX-License-Identifier: Apache-2.0
"""The progress of writing a model's tensors, on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


@contextmanager
def writing_bar(size: int) -> Iterator[Callable[[str, int], None]]:
    """A bar of `size` bytes; yields what to tell of each tensor its name and its bytes.

    Where standard error is no terminal, nothing is shown.
    """
    console = Console(stderr=True)
    columns = (
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=size)
        yield lambda name, written: bar.update(task, description=name, advance=written)
