# SPDX-License-Identifier: Apache-2.0
"""The last stage: shards with the same bytes for any runner, worker count or bundle order.

A record's shard is a stable hash of its id, each shard is grouped, sorted by (hash, id) and written
by one call, first under a temporary name. Beam's own TFRecord sink writes records in the order in
which bundles happen to arrive.
"""

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import apache_beam as beam
import google_crc32c
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import PCollection

from beam_pipelines import storage
from beam_pipelines.separate_outputs import Count
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
        ordered = sorted((record for record in records if record), key=self.sort_key)
        contents, counts = self.contents(shard, ordered)
        with ShardWriter(
            self.folder, shard_name(self.prefix, shard, self.num_shards, self.suffix)
        ) as writer:
            for data in contents:
                writer.write(data)
        return WrittenShard(writer.info, counts)

    @staticmethod
    def sort_key(record: Any) -> Any:
        """Where a record stands in its shard; two rejects of one path have one id."""
        return order_key(record.id), record.data

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


def shard_name(prefix: str, shard: int, num_shards: int, suffix: str = ".tfrecord") -> str:
    """The name of a shard below the output folder."""
    return f"{prefix}-{shard:05d}-of-{num_shards:05d}{suffix}"


class ShardWriter:
    """Writes one shard, record by record, through Beam's file systems.

    The bytes stand under a temporary name until they are complete, so that a shard is never a part
    of itself. After the `with` block, `info` describes it.
    """

    def __init__(self, folder: str, name: str) -> None:
        """`name`: below `folder`; .tfrecord frames records, any other ending separates by lines."""
        self._path = storage.join(folder, name)
        self._temporary = f"{self._path}.{uuid.uuid4().hex[:8]}.partial"
        self._frame = frame if name.endswith(".tfrecord") else _line
        self.info = ShardInfo(name, 0, 0, google_crc32c.value(b""))

    def __enter__(self) -> "ShardWriter":
        """Opens the temporary file."""
        # Compression would follow the ending of the name.
        self._file = FileSystems.create(
            self._temporary, "application/octet-stream", CompressionTypes.UNCOMPRESSED
        )
        return self

    def write(self, data: bytes) -> None:
        """Appends one record."""
        framed = self._frame(data)
        self._file.write(framed)
        self.info = ShardInfo(
            self.info.path,
            self.info.records + 1,
            self.info.bytes + len(framed),
            google_crc32c.extend(self.info.crc32c, framed),
        )

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        """Gives the file its name, unless something went wrong."""
        self._file.close()
        if kind is None:
            storage.replace(self._temporary, self._path)


def _line(data: bytes) -> bytes:
    return data + b"\n"


class WriteSummary(beam.PTransform):
    """Writes all `WrittenShard`s and `Count`s as one JSON file, for the launcher."""

    def __init__(self, folder: str, name: str) -> None:
        """The file is `<folder>/<name>`."""
        super().__init__()
        self.folder, self.name = folder, name

    def expand(self, results: PCollection):
        """Adds the step to the graph; counts are summed on the way, so that none of it grows."""
        shards = results | "shards" >> beam.Filter(lambda result: isinstance(result, WrittenShard))
        counts = (
            results
            | "counts" >> beam.Filter(lambda result: isinstance(result, Count))
            | "by name" >> beam.Map(lambda count: (count.name, count.number))
            | beam.CombinePerKey(sum)
            | "sums" >> beam.MapTuple(Count)
        )
        return (shards, counts) | beam.Flatten() | beam.combiners.ToList() | beam.Map(self.write)

    def write(self, results: list[WrittenShard | Count]) -> None:
        """Writes the file: `{"shards": [...], "counts": {name: n}}`."""
        shards = [asdict(result) for result in results if isinstance(result, WrittenShard)]
        counts = {result.name: result.number for result in results if isinstance(result, Count)}
        shards.sort(key=lambda shard: shard["info"]["path"])
        rows = {"shards": shards, "counts": dict(sorted(counts.items()))}
        with ShardWriter(self.folder, self.name) as writer:
            writer.write(json.dumps(rows).encode())


def document_record(document: Document) -> Record:
    """A document as it is stored, and what it adds to the manifest.

    Sizes of documents are counted by powers of two: under 4, those of 4 to 7.
    """
    counts = Counter({"documents": 1, "files": len(document.files)})
    total = 0
    for file in document.files:
        size = len(file.text.encode())
        total += size
        counts[f"bytes/{file.language}"] += size
        counts[f"files/{file.language}"] += 1
        counts[f"licence_bytes/{file.licence}"] += size
        counts[f"licence_files/{file.licence}"] += 1
    counts[f"document_files/{power_of_two(len(document.files))}"] += 1
    counts[f"document_bytes/{power_of_two(total)}"] += 1
    return Record(document.id, document.encode(), dict(counts))


def power_of_two(number: int) -> int:
    """The largest power of two that is no greater than a number; 0 for 0."""
    return 1 << number.bit_length() >> 1


def reject_record(reject: Reject) -> Record:
    """A reject as a line of JSON."""
    line = json.dumps(asdict(reject), ensure_ascii=True).encode()
    return Record(f"{reject.repository}/{reject.path}", line, {f"rejected/{reject.reason}": 1})


def read_reject(line: bytes) -> Reject:
    """What `reject_record` has written."""
    return Reject(**json.loads(line))
