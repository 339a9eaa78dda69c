# SPDX-License-Identifier: Apache-2.0
"""The last stage: shards with the same bytes for any runner, worker count or bundle order.

A record's shard is a stable hash of its id, each shard is grouped, sorted by (hash, id) and written
by one call, first under a temporary name. Beam's own TFRecord sink writes records in the order in
which bundles happen to arrive.
"""

import dataclasses
import json
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import google_crc32c
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import PCollection

from coder.data.records import Document, Reject, stable_hash
from coder.data.tfrecord import ShardInfo, frame


@dataclass(frozen=True)
class Record:
    """What shards hold: an id that places it, its bytes, and what it adds to the counts."""

    id: str
    data: bytes
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class WrittenShard:
    """One shard as written, and the summed counts of its records."""

    info: ShardInfo
    counts: dict[str, int]


class WriteShards(beam.PTransform):
    """`Record`s to files `<folder>/<prefix>-00000-of-000NN<suffix>`, empty ones too.

    Gives a `WrittenShard` for each.
    """

    def __init__(
        self, folder: str, prefix: str, num_shards: int, suffix: str = ".tfrecord"
    ) -> None:
        """`suffix` .tfrecord frames the records; any other separates them by line breaks."""
        super().__init__(f"write {prefix}")
        self.folder, self.prefix, self.num_shards, self.suffix = folder, prefix, num_shards, suffix

    def expand(self, records: PCollection):
        """Adds the stage to the graph."""
        every_shard = records.pipeline | "every shard" >> beam.Create(
            [(shard, None) for shard in range(self.num_shards)]
        )
        placed = records | "place" >> beam.Map(place, num_shards=self.num_shards)
        return (
            (placed, every_shard)
            | "with empty shards" >> beam.Flatten()
            | "gather" >> beam.GroupByKey()
            | "write" >> beam.MapTuple(self.write)
        )

    def write(self, shard: int, records: Iterable[Any]) -> WrittenShard:
        """Writes one shard whole; a repeated or parallel attempt ends in the same file."""
        ordered = sorted(
            (record for record in records if record), key=lambda record: order_key(record.id)
        )
        name = f"{self.prefix}-{shard:05d}-of-{self.num_shards:05d}{self.suffix}"
        framed = frame if self.suffix == ".tfrecord" else _line
        contents, counts = self.contents(shard, ordered)
        size, checksum = write_atomically(
            FileSystems.join(self.folder, name), [framed(data) for data in contents]
        )
        return WrittenShard(ShardInfo(name, len(contents), size, checksum), counts)

    def contents(self, shard: int, ordered: Sequence[Any]) -> tuple[list[bytes], dict[str, int]]:
        """What a shard holds and counts: its records as they are, unless a subclass packs them."""
        counts: Counter[str] = Counter()
        for record in ordered:
            counts.update(record.counts)
        return [record.data for record in ordered], dict(counts)


def order_key(record_id: str) -> tuple[int, str]:
    """Where a record stands in its shard."""
    return stable_hash(0, "order in shard", record_id), record_id


def place(record: Any, num_shards: int) -> tuple[int, Any]:
    """Which shard something with an id belongs to."""
    return stable_hash(0, "shard", record.id) % num_shards, record


def _line(data: bytes) -> bytes:
    return data + b"\n"


def write_atomically(path: str, parts: Sequence[bytes]) -> tuple[int, int]:
    """Writes `parts` through Beam's file systems; returns their total size and CRC-32C.

    The bytes stand under a temporary name until they are complete, so that `path` is never a part
    of itself.
    """
    temporary = f"{path}.{uuid.uuid4().hex[:8]}.partial"
    size, checksum = 0, google_crc32c.value(b"")
    with FileSystems.create(temporary, "application/octet-stream") as file:
        for part in parts:
            file.write(part)
            size += len(part)
            checksum = google_crc32c.extend(checksum, part)
    FileSystems.rename([temporary], [path])
    return size, checksum


class WriteSummary(beam.PTransform):
    """Writes all `WrittenShard`s as one JSON file, for the launcher to complete the output."""

    def __init__(self, folder: str, name: str) -> None:
        """The file is `<folder>/<name>`."""
        super().__init__()
        self.path = FileSystems.join(folder, name)

    def expand(self, shards: PCollection):
        """Adds the step to the graph."""
        return shards | beam.combiners.ToList() | beam.Map(self.write)

    def write(self, shards: list[WrittenShard]) -> None:
        """Writes the file."""
        rows = sorted(map(dataclasses.asdict, shards), key=lambda row: row["info"]["path"])
        write_atomically(self.path, [json.dumps(rows).encode()])


def document_record(document: Document) -> Record:
    """A document as it is stored, and what it adds to the manifest."""
    counts = Counter({"documents": 1, "files": len(document.files)})
    for file in document.files:
        counts[f"bytes/{file.language}"] += len(file.text.encode())
    return Record(document.id, document.encode(), dict(counts))


def reject_record(reject: Reject) -> Record:
    """A reject as a line of JSON."""
    line = json.dumps(dataclasses.asdict(reject), ensure_ascii=True).encode()
    return Record(f"{reject.repository}/{reject.path}", line, {f"rejected/{reject.reason}": 1})
