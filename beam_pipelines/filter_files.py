# SPDX-License-Identifier: Apache-2.0
"""Stage 2: reads each file once, applies the rules of the paper to it, and passes on its name and hash, not its contents."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam

from beam_pipelines.progress import advance
from beam_pipelines.read_repositories import FileBatch, RepositoryInfo, read_file
from coder.data import filters
from coder.data.languages import language_of
from coder.data.records import Reject

KEPT, REJECTS = "kept", "rejects"


@dataclass(frozen=True)
class KeptFile:
    """A file that passed, by reference; `digest` is blake2b of its bytes, so that a change before the next read is seen."""

    info: RepositoryInfo
    path: str
    language: str
    digest: bytes


class FilterFiles(beam.PTransform):
    """`FileBatch`es to `KeptFile`s and rejects."""

    def __init__(self, channel: str = ""):
        super().__init__()
        self.channel = channel

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        return batches | beam.FlatMap(filter_batch, self.channel).with_outputs(KEPT, REJECTS)


def filter_batch(batch: FileBatch, channel: str = "") -> Iterator[beam.pvalue.TaggedOutput]:
    """Each file of a batch, as `KeptFile` or as `Reject`."""
    for path in batch.paths:
        result, size = filter_file(batch.info, path)
        yield beam.pvalue.TaggedOutput(REJECTS if isinstance(result, Reject) else KEPT, result)
        advance(channel, size if isinstance(result, KeptFile) else 2 * size)


def filter_file(info: RepositoryInfo, path: str) -> tuple[KeptFile | Reject, int]:
    """One file and how many bytes were read; a file of no known language is refused by its name, unread."""
    language = language_of(path)
    if language is None:
        return Reject(info.name, path, "unknown_language", ""), 0
    content = read_file(info, path)
    if isinstance(content, Reject):
        return content, 0
    problem = filters.problem(path, language, content)
    if problem:
        return Reject(info.name, path, *problem), len(content)
    return KeptFile(info, path, language, content_digest(content)), len(content)


def content_digest(content: bytes) -> bytes:
    """128 bits that tell contents apart."""
    return hashlib.blake2b(content, digest_size=16).digest()
