# SPDX-License-Identifier: Apache-2.0
"""The folder of a run: its settings, whether they still hold, whether it is done, who trains it.

    config.json     settings, examples, tokenizer, NPROC, versions: what the result depends on
    tokenizer.json  a copy of the tokenizer: the folder can be used where nothing else is
    metrics.jsonl   rows of `coder.train.metrics.Row`
    peak.json       what MFU is measured against
    checkpoints/    `coder.checkpoint`
    tensorboard/    the metrics once more
    done.json       last of all: steps, seconds, digest of the parameters

Nothing here imports jax: a finished run answers at once, and NPROC is set before XLA looks at it.
"""

import fcntl
import importlib.metadata
import json
import logging
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coder.config import RunConfig, difference, from_json, to_json, write_json
from coder.cores import allowed_cores

logger = logging.getLogger(__name__)

CONFIG, TOKENIZER, DONE = "config.json", "tokenizer.json", "done.json"


class RunError(Exception):
    """What keeps a run from starting; the message says what to do."""


@dataclass(frozen=True)
class Run:
    """A run and everything its result depends on."""

    directory: Path
    config: RunConfig
    examples: Path
    examples_digest: str
    tokenizer: Path
    nproc: int
    """Cores that XLA may use: on a CPU the last bits of a sum depend on it."""

    def record(self) -> dict[str, Any]:
        """The contents of config.json."""
        return {
            "run": to_json(self.config),
            "examples": str(self.examples),
            "examples_digest": self.examples_digest,
            "tokenizer": str(self.tokenizer),
            "nproc": self.nproc,
            "jax": importlib.metadata.version("jax"),
            "platform": f"{platform.system()} {platform.machine()}",
        }


def read_record(directory: Path) -> dict[str, Any] | None:
    """config.json of a run; None where the run has not begun.

    Raises:
        RunError: the file is no JSON.
    """
    return _read_json(directory / CONFIG)


def read_done(directory: Path) -> dict[str, Any] | None:
    """done.json of a finished run, else None."""
    return _read_json(directory / DONE)


def choose_nproc(directory: Path, recorded: int | None) -> int:
    """NPROC of the environment, else the one the run was begun with, else every core allowed.

    Raises:
        RunError: the environment contradicts the run's beginning, or NPROC is no number of cores.
    """
    asked = os.environ.get("NPROC")
    if asked is not None and not (asked.isdecimal() and int(asked) > 0):
        raise RunError(f"NPROC={asked}: expected the number of cores to use, 1 or more")
    if recorded is None:
        return int(asked) if asked else allowed_cores()
    if asked and int(asked) != recorded:
        raise RunError(
            f"{directory} was begun with NPROC={recorded} and is now started with NPROC={asked}; "
            f"the last bits of its results depend on it: set NPROC={recorded} or unset it"
        )
    return recorded


def recorded_config(directory: Path, record: dict[str, Any]) -> RunConfig:
    """The settings in config.json.

    Raises:
        RunError: a setting is unknown or of the wrong type, or a part of the file is missing.
    """
    try:
        config = from_json(RunConfig, record["run"])
        if not {"examples", "tokenizer"} <= record.keys():
            raise ValueError("it does not tell examples and tokenizer")
    except (ValueError, KeyError) as error:
        raise RunError(f"{directory / CONFIG}: {error}") from None
    return config


def check_unchanged(directory: Path, begun: RunConfig, now: RunConfig) -> None:
    """Raises RunError, which lists the difference, where the run was begun with other settings."""
    changes = difference(to_json(begun), to_json(now))
    if changes:
        raise RunError(
            f"{directory} was begun with other settings; choose another folder or delete it "
            "(begun with -> now):\n  " + "\n  ".join(changes)
        )


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keeps a second process out of the run; the system takes the lock back from a killed one.

    Raises:
        RunError: another process is at work, or the folder cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = open(directory / ".lock", "w")
    except OSError as error:
        raise RunError(f"{directory} cannot be written: {error}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"another process is training {directory}") from None
        yield


def readable_tokenizer(run: Run) -> Path:
    """The tokenizer of a run: the file it was given, or the run's own copy where that is gone.

    Raises:
        RunError: there is neither, or they differ.
    """
    copy = run.directory / TOKENIZER
    if not run.tokenizer.is_file():
        if copy.is_file():
            return copy
        raise RunError(
            f"{run.tokenizer} does not exist: give --tokenizer the examples' tokenizer.json"
        )
    if copy.is_file() and copy.read_bytes() != run.tokenizer.read_bytes():
        raise RunError(
            f"{run.tokenizer} is another tokenizer than {copy}, which the run was begun with: "
            f"give --tokenizer {copy}, or choose another folder"
        )
    return run.tokenizer


def begin(run: Run, begun: dict[str, Any]) -> None:
    """Writes config.json and, where there is none, the copy of the tokenizer.

    Warns of versions that are not those of the beginning, `begun`.
    """
    record = run.record()
    for name in ("jax", "platform"):
        if begun.get(name, record[name]) != record[name]:
            logger.warning(
                "%s was begun with %s %s, goes on with %s: not bit for bit what it would have been",
                *(run.directory, name, begun[name], record[name]),
            )
            record[name] = begun[name]
    write_json(run.directory / CONFIG, record)
    copy = run.directory / TOKENIZER
    if not copy.exists():
        temporary = copy.with_name(f"{TOKENIZER}.tmp")
        shutil.copyfile(run.tokenizer, temporary)
        temporary.replace(copy)


def finish(run: Run, done: dict[str, Any]) -> None:
    """Writes done.json: from now on the run is not trained again."""
    write_json(run.directory / DONE, done)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except json.JSONDecodeError as error:
        raise RunError(f"{path}: not JSON ({error})") from None
