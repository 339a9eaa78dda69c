# SPDX-License-Identifier: Apache-2.0
"""`python -m coder export-hf --source DIR --output DIR`: exports a model to Hugging Face."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from coder import interrupts
from coder.checkpoint import CheckpointError
from coder.huggingface.adapters import read_adapters
from coder.huggingface.export_model import DType, export_model, exported_size
from coder.huggingface.exportable import read_exportable
from coder.huggingface.tokenizer import TOKENIZER
from coder.huggingface.writing_bar import writing_bar


@dataclass(frozen=True)
class Options:
    """Writes a model in the layout that transformers, vLLM and TGI read."""

    source: Path
    """Folder of a trained run, or of a model that import-hf made."""
    output: Path
    """Folder to make."""
    dtype: DType = "stored"
    """Type of the weights; stored: as they are, which is float32 for what was trained here."""
    shard_gb: float = 5.0
    """Gigabytes of a file of weights at most."""
    adapter: Path | None = None
    """Folder of an adapter in PEFT's layout, to merge into the weights."""


def main(argv: list[str]) -> None:
    """Runs the command; exits with status 1 and a sentence where the model cannot be exported."""
    options = tyro.cli(Options, args=argv, prog="python -m coder export-hf")
    interrupts.raise_again()
    try:
        _export(options)
    except CheckpointError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(f"interrupted: nothing is left in {options.output}")


def _export(options: Options) -> None:
    if not options.shard_gb > 0:
        raise CheckpointError(f"--shard-gb {options.shard_gb}: must be more than 0")
    started = time.monotonic()
    model = read_exportable(options.source)
    if TOKENIZER not in model.files:
        print(
            f"warning: {options.source} has no {TOKENIZER}, so {options.output} will have none, "
            "and most readers need one: put the model's there",
            file=sys.stderr,
        )
    adapters = read_adapters(model.config, options.adapter) if options.adapter else {}
    size, shard_bytes = exported_size(model, options.dtype), int(options.shard_gb * 1e9)
    with writing_bar(size) as progress:
        export_model(model, options.output, options.dtype, shard_bytes, adapters, progress)
    print(f"{options.output}: {size / 1e6:,.1f} MB in {time.monotonic() - started:.0f} s")
