# SPDX-License-Identifier: Apache-2.0
"""`python -m coder import-hf --source DIR --output DIR`: imports a model from Hugging Face."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from coder import interrupts
from coder.checkpoint import CheckpointError
from coder.huggingface.import_model import import_model
from coder.huggingface.source import Source, read_source
from coder.huggingface.tokenizer import TOKENIZER, tokenizer_problem
from coder.huggingface.writing_bar import writing_bar


@dataclass(frozen=True)
class Options:
    """Imports a model from Hugging Face's layout, tensor by tensor, with a digest of each."""

    source: Path
    """Folder with config.json, safetensors files and the tokenizer, as it is downloaded."""
    output: Path
    """Folder to make; complete and chat take it, and export-hf."""


def main(argv: list[str]) -> None:
    """Runs the command; exits with status 1 and a sentence where the model cannot be imported."""
    options = tyro.cli(Options, args=argv, prog="python -m coder import-hf")
    started = time.monotonic()
    interrupts.raise_again()
    try:
        source = read_source(options.source)
        _warn_of_tokenizer(source, options.output)
        with writing_bar(source.size) as progress:
            import_model(source, options.output, progress)
    except CheckpointError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(f"interrupted: nothing is left in {options.output}")
    print(
        f"{options.output}: {source.architecture}, {len(source.tensors)} tensors, "
        f"{source.size / 1e6:,.1f} MB of {source.dtype} in {time.monotonic() - started:.0f} s"
    )


def _warn_of_tokenizer(source: Source, output: Path) -> None:
    """Says on standard error what will not work if there is no tokenizer that can be used."""
    problem = tokenizer_problem(source.folder, source.config.vocab_size)
    if problem is None:
        return
    print(
        f"warning: {problem}: complete and chat will refuse {output}, which has the weights alone. "
        f"To mend it, put the model's {TOKENIZER}, of byte-level BPE, into {source.folder}, delete "
        f"{output} and import again",
        file=sys.stderr,
    )
