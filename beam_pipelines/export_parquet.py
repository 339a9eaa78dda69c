# SPDX-License-Identifier: Apache-2.0
"""A finished corpus as a data set in the Hugging Face form: Parquet files and a card.

    python -m beam_pipelines.export_parquet --run runs/corpus/default --output files
    python -m beam_pipelines.export_parquet --run DIR --output documents --rows document

The output folder gets `data/<split>-*.parquet`, one for each shard of the corpus, and last its
`README.md`; `datasets.load_dataset` reads the folder as it is, and an export of files can be a
source again (`--source parquet:GLOB`). Shards are read and written piece by piece: memory does not
grow with them. Exit status: 0 done, 2 the command cannot be carried out.
"""

import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from beam_pipelines import options, progress
from beam_pipelines.corpus_shards import open_corpus
from beam_pipelines.dataset_card import SplitSize, card
from beam_pipelines.manifest import OutputError
from coder.data.documents import read_documents
from coder.data.records import Document
from coder.data.tfrecord import CorruptRecordError

Rows = Literal["file", "document"]

GROUP_BYTES = 64 * 2**20
"""Text of a row group: what is in memory at once, with one document."""
GROUP_ROWS = 10_000

_FILE = [
    ("content", pa.string()),
    ("path", pa.string()),
    ("repository", pa.string()),
    ("revision", pa.string()),
    ("language", pa.string()),
    ("licence", pa.string()),
    ("size", pa.int64()),
    ("split", pa.string()),
    ("document", pa.string()),
    ("position", pa.int64()),
]
_DOCUMENT = [
    ("text", pa.string()),
    ("document", pa.string()),
    ("repository", pa.string()),
    ("revision", pa.string()),
    ("size", pa.int64()),
    ("split", pa.string()),
    ("order", pa.string()),
    ("paths", pa.list_(pa.string())),
    ("languages", pa.list_(pa.string())),
    ("licences", pa.list_(pa.string())),
]
SCHEMAS: dict[Rows, pa.Schema] = {"file": pa.schema(_FILE), "document": pa.schema(_DOCUMENT)}


@dataclass(frozen=True)
class ExportOptions:
    """Options of the export."""

    run: Path
    """Folder of a finished corpus."""
    output: Path
    """New or empty folder to write to."""
    rows: Rows = "file"
    """A row for each file, or for each document with its files under their path comments."""


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    arguments = sys.argv[1:] if argv is None else argv
    prog = "python -m beam_pipelines.export_parquet"
    chosen, _ = options.parse(ExportOptions, arguments, prog, __doc__ or "")
    try:
        splits = export(chosen.run, chosen.output, chosen.rows)
    except (OutputError, CorruptRecordError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    for split, written in splits.items():
        print(f"{split}: {written.rows:,} rows, {written.file_bytes:,} bytes")
    print(chosen.output / "README.md")


def export(folder: Path, output: Path, rows: Rows) -> dict[str, SplitSize]:
    """Writes the data set; returns what was written for each split that has rows.

    Raises:
        OutputError: `folder` is no finished corpus, or `output` cannot be written.
        CorruptRecordError: a shard is damaged.
    """
    done = open_corpus(folder)
    _prepare(output)
    splits: dict[str, SplitSize] = {}
    with progress.shown("export", sum(shard["bytes"] for shard in done["shards"])) as channel:
        for shard in done["shards"]:
            split = shard["path"].partition("-")[0]
            name = shard["path"].removesuffix(".tfrecord") + ".parquet"
            written = write_parquet(folder / shard["path"], output / "data" / name, rows)
            splits[split] = splits.get(split, SplitSize()) + written
            progress.advance(channel, shard["bytes"])
    splits = {split: written for split, written in sorted(splits.items()) if written.rows}
    text = card(done, SCHEMAS[rows], rows, splits)
    (output / "README.md").write_text(text, encoding="utf-8")
    return splits


def _prepare(output: Path) -> None:
    """Makes the folder.

    Raises:
        OutputError: there is something in it, or it cannot be made.
    """
    try:
        (output / "data").mkdir(parents=True, exist_ok=True)
        if any(entry.name != "data" for entry in output.iterdir()) or any(
            (output / "data").iterdir()
        ):
            raise OutputError(
                f"--output {output} is not empty; choose another, or remove that folder"
            )
    except OSError as error:
        raise OutputError(f"--output {output} cannot be written: {error.strerror}") from error


def write_parquet(shard: Path, path: Path, rows: Rows) -> SplitSize:
    """Writes one shard of documents as one Parquet file, under its name when it is complete."""
    schema = SCHEMAS[rows]
    temporary = path.with_name(path.name + ".partial")
    number, size = 0, 0
    with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for group in groups(shard, rows):
            batch = pa.RecordBatch.from_pylist(group, schema=schema)
            writer.write_batch(batch, row_group_size=len(group))
            number += batch.num_rows
            size += batch.nbytes
    temporary.replace(path)
    return SplitSize(number, size, path.stat().st_size)


def groups(shard: Path, rows: Rows) -> Iterator[list[dict[str, Any]]]:
    """The rows of a shard in its order, in groups of limited size."""
    group: list[dict[str, Any]] = []
    size = 0
    for document in read_documents(shard):
        for row in file_rows(document) if rows == "file" else [document_row(document)]:
            group.append(row)
            size += row["size"]
            if size >= GROUP_BYTES or len(group) == GROUP_ROWS:
                yield group
                group, size = [], 0
    if group:
        yield group


def file_rows(document: Document) -> Iterator[dict[str, Any]]:
    """A row for each file of a document, in order."""
    for position, file in enumerate(document.files):
        yield {
            "content": file.text,
            "path": file.path,
            "repository": document.repository,
            "revision": document.revision,
            "language": file.language,
            "licence": file.licence,
            "size": len(file.text.encode()),
            "split": document.split,
            "document": document.id,
            "position": position,
        }


def document_row(document: Document) -> dict[str, Any]:
    """A document as one row."""
    text = document.text()
    return {
        "text": text,
        "document": document.id,
        "repository": document.repository,
        "revision": document.revision,
        "size": len(text.encode()),
        "split": document.split,
        "order": document.order,
        "paths": [file.path for file in document.files],
        "languages": [file.language for file in document.files],
        "licences": [file.licence for file in document.files],
    }


if __name__ == "__main__":
    main()
