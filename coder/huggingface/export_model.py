# SPDX-License-Identifier: Apache-2.0
"""Models into Hugging Face's layout, a part of a tensor at a time."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from coder.checkpoint import CheckpointError
from coder.config import write_json
from coder.huggingface.config import to_huggingface
from coder.huggingface.exportable import Exportable
from coder.huggingface.folders import new_folder
from coder.huggingface.import_model import Progress
from coder.huggingface.names import Tensor, tensors
from coder.huggingface.source import INDEX, WHOLE
from coder.huggingface.tensor_file import TYPES, Writer
from coder.model.lora import LowRank, merged_layer

DType = Literal["stored", "float32", "bfloat16"]
_NAMES = {dtype.name: name for name, dtype in TYPES.items()}


def export_model(
    model: Exportable,
    output: Path,
    dtype: DType,
    shard_bytes: int,
    adapters: Mapping[str, LowRank],
    progress: Progress = lambda *_: None,
) -> None:
    """Writes a folder that transformers, vLLM and TGI read; it appears when all of it is there.

    Args:
        model: what to export.
        output: the folder to make; must not exist.
        dtype: type of the weights; "stored": the one they have.
        shard_bytes: a file has no more, unless a tensor alone has.
        adapters: are added into the matrices at their paths.
        progress: is told of each tensor.

    Raises:
        CheckpointError: Hugging Face has no such architecture, or the output cannot be written.
    """
    model = _untied_where_needed(model)
    name = model.dtype if dtype == "stored" else dtype
    try:
        values = to_huggingface(model.config)
    except ValueError as error:
        raise CheckpointError(f"this model cannot be exported: {error}") from None
    shards = shards_of(list(tensors(model.config)), np.dtype(name).itemsize, shard_bytes)
    with new_folder(output, exported_size(model, dtype)) as folder:
        for file, members in shards.items():
            _write_shard(folder / file, _NAMES[name], members, model, adapters, progress)
        if len(shards) > 1:
            write_json(folder / INDEX, index_of(shards, exported_size(model, dtype)))
        for file, content in model.files.items():
            (folder / file).write_bytes(content)
        write_json(
            folder / "config.json", values | model.token_ids | {"dtype": name, "torch_dtype": name}
        )


def exported_size(model: Exportable, dtype: DType) -> int:
    """Bytes of the weights in a type."""
    itemsize = np.dtype(model.dtype if dtype == "stored" else dtype).itemsize
    return sum(array.size for array in model.parameters.values()) * itemsize


def _untied_where_needed(model: Exportable) -> Exportable:
    """The model with a copy of a tied token table, which TGI refuses to tie for DeepseekV2."""
    if not (model.config.tie_embeddings and model.config.mla.kv_lora_rank):
        return model
    table = {"output_DV": model.parameters["embedding_VD"].T}
    config = dataclasses.replace(model.config, tie_embeddings=False)
    return dataclasses.replace(model, config=config, parameters=model.parameters | table)


def shards_of(named: list[Tensor], itemsize: int, shard_bytes: int) -> dict[str, list[Tensor]]:
    """The tensors of each file, in order, under its name.

    Args:
        named: the tensors.
        itemsize: bytes of a number.
        shard_bytes: a file has no more, unless a tensor alone has.
    """
    shards: list[list[Tensor]] = [[]]
    room = shard_bytes
    for tensor in named:
        size = math.prod(tensor.shape) * itemsize
        if shards[-1] and size > room:
            shards.append([])
            room = shard_bytes
        shards[-1].append(tensor)
        room -= size
    if len(shards) == 1:
        return {WHOLE: shards[0]}
    return {
        f"model-{number:05}-of-{len(shards):05}.safetensors": shard
        for number, shard in enumerate(shards, 1)
    }


def _write_shard(
    path: Path,
    dtype: str,
    members: list[Tensor],
    model: Exportable,
    adapters: Mapping[str, LowRank],
    progress: Progress,
) -> None:
    with Writer(path, {tensor.name: tensor.shape for tensor in members}, dtype) as writer:
        for tensor in members:
            array = model.parameters[tensor.path][tensor.index]
            if tensor.path in adapters:
                weight_IO, adapter = array.astype(TYPES[dtype]), adapters[tensor.path]
                array = np.asarray(merged_layer(weight_IO, adapter, tensor.index[0]))
            writer.write(tensor.name, (), tensor.swapped(array))
            progress(tensor.name, array.size * TYPES[dtype].itemsize)


def index_of(shards: dict[str, list[Tensor]], size: int) -> dict:
    """What model.safetensors.index.json says."""
    places = {tensor.name: file for file, members in shards.items() for tensor in members}
    return {"metadata": {"total_size": size}, "weight_map": places}
