# SPDX-License-Identifier: Apache-2.0
"""Stages that a run does one after the other, none of them twice.

A stage is a pipeline of its own. It writes its shards, and last a file `stages/<name>.json` with
what it has written and counted; a run that was cut begins again with the first stage without that
file, provided that its options and its input are the same.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from beam_pipelines import manifest, options, progress, storage
from beam_pipelines.local_workers import fatal_worker_deaths
from beam_pipelines.write_tfrecords import WriteSummary

SETTINGS = "stages/settings.json"

log = logging.getLogger("beam_pipelines")


@dataclass(frozen=True)
class StageResult:
    """What a stage has written and counted."""

    shards: list[dict[str, Any]]
    """`{"info": …, "counts": …}` for each shard, as `WriteSummary` has them."""
    counts: dict[str, int]

    def paths(self, prefix: str) -> list[str]:
        """The names, below the output folder, of shards that begin so and hold anything.

        The largest come first, which is the best order to deal them out to workers.
        """
        infos = [shard["info"] for shard in self.shards]
        found = [info for info in infos if info["path"].startswith(prefix) and info["records"]]
        return [info["path"] for info in sorted(found, key=lambda i: (-i["bytes"], i["path"]))]


@dataclass(frozen=True)
class Stages:
    """The stages of one run.

    Attributes:
        output: address of the output folder.
        beam_flags: options for Beam.
        workers: processes on this machine.
    """

    output: str
    beam_flags: Sequence[str]
    workers: int

    def can_resume(self, settings: Mapping[str, Any]) -> bool:
        """Whether finished stages in the folder were made with these settings."""
        try:
            return storage.read_json(storage.join(self.output, SETTINGS)) == settings
        except (OSError, ValueError):
            return False

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Notes what the stages to come are made with."""
        storage.write_json(storage.join(self.output, SETTINGS), settings)

    def run(self, name: str, work: int, build: Callable[[beam.Pipeline, str], Any]) -> StageResult:
        """Runs a stage, or finds it finished.

        Args:
            name: of the stage.
            work: bytes that its progress counts towards.
            build: makes the graph from a pipeline and the channel of its progress; returns the
                `WrittenShard`s and `Count`s.
        """
        done = f"stages/{name}.json"
        found = self._finished(done)
        if found is not None:
            log.info("%s: finished by an earlier run", name)
            return found
        flags = options.beam_options(self.beam_flags, self.workers)
        with (
            fatal_worker_deaths(),
            progress.shown(name, work) as channel,
            beam.Pipeline(options=flags) as pipeline,
        ):
            reached = channel if options.has_local_workers(flags) else ""
            _ = build(pipeline, reached) | f"finish {name}" >> WriteSummary(self.output, done)
        found = self._finished(done)
        if found is None:
            raise manifest.LostFilesError(f"the stage {name} has ended without {done}")
        return found

    def _finished(self, done: str) -> StageResult | None:
        """The result of a stage, if it is there and all its shards are."""
        found = storage.read_json(storage.join(self.output, done))
        if found is None or manifest.damage(self.output, [s["info"] for s in found["shards"]]):
            return None
        return StageResult(**found)

    def are_left(self) -> bool:
        """Whether a run was cut after the last stage and before `end`."""
        return FileSystems.exists(storage.join(self.output, SETTINGS))

    def end(self) -> None:
        """Removes what only the stages themselves needed; the last step of a run."""
        manifest.remove_leftovers(self.output, "stages/")
