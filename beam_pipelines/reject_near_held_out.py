# SPDX-License-Identifier: Apache-2.0
"""Stage 6: held-out documents that training nearly contains are rejected.

Otherwise the held-out figures would measure memory.
The share of a held-out document's distinct 5-gram shingles that occur anywhere in training is
computed exactly, not estimated: the shingle hashes of the held-out documents (8 bytes each, 2 to 3
million for the default corpus) go to every worker, each training document says which of them it
has, and the union of these comes back to the held-out documents. No training shingle is shuffled
unless it is held out too.
"""

from collections.abc import Iterable, Iterator
from typing import cast

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsSingleton, PCollection, PValue

from beam_pipelines.progress import advance
from beam_pipelines.separate_outputs import SeparateOutputs
from coder.data.near_duplicates import contained, containment, distinct, shingle_hashes
from coder.data.records import Document, Reject

MAX_SHARE = 0.5


class RejectNearHeldOut(beam.PTransform):
    """Held-out documents to `.kept` and `.rejects`, given the documents of training."""

    def __init__(self, train: PCollection, channel: str = "") -> None:
        """`train`: documents; `channel`: see `progress`."""
        super().__init__()
        self.train, self.channel = train, channel

    def expand(self, held_out: PCollection):
        """Adds the stage to the graph."""
        wanted = (
            held_out
            | "held-out shingles" >> beam.Map(document_shingles)
            | "wanted" >> beam.CombineGlobally(Union())
        )
        found = (
            self.train
            | "training shingles" >> beam.Map(shared_shingles, _single(wanted), self.channel)
            | "found" >> beam.CombineGlobally(Union())
        )
        judged = held_out | "judge" >> beam.FlatMap(judge, _single(found))
        return judged | SeparateOutputs()


def _single(combined: PValue) -> AsSingleton:
    """A side input of one value; to Beam's annotations, what `|` gives may have any number."""
    return AsSingleton(cast(PCollection, combined))


def document_shingles(document: Document) -> np.ndarray:
    """The distinct shingle hashes of a document's files, without headers, sorted: uint64 [n]."""
    return distinct([shingle_hashes(file.text) for file in document.files])


def shared_shingles(document: Document, wanted: np.ndarray, channel: str = "") -> np.ndarray:
    """Those of the sorted hashes `wanted` that a document has: uint64 [n]."""
    if not len(wanted):
        return wanted
    shingles = document_shingles(document)
    advance(channel, sum(len(file.text.encode()) for file in document.files))
    return shingles[contained(shingles, wanted)]


def judge(document: Document, found: np.ndarray) -> Iterator[Document | Reject]:
    """The document, or a reject for each of its files if training has its shingles."""
    share = containment(document_shingles(document), found)
    if share < MAX_SHARE:
        yield document
        return
    detail = f"training has {share:.0%} of the shingles of {document.id}"
    for file in document.files:
        yield Reject(document.repository, file.path, "near_training", detail)


class Union(beam.CombineFn):
    """The sorted union of arrays of hashes; they are merged when they have become many."""

    def create_accumulator(self) -> list[np.ndarray]:
        """No hashes yet."""
        return []

    def add_input(self, accumulator: list[np.ndarray], hashes: np.ndarray) -> list[np.ndarray]:
        """Notes one array."""
        accumulator.append(hashes)
        return self.compact(accumulator) if len(accumulator) >= 256 else accumulator

    def merge_accumulators(self, accumulators: Iterable[list[np.ndarray]]) -> list[np.ndarray]:
        """All arrays of several accumulators, as one."""
        return self.compact([hashes for accumulator in accumulators for hashes in accumulator])

    def compact(self, accumulator: list[np.ndarray]) -> list[np.ndarray]:
        """The same hashes as one sorted array."""
        return [self.extract_output(accumulator)]

    def extract_output(self, accumulator: list[np.ndarray]) -> np.ndarray:
        """The union."""
        return distinct(accumulator)
