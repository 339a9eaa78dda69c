# SPDX-License-Identifier: Apache-2.0
"""Learns a byte-level BPE vocabulary from the training documents of a corpus.

    python -m coder tokenizer --documents runs/corpus/default --vocab-size 2048 --output FILE

The vocabulary is learned on files drawn by their hash, whatever the number of shards, up to
--max-bytes; held-out documents are never read. The same corpus gives the same bytes.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from coder.data.documents import DocumentsError, corpus_manifest, read_documents, split_shards
from coder.data.records import stable_hash
from coder.data.tfrecord import CorruptRecordError
from coder.data.tokenizer import TokenizerError, train


@dataclass(frozen=True)
class Options:
    """Options of the tokenizer's training."""

    documents: Path
    """Folder of a finished corpus."""
    output: Path
    """tokenizer.json to write."""
    vocab_size: int = 32_000
    """Token ids, control tokens included; the paper has 32,000 beside them."""
    max_bytes: int = 16_000_000
    """About so many bytes of text are read, drawn from the whole training split."""


def main(argv: list[str]) -> None:
    """The command line; exits with status 2 where the command cannot be carried out as given."""
    options = tyro.cli(Options, args=argv, prog="python -m coder tokenizer", description=__doc__)
    try:
        run(options)
    except (DocumentsError, TokenizerError, CorruptRecordError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def run(options: Options) -> None:
    """Trains and saves a tokenizer, showing how far it is."""
    options.output.parent.mkdir(parents=True, exist_ok=True)  # fail before the work
    console = Console(stderr=True)
    start = time.monotonic()
    seen = 0
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console
    ) as progress:
        task = progress.add_task("reading", total=None)

        def shown() -> Iterator[str]:
            nonlocal seen
            for text in sample_texts(options.documents, options.max_bytes):
                yield text
                seen += len(text.encode())
                progress.update(task, description=f"read {seen / 1e6:.1f} MB")
            progress.update(task, description=f"read {seen / 1e6:.1f} MB, merging")

        tokenizer = train(shown(), options.vocab_size)
    tokenizer.save(options.output)
    print(
        f"{options.output}: {tokenizer.vocab_size} tokens, learned on {seen / 1e6:.1f} MB "
        f"in {time.monotonic() - start:.1f} s"
    )
    if tokenizer.vocab_size < options.vocab_size:
        print(f"the texts have no more pairs: {options.vocab_size} tokens were asked for")


def sample_texts(folder: Path, max_bytes: int) -> Iterator[str]:
    """Training files, each drawn by the hash of its name, of about `max_bytes` in all.

    Raises:
        DocumentsError: the folder is no corpus, or it has no training documents.
    """
    shards = split_shards(folder, "train")
    share = max_bytes / max(1, corpus_manifest(folder)["by_split"]["train"]["bytes"])
    for shard in shards:
        for document in read_documents(shard):
            for number, file in enumerate(document.files):
                drawn = stable_hash(0, "tokenizer", document.repository, file.path)
                if drawn < share * 2**64:
                    yield document.file_text(number)
