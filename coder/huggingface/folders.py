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
    if output.is_symlink():
        raise CheckpointError(
            f"{output} is a link to {output.readlink()}, which does not exist: delete the link, or "
            "choose another output"
        )
    partial = output.with_name(f".{output.name}.partial")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        _check_room(output, size)
        partial.mkdir()
        yield partial
        partial.rename(output)
    except OSError as error:
        raise CheckpointError(f"{output} cannot be written: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_room(output: Path, size: int) -> None:
    """Raises CheckpointError where the disk that `output` would be on has no room for it."""
    usage = shutil.disk_usage(output.parent)
    if not usage.total:
        raise CheckpointError(
            f"{output} cannot be written: {output.parent} is no place for files: choose another"
        )
    if size > usage.free:
        raise CheckpointError(
            f"{output} would take {size / 1e6:,.1f} MB, and {usage.free / 1e6:,.1f} MB are free "
            "there: make room, or choose another output"
        )
