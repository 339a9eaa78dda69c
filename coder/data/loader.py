# SPDX-License-Identifier: Apache-2.0
"""Finished examples to batches: shuffled, split over processes, resumable to the exact next batch.

The order is a function of (seed, batch number) alone, so the whole state is that number. Every
global batch is the same set of examples for any number of processes; a run may resume on another
number of hosts.
"""

import bisect
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grain
import numpy as np

from coder.data import packing
from coder.data.manifest import ExamplesError, training_shards
from coder.data.tfrecord import RecordFile

Batch = dict[str, np.ndarray]
Example = dict[str, np.ndarray]


class ShardedSource:
    """The examples of several shards as one sequence: grain's `RandomAccessDataSource`."""

    def __init__(self, paths: Sequence[Path]):
        """Opens and indexes the shards.

        Raises:
            OSError: a shard cannot be read.
            CorruptRecordError: a shard is cut off.
        """
        self._files = [RecordFile(path) for path in paths]
        self._ends = list(itertools.accumulate(len(file) for file in self._files))

    def __len__(self) -> int:
        """Examples of all shards."""
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> Example:
        """Example `index`, counted through the shards.

        Raises:
            CorruptRecordError: the record fails its check sum, or its segments make no sequence;
                names file, record and offset.
        """
        shard = bisect.bisect_right(self._ends, index)
        file, number = self._files[shard], index - (self._ends[shard - 1] if shard else 0)
        record = file.read(number)
        try:
            return packing.decode(record)
        except ValueError as error:
            raise file.corrupt(number, str(error)) from None

    def __repr__(self) -> str:
        """The shards, as grain's error messages show them."""
        return f"ShardedSource({len(self._files)} shards, {len(self)} examples)"


class Loader(Iterator[Batch]):
    """Endless batches of what `packing.decode` gives, each array [B, T].

    Each epoch visits every example once, in an order of its own; a batch may span two epochs.
    """

    def __init__(
        self,
        examples_dir: Path | str,
        batch_size: int,
        seed: int,
        process_index: int = 0,
        process_count: int = 1,
    ):
        """Opens the training shards of `examples_dir`.

        Args:
            examples_dir: what `beam_pipelines.examples` wrote.
            batch_size: examples of a step, over all processes.
            seed: order of the examples.
            process_index: which part of every batch is this process's.
            process_count: processes that share a batch; divides `batch_size`.

        Raises:
            ExamplesError: the folder is unfinished, a shard is not what the manifest says, or there
                are fewer examples than one batch holds.
            CorruptRecordError: a shard is cut off.
        """
        if batch_size % process_count:
            raise ExamplesError(
                f"batch_size={batch_size} does not divide by {process_count} processes"
            )
        source = ShardedSource(training_shards(Path(examples_dir)))
        if len(source) < batch_size:
            raise ExamplesError(
                f"{examples_dir}: {len(source)} training examples, fewer than the {batch_size} of "
                "one batch; write more (--tokens) or set a smaller train.batch_size"
            )
        self.num_examples = len(source)
        self._next = 0
        # seed() hashes the seed: shuffle(seed) itself counts it up per epoch, so that epoch 1 of
        # seed 0 would be epoch 0 of seed 1.
        self._batches = (
            grain.MapDataset.source(source)
            .seed(seed)
            .shuffle()
            .repeat()[process_index::process_count]
            .batch(batch_size // process_count)
        )

    def __next__(self) -> Batch:
        """The next batch; this process's part of it.

        Raises:
            CorruptRecordError: a record fails its check sum, or its segments make no sequence.
        """
        batch: Any = self._batches[self._next]
        self._next += 1
        return batch

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on with the batch that `next` would give, as JSON values."""
        return {"next_batch": self._next}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where `state` was taken, with any number of processes."""
        self._next = int(state["next_batch"])
