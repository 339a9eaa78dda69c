# SPDX-License-Identifier: Apache-2.0
"""A finished corpus of given documents and rejects, as `beam_pipelines.corpus` would leave it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from beam_pipelines.corpus_summary import assemble
from beam_pipelines.stages import StageResult
from beam_pipelines.write_tfrecords import (
    Record,
    ShardWriter,
    document_record,
    order_key,
    reject_record,
)
from coder.config import write_json
from coder.data.records import Document, DocumentFile, Reject, Split, stable_hash

SETTINGS = {
    "source": "folder:somewhere",
    "order": "dependency",
    "seed": 0,
    "filters": {"max_line": 1000, "keep_vendored": False},
    "taken": {"created_before": "2023-02-01", "min_stars": 0},
    "input_digest": "0123456789abcdef",
}


def document(
    repository: str,
    texts: Mapping[str, str],
    language: str = "Python",
    licence: str = "MIT",
    split: Split = "train",
) -> Document:
    """A document of files in this order."""
    files = tuple(
        DocumentFile(path, language, licence, text, len(text)) for path, text in texts.items()
    )
    name = f"{repository}#{min(texts)}"
    return Document(name, repository, "1.0", split, "dependency", files)


def finish(
    folder: Path,
    documents: Iterable[Document],
    rejects: Iterable[Reject] = (),
    settings: Mapping[str, Any] | None = None,
    counts: Mapping[str, int] | None = None,
    shards: int = 2,
) -> Path:
    """Writes shards and manifest: documents placed by repository, rejects by their names."""
    documents, rejects = list(documents), list(rejects)
    rows = []
    for split in ("train", "held_out"):
        records = [(d.repository, document_record(d)) for d in documents if d.split == split]
        rows += _write(folder, split, ".tfrecord", records, shards)
    named = [(record.id, record) for record in map(reject_record, rejects)]
    rows += _write(folder, "rejects", ".jsonl", named, shards)
    read = len(rejects) + sum(len(document.files) for document in documents)
    repositories = len({d.repository for d in documents} | {r.repository for r in rejects})
    stage = StageResult(rows, {"read": read, "repositories": repositories, **(counts or {})})
    write_json(folder / "manifest.json", assemble(settings or SETTINGS, [stage]))
    return folder


def _write(
    folder: Path, prefix: str, suffix: str, records: Sequence[tuple[str, Record]], shards: int
) -> list[dict[str, Any]]:
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for shard in range(shards):
        counts: Counter[str] = Counter()
        with ShardWriter(str(folder), f"{prefix}-{shard:05d}-of-{shards:05d}{suffix}") as writer:
            for key, record in sorted(records, key=lambda pair: order_key(pair[0])):
                if stable_hash(0, "shard", key) % shards == shard:
                    writer.write(record.data)
                    counts.update(record.counts)
        rows.append({"info": asdict(writer.info), "counts": dict(counts)})
    return rows
