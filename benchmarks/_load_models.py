# SPDX-License-Identifier: Apache-2.0
"""Checkpoints in Hugging Face's layout, of random bytes, written without being in memory."""

import dataclasses
from pathlib import Path

import numpy as np

from coder.config import ModelConfig, write_json
from coder.huggingface.config import to_huggingface
from coder.huggingface.export_model import index_of, shards_of
from coder.huggingface.names import tensors
from coder.huggingface.source import INDEX
from coder.huggingface.tensor_file import TYPES, Writer
from coder.model.presets import PRESETS

# 134 million parameters, half of them in the token tables, as in v1's vocabulary.
LLAMA_134M = dataclasses.replace(
    PRESETS["deepseek_coder_1_3b"],
    d_model=768,
    num_layers=12,
    num_heads=12,
    num_kv_heads=12,
    head_dim=64,
    d_ff=2048,
)
# V2-Lite's parts in small, in 1,982 tensors.
V2_SMALL = dataclasses.replace(
    PRESETS["deepseek_coder_v2_lite"],
    vocab_size=32256,
    d_model=512,
    num_layers=12,
    num_heads=8,
    num_kv_heads=8,
    d_ff=2048,
    moe=dataclasses.replace(PRESETS["deepseek_coder_v2_lite"].moe, num_experts=56, d_expert=192),
)
MODELS = {
    "llama_134m": LLAMA_134M,
    "v2_small": V2_SMALL,
    "6.7b": PRESETS["deepseek_coder_6_7b"],
}


SHARD_BYTES = 5_000_000_000
"""Of a file at most."""


def write_checkpoint(folder: Path, config: ModelConfig) -> int:
    """Writes config.json and shards of bfloat16; returns the bytes of the weights.

    The bytes are random but for the exponents' highest bit, so that all numbers are finite.
    """
    folder.mkdir(parents=True)
    dtype, rng = TYPES["BF16"], np.random.Generator(np.random.SFC64(0))
    shards = shards_of(list(tensors(config)), dtype.itemsize, SHARD_BYTES)
    size = 0
    for file, members in shards.items():
        with Writer(folder / file, {tensor.name: tensor.shape for tensor in members}, "BF16") as to:
            for tensor in members:
                bits = rng.integers(0, 2**16, tensor.shape, np.uint16) & 0xBFFF
                to.write(tensor.name, (), bits.view(dtype))
                size += bits.nbytes
    if len(shards) > 1:
        write_json(folder / INDEX, index_of(shards, size))
    write_json(folder / "config.json", to_huggingface(config) | {"torch_dtype": "bfloat16"})
    return size
