# SPDX-License-Identifier: Apache-2.0
"""Which kind of model a folder holds, and what to do with one that holds neither."""

import json
from pathlib import Path

from coder.checkpoint import CheckpointError
from coder.huggingface.import_model import PARAMETERS, RECORD

_RUN = "config.json"


def is_imported(directory: Path) -> bool:
    """Whether a folder is an imported model; else it is a run, as far as can be seen from outside.

    Raises:
        CheckpointError: it can be neither; says what it is, and what to do.
    """
    if (directory / RECORD).exists():
        return True
    if not directory.exists():
        raise CheckpointError(f"{directory} does not exist")
    if not directory.is_dir():
        raise CheckpointError(f"{directory} is no folder: give that of a run or imported model")
    if (directory / PARAMETERS).exists():
        raise CheckpointError(
            f"{directory} is an import that was not finished: it has no {RECORD}; delete it and "
            "import the model again"
        )
    if not (directory / _RUN).exists():
        raise CheckpointError(
            f"{directory} is no run and no imported model: it has neither {_RUN} nor {RECORD}"
        )
    if _is_downloaded(directory / _RUN):
        raise CheckpointError(
            f"{directory} is a model in Hugging Face's layout: import it first: python -m coder "
            f"import-hf --source {directory} --output FOLDER"
        )
    return False


def _is_downloaded(path: Path) -> bool:
    """Whether a config.json is Hugging Face's; one that cannot be read is not known to be."""
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and not values.keys().isdisjoint(
        {"architectures", "model_type"}
    )
