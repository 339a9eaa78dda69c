# SPDX-License-Identifier: Apache-2.0
"""Stage 2: reads each file and applies the paper's rules to it; passes on its name and hash."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.pvalue import PCollection

from beam_pipelines.progress import advance
from beam_pipelines.read_repositories import FileBatch, RepositoryInfo, read_file
from beam_pipelines.separate_rejects import SeparateRejects
from coder.data import filters
from coder.data.records import Reject

RULES = filters.FilterConfig()

TIME_SHARE = 0.05
"""Of the pipeline's time, for the progress that is shown."""


@dataclass(frozen=True)
class KeptFile:
    """A file that passed; `digest` of its bytes tells if it changes before it is read again."""

    info: RepositoryInfo
    path: str
    language: str
    digest: bytes


class FilterFiles(beam.PTransform):
    """`FileBatch`es to `.kept` (`KeptFile`) and `.rejects`."""

    def __init__(self, channel: str = "") -> None:
        """`channel`: where progress goes, see `progress`."""
        super().__init__()
        self.channel = channel

    def expand(self, batches: PCollection):
        """Adds the stage to the graph."""
        return batches | beam.FlatMap(filter_batch, self.channel) | SeparateRejects()


def filter_batch(batch: FileBatch, channel: str = "") -> Iterator[KeptFile | Reject]:
    """Each file of a batch; what its name and size already rule out is not read."""
    for file in batch.files:
        reason = filters.check_name(file.path, file.size, RULES)
        if reason:
            yield Reject(batch.info.name, file.path, reason, "")
            continue
        yield filter_file(batch.info, file.path)
        advance(channel, file.size * TIME_SHARE)


def filter_file(info: RepositoryInfo, path: str) -> KeptFile | Reject:
    """Reads and judges one file."""
    content = read_file(info, path, limit=RULES.max_bytes + 1)
    if isinstance(content, Reject):
        return content
    kept = filters.check(path, content, RULES)
    if not isinstance(kept, filters.Kept):
        return Reject(info.name, path, kept, "")
    return KeptFile(info, path, kept.language, content_digest(content))


def content_digest(content: bytes) -> bytes:
    """128 bits that tell contents apart."""
    return hashlib.blake2b(content, digest_size=16).digest()
