# SPDX-License-Identifier: Apache-2.0
"""Stages 4 and 5: the files of a repository become documents in dependency order, of one split.

Imports are resolved within a repository, so its files come together here; they are read again, as
only their names were shuffled. What protects from a file that stops or crashes a parser is in
`coder.data.dependencies`: such a file stays, without dependencies.
"""

from collections.abc import Iterable, Iterator

import apache_beam as beam
import google_crc32c
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection

from beam_pipelines.filter_files import KeptFile, content_digest
from beam_pipelines.progress import advance
from beam_pipelines.read_repositories import read_file
from beam_pipelines.separate_rejects import SeparateRejects
from coder.data import dependencies, ordering
from coder.data.records import Document, DocumentFile, Reject, Split

UNPARSED = Metrics.counter("corpus", "unparsed")
"""Files that were kept although their imports could not be read."""

TIME_SHARE = 0.65
"""Of the pipeline's time, for the progress that is shown."""


class OrderDependencies(beam.PTransform):
    """`KeptFile`s to `.kept` (`Document`) and `.rejects`."""

    def __init__(
        self, order: ordering.Order, seed: int, held_out: frozenset[str], channel: str = ""
    ) -> None:
        """`held_out`: names of repositories; `channel`: see `progress`."""
        super().__init__()
        self.order: ordering.Order = order
        self.seed, self.held_out, self.channel = seed, held_out, channel

    def expand(self, files: PCollection):
        """Adds the stage to the graph."""
        return (
            files
            | "by repository" >> beam.Map(lambda file: (file.info.name, file))
            | "gather" >> beam.GroupByKey()
            | "order" >> beam.FlatMapTuple(self.documents)
            | SeparateRejects()
        )

    def documents(self, name: str, files: Iterable[KeptFile]) -> Iterator[Document | Reject]:
        """The documents of one repository."""
        split: Split = "held_out" if name in self.held_out else "train"
        present: dict[str, DocumentFile] = {}
        revision = ""
        for file in files:
            revision = file.info.revision
            again = read_again(file)
            if isinstance(again, Reject):
                yield again
            else:
                present[file.path] = again
        graph = dependencies.resolve({path: file.text for path, file in present.items()})
        UNPARSED.inc(len(graph.unparsed))
        advance(self.channel, TIME_SHARE * sum(len(file.text) for file in present.values()))
        for paths in ordering.order_files(present, graph.edges, self.order, self.seed, name):
            members = tuple(present[path] for path in paths)
            yield Document(f"{name}#{min(paths)}", name, revision, split, self.order, members)


def read_again(file: KeptFile) -> DocumentFile | Reject:
    """A file that has passed the filters; a reject if it is not the same any more."""
    content = read_file(file.info, file.path)
    if isinstance(content, Reject):
        return content
    if content_digest(content) != file.digest:
        return Reject(file.info.name, file.path, "changed", "written to while it was read")
    text = content.decode("utf-8-sig")  # the filters take a byte order mark off too
    checksum = google_crc32c.value(text.encode())
    return DocumentFile(file.path, file.language, file.info.licence, text, checksum)


def is_of(document: Document, split: Split) -> bool:
    """Whether a document belongs to a split."""
    return document.split == split
