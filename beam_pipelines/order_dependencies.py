# SPDX-License-Identifier: Apache-2.0
"""Stages 4 and 5: the files of a repository become documents in dependency order, of one split.

Imports are resolved within a repository, so its files come together here; they are read again, as
only their names were shuffled. A shard holds whole repositories, one after the other, so that no
text is ever shuffled and the texts of no more than one repository are in memory. (Files of tables
bring their texts along, as nobody could find them again.)
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import apache_beam as beam
import google_crc32c
from apache_beam.pvalue import PCollection

from beam_pipelines.filter_files import KeptFile, content_digest
from beam_pipelines.progress import advance
from beam_pipelines.separate_outputs import Count, SeparateOutputs
from beam_pipelines.sources.source import FileBatch, FileReference, RepositoryInfo, Source
from beam_pipelines.split_held_out import HeldOut
from beam_pipelines.write_tfrecords import (
    ShardWriter,
    WrittenShard,
    document_record,
    order_key,
    shard_name,
)
from coder.data import dependencies, ordering
from coder.data.licences import LicenceIndex, is_licence_file
from coder.data.records import Document, DocumentFile, Reject, Split, stable_hash

REPOSITORY_BYTES = 64 * 2**20
"""A repository with more text than this is not ordered: its files become documents of their own."""


@dataclass(frozen=True)
class OrderConfig:
    """How documents are made.

    Attributes:
        order: how the files of a document follow each other.
        seed: draws the random order.
        held_out: tells the held-out repositories.
        component_bytes: a longer component becomes a document for each of its files, as samples
            over 32 K tokens do in DeepSeek-Coder's long-context stage; 0: none does.
    """

    order: ordering.Order
    seed: int
    held_out: HeldOut
    component_bytes: int = 0


class WriteDocuments(beam.PTransform):
    """`KeptFile`s to shards of documents.

    Gives `.kept` (`WrittenShard`, those of `train` and of `held_out` under their prefixes),
    `.rejects` and `.counts`.
    """

    def __init__(
        self,
        source: Source,
        config: OrderConfig,
        folder: str,
        prefixes: Mapping[Split, str],
        num_shards: int,
        channel: str = "",
    ) -> None:
        """`prefixes`: where the shards of a split lie; `channel`: see `progress`."""
        super().__init__()
        self.source, self.config, self.channel = source, config, channel
        self.folder, self.prefixes, self.num_shards = folder, prefixes, num_shards

    def expand(self, files: PCollection):
        """Adds the stage to the graph."""
        every_shard = files.pipeline | "every shard" >> beam.Create(
            [(shard, None) for shard in range(self.num_shards)]
        )
        placed = files | "place" >> beam.Map(lambda file: (self.shard_of(file.info.name), file))
        return (
            (placed, every_shard)
            | "with empty shards" >> beam.Flatten()
            | "gather" >> beam.GroupByKey()
            | "write" >> beam.FlatMapTuple(self.write)
            | SeparateOutputs()
        )

    def shard_of(self, repository: str) -> int:
        """Which shard a repository belongs to."""
        return stable_hash(0, "shard", repository) % self.num_shards

    def write(
        self, shard: int, files: Iterable[KeptFile | None]
    ) -> Iterator[WrittenShard | Reject | Count]:
        """Writes one shard of each split, repository by repository."""
        repositories = defaultdict[str, list[KeptFile]](list)
        for file in files:
            if file is not None:
                repositories[file.info.name].append(file)
        for split, prefix in self.prefixes.items():
            names = [name for name in repositories if split_of(name, self.config) == split]
            counts: dict[str, int] = defaultdict(int)
            with ShardWriter(self.folder, shard_name(prefix, shard, self.num_shards)) as writer:
                for name in sorted(names, key=order_key):
                    for made in documents(name, repositories[name], self.source, self.config):
                        if not isinstance(made, Document):
                            yield made
                            continue
                        record = document_record(made)
                        writer.write(record.data)
                        for what, number in record.counts.items():
                            counts[what] += number
                    advance(self.channel, sum(file.size for file in repositories[name]))
            yield WrittenShard(writer.info, dict(counts))


def split_of(repository: str, config: OrderConfig) -> Split:
    """The split that all documents of a repository belong to."""
    return "held_out" if repository in config.held_out else "train"


def documents(
    name: str, files: Sequence[KeptFile], source: Source, config: OrderConfig
) -> Iterator[Document | Reject | Count]:
    """The documents of one repository, and what of it cannot be read any more."""
    files = sorted(files, key=lambda file: (file.path, file.digest))
    members: list[KeptFile] = []
    for file in files:
        if file.is_beside:
            continue
        if members and members[-1].path == file.path:  # rows of a table, in any of its files
            yield Reject(name, file.path, "duplicate_path", "another row has the same path")
        else:
            members.append(file)
    if not members:
        return
    if sum(file.size for file in files) > REPOSITORY_BYTES:
        yield Count("fallback/repositories", 1)
        yield Count("fallback/repository_files", len(members))
        files = [file for file in files if is_licence_file(file.path)]
        maker = DocumentMaker(name, _beside(files, source), config)
        for read in read_again(members, source):
            yield read if isinstance(read, Reject) else maker.document([read])
        return
    present: dict[str, ReadFile] = {}
    for read in read_again(members, source):
        if isinstance(read, Reject):
            yield read
        else:
            present[read.path] = read
    yield from DocumentMaker(name, _beside(files, source), config).components(present)


def _beside(files: Iterable[KeptFile], source: Source) -> dict[str, str]:
    """The texts of the files that are read beside the corpus."""
    found = read_again([file for file in files if file.is_beside], source)
    return {read.path: read.text for read in found if isinstance(read, ReadFile)}


@dataclass(frozen=True)
class ReadFile:
    """A file that was kept, with its text.

    `info` is its own: rows of a table may have a licence and a revision each.
    """

    info: RepositoryInfo
    path: str
    language: str
    text: str
    size: int


def read_again(files: Iterable[KeptFile], source: Source) -> Iterator[ReadFile | Reject]:
    """The texts of files that have passed; a reject for one that is not the same any more."""
    by_info = defaultdict[RepositoryInfo, dict[str, KeptFile]](dict)
    for file in files:
        if file.content is None:
            by_info[file.info][file.path] = file
        else:
            yield _as_read(file, file.content)
    for info, wanted in by_info.items():
        listed = tuple(FileReference(path, file.size) for path, file in wanted.items())
        limit = 1 + max(file.size for file in wanted.values())
        for found in source.read(FileBatch(info, listed), limit):
            file = wanted.get(found.path)
            if file is None or isinstance(found, Reject):
                continue
            if content_digest(found.content) == file.digest:
                del wanted[found.path]
                yield _as_read(file, found.content)
        for file in wanted.values():
            yield Reject(info.name, file.path, "changed", "while it was read")


def _as_read(file: KeptFile, content: bytes) -> ReadFile:
    # The filters take a byte order mark off, too; a file beside the corpus may be anything.
    text = content.decode("utf-8-sig", "replace" if file.is_beside else "strict")
    return ReadFile(file.info, file.path, file.language, text, file.size)


class DocumentMaker:
    """Makes the documents of one repository."""

    def __init__(self, name: str, settings: Mapping[str, str], config: OrderConfig) -> None:
        """`settings`: texts of the files beside the corpus."""
        self.name, self.settings, self.config = name, settings, config
        self._licences: dict[str, LicenceIndex] = {}

    def licence(self, file: ReadFile) -> str:
        """The licence of a file: its own, that of the nearest licence file, or the repository's."""
        stated = file.info.licence
        if stated not in self._licences:
            texts = {path: text for path, text in self.settings.items() if is_licence_file(path)}
            self._licences[stated] = LicenceIndex(texts, stated)
        return self._licences[stated].of(file.path, file.text)

    def components(self, files: Mapping[str, ReadFile]) -> Iterator[Document | Count]:
        """The connected components of the dependency graph, in order; long ones file by file."""
        graph = dependencies.resolve(
            {path: file.text for path, file in files.items()},
            {path: file.language for path, file in files.items()},
            self.settings,
        )
        yield Count("unparsed", len(graph.unparsed))
        config = self.config
        for paths in ordering.order_files(files, graph.edges, config.order, config.seed, self.name):
            size = sum(files[path].size for path in paths)
            if len(paths) > 1 and 0 < config.component_bytes < size:
                yield Count("fallback/components", 1)
                yield Count("fallback/component_files", len(paths))
                yield from (self.document([files[path]]) for path in sorted(paths))
            else:
                yield self.document([files[path] for path in paths])

    def document(self, files: Sequence[ReadFile]) -> Document:
        """Files, in this order, as a document."""
        members = tuple(
            DocumentFile(
                file.path,
                file.language,
                self.licence(file),
                file.text,
                google_crc32c.value(file.text.encode()),
            )
            for file in files
        )
        first = min(file.path for file in files)
        revision = " ".join(sorted({file.info.revision for file in files}))
        split = split_of(self.name, self.config)
        return Document(
            f"{self.name}#{first}", self.name, revision, split, self.config.order, members
        )
