# SPDX-License-Identifier: Apache-2.0
"""What an export needs of a model: that of a trained run, or an imported one."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from coder.checkpoint import CheckpointError, load_parameters, tokenizer_file
from coder.config import ModelConfig
from coder.data.tokenizer import Tokenizer, TokenizerError
from coder.huggingface.import_model import FILES, read_record, stored_parameters
from coder.huggingface.kind import is_imported
from coder.huggingface.names import parameter_shapes, parameters
from coder.huggingface.source import read_json

_TOKENIZER_CLASS = {"tokenizer_class": "PreTrainedTokenizerFast"}
"""Reads tokenizer.json as it is. Several releases of transformers replaced the pre-tokenizer for
the classes of Llama, which released models name, and so lost every space."""


@dataclass(frozen=True)
class Exportable:
    """A model, and the files beside its weights."""

    config: ModelConfig
    parameters: dict[str, np.ndarray]
    """By path; those of an imported model are mapped, not read."""
    token_ids: dict[str, Any]
    """bos_token_id and its like, for config.json."""
    files: dict[str, bytes]
    """By name, all but config.json and the weights."""

    @property
    def dtype(self) -> str:
        """The type of the parameters, as "float32"."""
        return self.parameters["embedding_VD"].dtype.name


def read_exportable(directory: Path) -> Exportable:
    """The model in a folder, of either kind.

    Raises:
        CheckpointError: the folder holds neither, or is damaged.
    """
    return _imported(directory) if is_imported(directory) else _trained(directory)


def _trained(directory: Path) -> Exportable:
    decoder, run = load_parameters(directory)
    try:
        path = tokenizer_file(directory)
        tokenizer, definition = Tokenizer.load(path), path.read_bytes()
    except (OSError, TokenizerError) as error:
        raise CheckpointError(f"{directory}: cannot read its tokenizer: {error}") from error
    config = replace(run.model, max_positions=run.model.max_positions or run.data.sequence_length)
    ids: dict[str, Any] = {
        "bos_token_id": tokenizer.bos,
        "eos_token_id": tokenizer.eos,
        "pad_token_id": tokenizer.pad,
    }
    names = {name.removesuffix("_id"): tokenizer.decode([id_]) for name, id_ in ids.items()}
    settings = {
        "clean_up_tokenization_spaces": False,
        "model_max_length": config.max_positions,
    }
    files = {
        "tokenizer.json": definition,
        "tokenizer_config.json": _json_bytes(_TOKENIZER_CLASS | names | settings),
        "generation_config.json": _json_bytes(ids),
    }
    # On a CPU numpy sees jax's own memory.
    arrays = {path: np.asarray(leaf) for path, leaf in parameters(decoder).items()}
    return Exportable(config, arrays, ids, files)


def _imported(directory: Path) -> Exportable:
    record, kept = read_record(directory), directory / FILES
    files = {name: (kept / name).read_bytes() for name in record.files if name != "config.json"}
    values = read_json(kept / "config.json")
    ids = {name: value for name, value in values.items() if name.endswith("_token_id")}
    files.setdefault("generation_config.json", _json_bytes(ids))
    if "tokenizer.json" in files:
        name = "tokenizer_config.json"
        told = read_json(kept / name) if name in files else {}
        told.pop("auto_map", None)  # names a program of the source's, which is not kept
        files[name] = _json_bytes(told | _TOKENIZER_CLASS)
    arrays = stored_parameters(directory, record, parameter_shapes(record.config))
    return Exportable(record.config, arrays, ids, files)


def _json_bytes(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()
