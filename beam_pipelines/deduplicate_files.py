# SPDX-License-Identifier: Apache-2.0
"""Stage 3: of files with the same bytes, one is kept.

It is that of the smallest (repository, path), in whatever order they arrive. Only hashes and names
are shuffled, never contents.
"""

from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam.pvalue import PCollection

from beam_pipelines.filter_files import KeptFile
from beam_pipelines.separate_rejects import SeparateRejects
from coder.data.records import Reject


class DeduplicateFiles(beam.PTransform):
    """`KeptFile`s to `.kept`, one for each content, and `.rejects`."""

    def expand(self, files: PCollection):
        """Adds the stage to the graph."""
        return (
            files
            | "by content" >> beam.Map(lambda file: (file.digest, file))
            | "gather" >> beam.GroupByKey()
            | "choose" >> beam.FlatMapTuple(choose)
            | SeparateRejects()
        )


def choose(digest: bytes, files: Iterable[KeptFile]) -> Iterator[KeptFile | Reject]:
    """The survivor of one group of equal files, and a reject for each of the others."""
    survivor, *duplicates = sorted(files, key=lambda file: (file.info.name, file.path))
    yield survivor
    for file in duplicates:
        yield Reject(
            file.info.name, file.path, "exact_duplicate", f"of {survivor.info.name}/{survivor.path}"
        )
