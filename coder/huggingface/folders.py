# SPDX-License-Identifier: Apache-2.0
"""Folders that appear whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coder.checkpoint import CheckpointError


@contextmanager
def new_folder(output: Path, size: int) -> Iterator[Path]:
    """A folder to write into, which is renamed to `output` when all went well.

    What a killed process left of one is removed by the next that writes the same.

    Args:
        output: must not exist.
        size: bytes that will be written, about.

    Raises:
        CheckpointError: `output` exists, or cannot be written.
    """
    if output.exists():
        raise CheckpointError(f"{output} exists: delete it, or choose another output")
    partial = output.with_name(f".{output.name}.partial")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        free = shutil.disk_usage(output.parent).free
        if size > free:
            raise CheckpointError(
                f"{output} would take {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free there"
            )
        partial.mkdir()
        yield partial
        partial.rename(output)
    except OSError as error:
        raise CheckpointError(f"{output} cannot be written: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
