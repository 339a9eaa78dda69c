# SPDX-License-Identifier: Apache-2.0
"""The output folder of a pipeline: is it done, may it be written, and what completes it.

`manifest.json` is written last. A folder without it is unfinished, whatever else lies in it; a
folder with it is never written to again.
"""

import dataclasses
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from coder import config
from coder.data.tfrecord import ShardInfo

MANIFEST = "manifest.json"

# What an earlier run that was cut may have left, and this one writes anew.
_LEFTOVERS = re.compile(
    r"(train|held_out|rejects)-\d{5}-of-\d{5}\.(tfrecord|jsonl)(\.\w+\.partial)?|\w+\.json(\.\w+)?\.(partial|tmp)"
)


log = logging.getLogger("beam_pipelines")


class OutputError(ValueError):
    """The output folder cannot be used; the message says why and what to do."""


class LostFilesError(AssertionError):
    """Files were read that are neither kept nor rejected: a defect of the pipeline."""


def prepare(output: Path, settings: Mapping[str, Any]) -> bool:
    """Makes `output` ready to be written; True if it already holds what `settings` would give.

    A result that has lost a shard or a part of one since is written again.

    Raises:
        OutputError: it holds the result of other settings, or cannot be written.
    """
    done = read(output)
    if done is not None:
        changes = config.difference(done.get("config", {}), dict(settings))
        if changes:
            raise OutputError(
                f"--output {output} holds the result of other settings ({'; '.join(changes)}); "
                "choose another --output, or remove that folder"
            )
        if not (broken := damage(output, done)):
            return True
        log.warning("%s: %s; writing all of it again", output, broken)
    try:
        (output / MANIFEST).unlink(missing_ok=True)
        output.mkdir(parents=True, exist_ok=True)
        probe = output / "writable.json.partial"
        probe.touch()
        probe.unlink()
        for entry in output.iterdir():
            if _LEFTOVERS.fullmatch(entry.name):
                entry.unlink()
    except OSError as error:
        raise OutputError(f"--output {output} cannot be written: {error.strerror}") from error
    return False


def damage(output: Path, done: Mapping[str, Any]) -> str:
    """Which shard of a finished folder is not as the manifest says; empty if all are, by size."""
    for shard in [*done["shards"], *done.get("rejects", ())]:
        path = output / shard["path"]
        size = path.stat().st_size if path.exists() else None
        if size != shard["bytes"]:
            found = (
                "is missing" if size is None else f"has {size} bytes instead of {shard['bytes']}"
            )
            return f"{shard['path']} {found}"
    return ""


def read(output: Path) -> dict[str, Any] | None:
    """The manifest of a finished folder, or None.

    Raises:
        OutputError: there is a manifest that is not JSON.
    """
    path = output / MANIFEST
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{path} cannot be read ({error}); remove it, and the folder is written anew"
        ) from error


def rejected(counts: Mapping[str, int]) -> dict[str, int]:
    """Reasons and how often each was given, the most frequent first."""
    prefix = "rejected/"
    reasons = {
        name.removeprefix(prefix): n for name, n in counts.items() if name.startswith(prefix)
    }
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


def check_identity(files_read: int, files_kept: int, reasons: Mapping[str, int]) -> None:
    """Raises LostFilesError unless each file that was read is either kept or rejected."""
    if files_read != files_kept + sum(reasons.values()):
        raise LostFilesError(
            f"{files_read} files were read, but {files_kept} kept and "
            f"{sum(reasons.values())} rejected; "
            "the output is not complete, please report this"
        )


def total(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    """The sum of several counts."""
    summed: Counter[str] = Counter()
    for count in counts:
        summed.update(count)
    return summed


def shard_rows(shards: Iterable[ShardInfo]) -> list[dict[str, Any]]:
    """Shards as the manifest lists them, by name."""
    return [dataclasses.asdict(shard) for shard in sorted(shards, key=lambda shard: shard.path)]
