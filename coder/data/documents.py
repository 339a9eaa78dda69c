# SPDX-License-Identifier: Apache-2.0
"""The folder of a finished corpus (`beam_pipelines.corpus`): its manifest, shards and documents."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coder.data.records import Document, Split
from coder.data.tfrecord import read_shard


class DocumentsError(ValueError):
    """A folder of documents that cannot be used; the message says why and what to do."""


def corpus_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a corpus.

    Raises:
        DocumentsError: there is none, or it is not that of a corpus.
    """
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise DocumentsError(
            f"{path} does not exist: {folder} is no finished output of beam_pipelines.corpus"
        ) from None
    except ValueError as error:
        raise DocumentsError(f"{path} is not JSON ({error}); write the corpus again") from error
    if "by_split" not in manifest:
        raise DocumentsError(f"{path} is not the manifest of a corpus: it has no by_split")
    return manifest


def split_shards(folder: Path, split: Split) -> list[Path]:
    """The shards of one split.

    Raises:
        DocumentsError: the folder is no corpus, lacks a shard that its manifest lists, or has no
            documents of that split.
    """
    manifest = corpus_manifest(folder)
    paths = sorted(
        folder / shard["path"]
        for shard in manifest["shards"]
        if shard["path"].startswith(f"{split}-") and shard["records"]
    )
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise DocumentsError(f"{folder} lacks {', '.join(missing)}; write the corpus again")
    if not paths:
        raise DocumentsError(f"{folder} has no documents of the split {split}")
    return paths


def read_documents(path: Path | str) -> Iterator[Document]:
    """The documents of a shard.

    Raises:
        CorruptRecordError: a record is cut off or fails its check sum.
    """
    return map(Document.decode, read_shard(path))
