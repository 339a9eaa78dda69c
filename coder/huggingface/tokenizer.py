# SPDX-License-Identifier: Apache-2.0
"""The tokenizer beside a model's weights: whether it can be used, asked before any work."""

from pathlib import Path

from coder.data.tokenizer import Tokenizer, TokenizerError

TOKENIZER = "tokenizer.json"


def tokenizer_problem(folder: Path, vocab_size: int) -> str | None:
    """Why the tokenizer in a folder cannot be used; None: it can.

    Args:
        folder: in Hugging Face's layout.
        vocab_size: rows of the model's token table.
    """
    path = folder / TOKENIZER
    if not path.exists():
        other = folder / "tokenizer.model"
        return f"{path} is missing" + (f", and {other.name} is not read" if other.exists() else "")
    try:
        size = Tokenizer.load(path).vocab_size
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    except TokenizerError as error:
        return str(error)
    if size > vocab_size:
        return f"{path} has {size} tokens, and the model {vocab_size}"
    return None
