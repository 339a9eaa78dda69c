# SPDX-License-Identifier: Apache-2.0
"""Stage 6: held-out documents that training nearly contains are rejected, or the held-out figures would measure memory.

The share of a held-out document's distinct 5-gram shingles that occur anywhere in training is computed exactly, not
estimated: the shingle hashes of the held-out documents (8 bytes each, 2 to 3 million for the default corpus) go to every
worker, each training document says which of them it has, and the union of these comes back to the held-out documents.
No training shingle is shuffled unless it is held out too.
"""

from collections.abc import Iterable, Iterator

import apache_beam as beam
import numpy as np

from coder.data.near_duplicates import shingle_hashes
from coder.data.records import Document, Reject

MAX_SHARE = 0.5
KEPT, REJECTS = "kept", "rejects"


class RejectNearHeldOut(beam.PTransform):
    """`{"train": documents, "held_out": documents}` to the held-out documents that are kept, and `near_training` rejects."""

    def expand(self, splits: dict[str, beam.PCollection]) -> beam.PCollection:
        held_out = splits["held_out"]
        wanted = held_out | "held-out shingles" >> beam.Map(document_shingles) | "wanted" >> beam.CombineGlobally(Union())
        found = (
            splits["train"]
            | "training shingles" >> beam.Map(shared_shingles, beam.pvalue.AsSingleton(wanted))
            | "found" >> beam.CombineGlobally(Union())
        )
        return held_out | "judge" >> beam.FlatMap(judge, beam.pvalue.AsSingleton(found)).with_outputs(KEPT, REJECTS)


def document_shingles(document: Document) -> np.ndarray:
    """The distinct shingle hashes of a document's files, sorted; path comments take no part. uint64 [n]."""
    parts = [shingle_hashes(file.text) for file in document.files]
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.uint64)


def shared_shingles(document: Document, wanted: np.ndarray) -> np.ndarray:
    """Those of the sorted hashes `wanted` that a document has. uint64 [n]."""
    shingles = document_shingles(document)
    return shingles[contained(shingles, wanted)]


def contained(hashes: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Which of `hashes` occur in the sorted array `within`. bool [n]."""
    if not len(within):
        return np.zeros(len(hashes), bool)
    places = np.searchsorted(within, hashes)
    return within[np.minimum(places, len(within) - 1)] == hashes


def judge(document: Document, found: np.ndarray) -> Iterator[beam.pvalue.TaggedOutput]:
    """The document itself, or a reject for each of its files if training has too many of its shingles."""
    shingles = document_shingles(document)
    share = float(contained(shingles, found).mean()) if len(shingles) else 0.0
    if share < MAX_SHARE:
        yield beam.pvalue.TaggedOutput(KEPT, document)
        return
    for file in document.files:
        detail = f"training has {share:.0%} of the shingles of {document.id}"
        yield beam.pvalue.TaggedOutput(REJECTS, Reject(document.repository, file.path, "near_training", detail))


class Union(beam.CombineFn):
    """The sorted union of arrays of hashes; arrays are merged when they have become many, not one by one."""

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
        return np.unique(np.concatenate([np.empty(0, np.uint64), *accumulator]))
