# SPDX-License-Identifier: Apache-2.0
"""`python -m coder eval --run DIR --documents DIR`: measures a trained run, into its eval.json."""

import sys
import time
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import tyro

from coder.checkpoint import CheckpointError
from coder.config import write_json
from coder.data.documents import DocumentsError, corpus_manifest, read_documents, split_shards
from coder.data.tfrecord import CorruptRecordError
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


def main(argv: list[str]) -> None:
    """Runs the command; exits with status 1 and a sentence where a run cannot be measured."""
    options = tyro.cli(Options, args=argv, prog="python -m coder eval")
    try:
        columns = _evaluate(options)
    except (DocumentsError, QueryError, CheckpointError, CorruptRecordError) as error:
        sys.exit(f"error: {error}")
    print(summary(columns))


def _evaluate(options: Options) -> dict[str, Columns]:
    started = time.monotonic()
    digest = corpus_manifest(options.documents)["digest"]
    shards = split_shards(options.documents, options.split)
    model, tokenizer, run = load_run(options.run)
    documents = chain.from_iterable(map(read_documents, shards))
    items = draw_items(documents, tokenizer, run.eval)
    if not items.left_to_right:
        raise DocumentsError(
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
