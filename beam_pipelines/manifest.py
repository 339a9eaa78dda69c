# SPDX-License-Identifier: Apache-2.0
"""The output folder of a pipeline: is it done, may it be written, and what completes it.

`manifest.json` is written last. A folder without it is unfinished, whatever else lies in it; a
folder with it is never written to again.
"""

import dataclasses
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from apache_beam.io.filesystems import FileSystems

from beam_pipelines import storage
from coder import config
from coder.data.tfrecord import ShardInfo

MANIFEST = "manifest.json"

# What a run that was cut may have left: its stages, shards and unfinished files, and nobody else's.
_SHARD = r"-\d{5}-of-\d{5}\.(tfrecord|jsonl)"
_LEFTOVERS = re.compile(
    r"stages/(settings|filter|order|held_out)\.json"
    rf"|(stages/(filter|order|held_out)/\w+|train|held_out|rejects){_SHARD}(\.\w+\.partial)?"
    r"|(stages/)?\w+\.json(\.\w+)?\.(partial|tmp)"
)
_UNFINISHED = (".partial", ".tmp")

log = logging.getLogger("beam_pipelines")


class OutputError(ValueError):
    """The output folder cannot be used; the message says why and what to do."""


class LostFilesError(AssertionError):
    """Files were read that are neither kept nor rejected: a defect of the pipeline."""


def check_reachable(output: str) -> None:
    """Raises OutputError if no file system of Beam's can look at the output folder."""
    try:
        FileSystems.exists(storage.join(output, MANIFEST))
    except Exception as error:  # each client library has errors of its own
        first = str(error).strip().partition("\n")[0]
        raise OutputError(
            f"--output {output} cannot be reached: {first}; docs/runners.md tells what gs://, "
            "s3:// and hdfs:// need"
        ) from error


def prepare(output: str, settings: Mapping[str, Any], resume: bool = False) -> bool:
    """Makes `output` ready to be written; True if it already holds what `settings` would give.

    A result that has lost a shard or a part of one since is written again. With `resume`, what an
    earlier run has left is not cleared away.

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
        if not (broken := damage(output, [*done["shards"], *done.get("rejects", ())])):
            return True
        log.warning("%s: %s; writing all of it again", output, broken)
    try:
        _clear(output, everything=not resume)
    except OSError as error:
        raise OutputError(
            f"--output {output} cannot be written: {storage.problem(error)}"
        ) from error
    return False


def _clear(output: str, everything: bool) -> None:
    """Tries to write; removes the manifest, unfinished files, and `everything` of earlier runs."""
    probe = storage.join(output, "writable.json.partial")
    with FileSystems.create(probe):
        pass
    storage.remove([probe, storage.join(output, MANIFEST)])
    remove_leftovers(output, "", "" if everything else _UNFINISHED)


def remove_leftovers(output: str, start: str, end: str | tuple[str, ...] = "") -> None:
    """Removes files that a run itself has written and that are no result of it.

    Args:
        output: the output folder.
        start: how their names below it begin.
        end: how they end, or one of the ways.
    """
    names = [name for name, _ in storage.files_below(output, start)]
    ours = [name for name in names if _LEFTOVERS.fullmatch(name) and name.endswith(end)]
    storage.remove(storage.join(output, name) for name in ours)
    storage.remove_empty(storage.join(output, "stages"))


def damage(output: str, shards: Iterable[Mapping[str, Any]]) -> str:
    """Which shard of a folder is not as its manifest says; empty if all are, by their sizes."""
    sizes = {name: metadata.size_in_bytes for name, metadata in storage.files_below(output)}
    for shard in shards:
        size = sizes.get(shard["path"])
        if size != shard["bytes"]:
            found = (
                "is missing" if size is None else f"has {size} bytes instead of {shard['bytes']}"
            )
            return f"{shard['path']} {found}"
    return ""


def read(output: str) -> dict[str, Any] | None:
    """The manifest of a finished folder, or None.

    Raises:
        OutputError: there is a manifest that is not JSON.
    """
    address = storage.join(output, MANIFEST)
    try:
        return storage.read_json(address)
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{address} cannot be read ({error}); remove it, and the folder is written anew"
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
