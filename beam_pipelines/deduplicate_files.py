# SPDX-License-Identifier: Apache-2.0
"""Stage 3: of files with the same bytes, one is kept: that of the smallest (repository, path), whatever the order.

Only hashes and names are shuffled, never contents.
"""

from collections.abc import Iterable, Iterator

import apache_beam as beam

from beam_pipelines.filter_files import KeptFile
from coder.data.records import Reject

SURVIVORS, REJECTS = "survivors", "rejects"


class DeduplicateFiles(beam.PTransform):
    """`KeptFile`s to survivors and `exact_duplicate` rejects."""

    def expand(self, files: beam.PCollection) -> beam.PCollection:
        return (
            files
            | "by content" >> beam.Map(lambda file: (file.digest, file))
            | "gather" >> beam.GroupByKey()
            | "choose" >> beam.FlatMapTuple(choose).with_outputs(SURVIVORS, REJECTS)
        )


def choose(digest: bytes, files: Iterable[KeptFile]) -> Iterator[beam.pvalue.TaggedOutput]:
    """The survivor of one group of equal files, and a reject for each of the others."""
    survivor, *duplicates = sorted(files, key=lambda file: (file.info.name, file.path))
    yield beam.pvalue.TaggedOutput(SURVIVORS, survivor)
    for file in duplicates:
        reject = Reject(file.info.name, file.path, "exact_duplicate", f"of {survivor.info.name}/{survivor.path}")
        yield beam.pvalue.TaggedOutput(REJECTS, reject)
