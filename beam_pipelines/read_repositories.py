# SPDX-License-Identifier: Apache-2.0
"""Stage 1: from a source to batches of files. What a source is: `beam_pipelines.sources.source`.

The launcher only looks at each file's size and time. Listing and reading are the workers' work, and
batches are of about equal weight, so that a source of any size is spread evenly.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.pvalue import PBegin

from beam_pipelines.separate_outputs import Count, SeparateOutputs
from beam_pipelines.sources.source import FileBatch, Source, Unit
from coder.data.records import Reject


@dataclass(frozen=True)
class Survey:
    """What the launcher knows of a source without reading it."""

    bytes: int
    digest: str
    """Sixteen hex digits that change with the name, size, time or hash of a file."""


def survey(source: Source) -> Survey:
    """Walks over a source; its memory does not grow with what it finds.

    Raises:
        SourceError: the source is missing or holds no repository.
    """
    total, digest = 0, hashlib.blake2b(digest_size=8)
    for unit in source.units():
        digest.update(repr(unit.name if isinstance(unit, Unit) else unit).encode())
        for state in source.state(unit) if isinstance(unit, Unit) else ():
            total += state.size
            digest.update(repr(state).encode("utf-8", "backslashreplace"))
    return Survey(total, digest.hexdigest())


class ReadRepositories(beam.PTransform):
    """The batches of a source, `.kept`, with `.rejects` and `.counts` ("read": files met so far).

    The files of a batch without references are counted by whoever reads it.
    """

    def __init__(self, source: Source) -> None:
        """`source` is small; its units are found inside the pipeline."""
        super().__init__()
        self.source = source

    def expand(self, begin: PBegin):
        """Adds the stage to the graph."""
        return (
            begin
            | "source" >> beam.Create([self.source])
            | "units" >> beam.FlatMap(lambda source: source.units())
            | "spread units" >> beam.Reshuffle()
            | "list" >> beam.FlatMap(listed, self.source)
            | SeparateOutputs()
        )


def listed(unit: Unit | Reject, source: Source) -> Iterator[FileBatch | Reject | Count]:
    """The batches of one unit, and how many files it has, refused ones included."""
    files = 0
    for found in [unit] if isinstance(unit, Reject) else source.batches(unit):
        files += 1 if isinstance(found, Reject) else len(found.files or ())
        yield found
    yield Count("read", files)
