# SPDX-License-Identifier: Apache-2.0
"""Stages 4 and 5: the files of a repository, read again, become documents in dependency order, each of one split."""

from collections.abc import Iterable, Iterator

import apache_beam as beam
import google_crc32c

from beam_pipelines.filter_files import KeptFile, content_digest
from beam_pipelines.progress import advance
from beam_pipelines.read_repositories import RepositoryInfo, read_file
from coder.data import dependencies, ordering
from coder.data.records import Document, DocumentFile, Reject

TRAIN, HELD_OUT, REJECTS = "train", "held_out", "rejects"


class OrderDependencies(beam.PTransform):
    """`KeptFile`s to `Document`s of the two splits, and rejects for files that have changed meanwhile."""

    def __init__(self, order: str, seed: int, held_out: frozenset[str], channel: str = ""):
        super().__init__()
        self.order, self.seed, self.held_out, self.channel = order, seed, held_out, channel

    def expand(self, files: beam.PCollection) -> beam.PCollection:
        return (
            files
            | "by repository" >> beam.Map(lambda file: (file.info.name, file))
            | "gather" >> beam.GroupByKey()
            | "order" >> beam.FlatMapTuple(self.documents).with_outputs(TRAIN, HELD_OUT, REJECTS)
        )

    def documents(self, name: str, files: Iterable[KeptFile]) -> Iterator[beam.pvalue.TaggedOutput]:
        """The documents of one repository, smallest id first."""
        split = HELD_OUT if name in self.held_out else TRAIN
        present: dict[str, DocumentFile] = {}
        info = None
        for file in sorted(files, key=lambda file: file.path):
            info = file.info
            read = read_again(file)
            if isinstance(read, Reject):
                yield beam.pvalue.TaggedOutput(REJECTS, read)
            else:
                present[file.path] = read
        ...


def read_again(file: KeptFile) -> DocumentFile | Reject:
    """A file that has passed the filters; a reject if it is not the same any more."""
    content = read_file(file.info, file.path)
    if isinstance(content, Reject):
        return content
    if content_digest(content) != file.digest:
        return Reject(file.info.name, file.path, "changed", "the file was written to while the corpus was built")
    return DocumentFile(file.path, file.language, file.info.licence, content.decode(), google_crc32c.value(content))
