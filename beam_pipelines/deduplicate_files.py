# SPDX-License-Identifier: Apache-2.0
"""Stage 3: of files with the same bytes, one is kept.

It is that of the smallest (repository, path), in whatever order they arrive. Only hashes and names
are shuffled, never contents.
"""

from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam.pvalue import PCollection

from beam_pipelines.filter_files import KeptFile
from beam_pipelines.separate_outputs import SeparateOutputs
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
            | SeparateOutputs()
        )


def choose(digest: bytes, files: Iterable[KeptFile]) -> Iterator[KeptFile | Reject]:
    """The survivor of one group of equal files, and a reject for each of the others.

    Goes over the group twice instead of holding it: of some contents there are millions.
    """
    survivor = min(files, key=lambda file: (file.info.name, file.path, repr(file.info)))
    is_met = False
    for file in files:
        if not is_met and file == survivor:
            is_met = True
            yield file
        else:
            detail = f"of {survivor.info.name}/{survivor.path}"
            yield Reject(file.info.name, file.path, "exact_duplicate", detail)
