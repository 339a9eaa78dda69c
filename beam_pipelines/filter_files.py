# SPDX-License-Identifier: Apache-2.0
"""Stage 2: reads each file and applies the paper's rules to it; passes on its name and hash.

A file that a resolver needs (`go.mod`) or that states a licence goes on *beside* the corpus, too,
whether or not it is kept as a part of it.
"""

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache

import apache_beam as beam
from apache_beam.pvalue import PCollection

from beam_pipelines.progress import advance
from beam_pipelines.separate_outputs import Count, SeparateOutputs
from beam_pipelines.sources.source import (
    FileBatch,
    FileContent,
    FileReference,
    Metadata,
    RepositoryInfo,
    Source,
)
from beam_pipelines.write_tfrecords import Record
from coder.data import dependencies, filters
from coder.data.languages import Languages
from coder.data.licences import is_licence_file
from coder.data.opt_out import OptOut
from coder.data.records import Reject
from coder.data.tfrecord import decode_example, encode_example


@dataclass(frozen=True)
class KeptFile:
    """A file that passed, by reference.

    Attributes:
        info: its repository.
        path: within the repository.
        language: empty for a file that is only read beside the corpus.
        size: bytes, byte order mark included.
        digest: of its bytes; tells if it changes before it is read again.
        content: the bytes themselves, where its source cannot find them again; else None.
    """

    info: RepositoryInfo
    path: str
    language: str
    size: int
    digest: bytes
    content: bytes | None = None

    @property
    def is_beside(self) -> bool:
        """Whether it is no part of the corpus, but says where imports lead or states a licence."""
        return not self.language

    def encode(self) -> bytes:
        """The file as a `tf.train.Example`."""
        return encode_example(
            {
                "info": json.dumps(asdict(self.info)).encode(),
                "path": self.path.encode(),
                "language": self.language.encode(),
                "size": [self.size],
                "digest": self.digest,
                "content": [] if self.content is None else [self.content],
            }
        )

    @classmethod
    def decode(cls, record: bytes) -> "KeptFile":
        """What `encode` wrote."""
        found = decode_example(record)
        (info,), (path,), (language,) = found["info"], found["path"], found["language"]
        (size,), (digest,) = found["size"], found["digest"]
        content = found["content"][0] if found["content"] else None
        return cls(_info(info), path.decode(), language.decode(), size, digest, content)


@dataclass(frozen=True)
class Rules:
    """What decides on a file."""

    filters: filters.FilterConfig
    languages: Languages
    opt_out: OptOut


class FilterFiles(beam.PTransform):
    """`FileBatch`es to `.kept` (`KeptFile`), `.rejects` and `.counts`."""

    def __init__(self, source: Source, rules: Rules, channel: str = "") -> None:
        """`channel`: where progress goes, see `progress`."""
        super().__init__()
        self.source, self.rules, self.channel = source, rules, channel

    def expand(self, batches: PCollection):
        """Adds the stage to the graph."""
        return (
            batches
            | beam.FlatMap(filter_batch, self.source, self.rules, self.channel)
            | SeparateOutputs()
        )


def filter_batch(
    batch: FileBatch, source: Source, rules: Rules, channel: str = ""
) -> Iterator[KeptFile | Reject | Count]:
    """Each file of a batch; what its name and size rule out is read only if wanted beside."""
    if batch.files is None:
        yield from _judge(batch, frozenset(), source, rules, channel)
        return
    wanted: list[FileReference] = []
    refused: set[str] = set()
    for file in batch.files:
        reason = _name_reason(batch.info.name, file.path, file.size, rules)
        if reason:
            yield Reject(batch.info.name, file.path, reason, "")
        if not reason:
            wanted.append(file)
        elif _is_beside(file.path, file.size, rules):
            wanted.append(file)
            refused.add(file.path)
        else:
            advance(channel, file.size)
    if wanted:
        yield from _judge(replace(batch, files=tuple(wanted)), refused, source, rules, channel)


def _judge(
    batch: FileBatch, refused: Collection[str], source: Source, rules: Rules, channel: str
) -> Iterator[KeptFile | Reject | Count]:
    """Reads the files of a batch; those without reference are counted, too.

    A file may have changed since it was listed, so all of them are judged by name and size again,
    but for those of `refused`, which are rejects already.
    """
    files = 0
    for found in source.read(batch, rules.filters.max_bytes + 1):
        files += 1
        if isinstance(found, Reject):
            if found.path not in refused:
                yield found
            continue
        size = len(found.content)
        if found.path not in refused:
            reason = _name_reason(batch.info.name, found.path, size, rules)
            if reason:
                yield Reject(batch.info.name, found.path, reason, "")
            else:
                yield judge_file(batch.info, found, rules)
        if _is_beside(found.path, size, rules):
            yield KeptFile(batch.info, found.path, "", size, *_kept_bytes(found))
        advance(channel, size)
    if batch.files is None:
        yield Count("read", files)


def _name_reason(repository: str, path: str, size: int, rules: Rules) -> str | None:
    if rules.opt_out.covers(repository, path):
        return "opt_out"
    return filters.check_name(path, size, rules.filters, rules.languages)


def _is_beside(path: str, size: int, rules: Rules) -> bool:
    """Whether a file is wanted beside the corpus, too."""
    if not 0 < size <= rules.filters.max_bytes or not path.isprintable():
        return False
    if len(path) > rules.filters.max_path:
        return False
    return is_licence_file(path) or dependencies.is_project_file(path)


def judge_file(info: RepositoryInfo, file: FileContent, rules: Rules) -> KeptFile | Reject:
    """Applies the rules to one file that was read."""
    kept = filters.check(file.path, file.content, rules.filters, rules.languages)
    if not isinstance(kept, filters.Kept):
        return Reject(info.name, file.path, kept, "")
    return KeptFile(info, file.path, kept.language, len(file.content), *_kept_bytes(file))


def _kept_bytes(file: FileContent) -> tuple[bytes, bytes | None]:
    return content_digest(file.content), file.content if file.carried else None


def content_digest(content: bytes) -> bytes:
    """128 bits that tell contents apart."""
    return hashlib.blake2b(content, digest_size=16).digest()


def kept_record(file: KeptFile) -> Record:
    """A file as it is stored between the stages, and what it adds to the counts."""
    kind = "beside" if file.is_beside else "passed"
    counts = {kind: 1, f"{kind}_bytes": file.size}
    return Record(f"{file.info.name}/{file.path}/{kind}", file.encode(), counts)


@lru_cache(4096)
def _info(stored: bytes) -> RepositoryInfo:
    values = json.loads(stored)
    return RepositoryInfo(**values | {"metadata": Metadata(**values["metadata"])})
