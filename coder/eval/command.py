# SPDX-License-Identifier: Apache-2.0
"""`python -m coder eval --run DIR --documents DIR`: measures a trained run, into its eval.json."""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from coder.checkpoint import CheckpointError
from coder.config import write_json
from coder.data.records import Document
from coder.data.tfrecord import CorruptRecordError, read_shard
from coder.eval.holes import draw_items
from coder.eval.infilling import Columns, evaluate, summary
from coder.eval.score import QueryError
from coder.infer.load import load_run

FORMAT = 1
"""Version of eval.json; another one means that its columns mean something else."""
FILE_NAMES = {"held_out": "eval.json", "train": "eval_train.json"}
"""Under another name, what was measured on training repositories never passes for held out."""


@dataclass(frozen=True)
class Options:
    """Scores a trained run and writes what it finds into the run's folder."""

    run: Path
    """Folder of a trained run."""
    documents: Path
    """Folder with the shards of `beam_pipelines.corpus` and their manifest."""
    split: Literal["held_out", "train"] = "held_out"
    """train: documents that were trained on, into eval_train.json, to choose settings by without
    a look at the held-out ones."""


class EvalError(ValueError):
    """Documents that cannot be used; the message says why."""


def main(argv: list[str]) -> None:
    """Runs the command; exits with status 1 and a sentence where a run cannot be measured."""
    options = tyro.cli(Options, args=argv, prog="python -m coder eval")
    try:
        columns = _evaluate(options)
    except (EvalError, QueryError, CheckpointError, CorruptRecordError) as error:
        sys.exit(f"error: {error}")
    print(summary(columns))


def _evaluate(options: Options) -> dict[str, Columns]:
    started = time.monotonic()
    digest = read_digest(options.documents)
    documents = read_documents(options.documents, options.split)
    model, tokenizer, run = load_run(options.run)
    items = draw_items(documents, tokenizer, run.eval)
    if not items.left_to_right:
        raise EvalError(
            f"{options.documents}: no {options.split} document has half of "
            f"eval.context_tokens={run.eval.context_tokens} tokens"
        )
    columns = evaluate(model, tokenizer, run, items)
    result = {
        "format": FORMAT,
        "items": columns,
        "split": options.split,
        "documents_digest": digest,
        "seconds": round(time.monotonic() - started, 1),
    }
    write_json(options.run / FILE_NAMES[options.split], result)
    return columns


def read_digest(folder: Path) -> str:
    """The digest in a corpus's manifest.

    Raises:
        EvalError: there is no manifest, so that nobody has finished writing the corpus.
    """
    try:
        return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["digest"]
    except FileNotFoundError:
        raise EvalError(
            f"{folder} has no manifest.json: it is no finished output of beam_pipelines.corpus"
        ) from None


def read_documents(folder: Path, split: str) -> Iterator[Document]:
    """The documents of one split of a corpus, read as they are asked for.

    Raises:
        EvalError: the folder has no shard of that split.
    """
    shards = sorted(folder.glob(f"{split}-*.tfrecord"))
    if not shards:
        raise EvalError(f"{folder} has no {split}-*.tfrecord: there are no {split} documents")
    return (Document.decode(record) for shard in shards for record in read_shard(shard))
