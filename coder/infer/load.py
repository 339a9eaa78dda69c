# SPDX-License-Identifier: Apache-2.0
"""A trained run as what a user of it needs: model, tokenizer, settings."""

import json
from pathlib import Path

from coder.checkpoint import CheckpointError, load_parameters
from coder.config import RunConfig
from coder.data.tokenizer import Tokenizer, TokenizerError
from coder.model.transformer import Decoder


def load_run(run_dir: Path | str) -> tuple[Decoder, Tokenizer, RunConfig]:
    """The model of a run at its newest checkpoint, its tokenizer, and its settings.

    Raises:
        CheckpointError: `run_dir` is no run, has no checkpoint that can be read, or its tokenizer
            is gone.
    """
    model, config = load_parameters(run_dir)
    path = json.loads((Path(run_dir) / "config.json").read_text())["tokenizer"]
    try:
        return model, Tokenizer.load(path), config
    except (OSError, TokenizerError) as error:
        raise CheckpointError(f"{run_dir}: cannot read its tokenizer: {error}") from error
