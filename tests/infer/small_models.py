# SPDX-License-Identifier: Apache-2.0
"""The smallest models on disk: a trained run, and imported checkpoints of both architectures."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx
from safetensors.numpy import save_file

from coder import checkpoint
from coder.config import DataConfig, MlaConfig, ModelConfig, MoeConfig, RunConfig, to_json
from coder.data import tokenizer
from coder.huggingface.config import to_huggingface
from coder.huggingface.import_model import import_model
from coder.huggingface.names import tensors
from coder.huggingface.source import read_source
from tests.model.drawn import drawn_decoder

TOKENIZER = tokenizer.train(["def add(a, b):\n    return a + b\n" * 3], 400)
PSM, NO_FIM = DataConfig(fim_rate=0.5), DataConfig(fim_rate=0.0)
LLAMA = ModelConfig(
    vocab_size=TOKENIZER.vocab_size + 3,
    d_model=16,
    num_layers=1,
    num_heads=2,
    num_kv_heads=1,
    head_dim=8,
    d_ff=16,
    max_positions=256,
    init_std=0.3,
)
V2 = ModelConfig(
    vocab_size=TOKENIZER.vocab_size + 3,
    d_model=16,
    num_layers=2,
    num_heads=2,
    num_kv_heads=2,
    head_dim=4,
    d_ff=16,
    mla=MlaConfig(kv_lora_rank=8, qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=8),
    moe=MoeConfig(num_experts=4, num_shared_experts=1, experts_per_token=2, d_expert=8),
    max_positions=256,
)


def write_run(directory: Path, data: DataConfig = PSM, **model: Any) -> Path:
    """A run with a checkpoint of random parameters."""
    config = dataclasses.replace(LLAMA, **model)
    directory.mkdir()
    TOKENIZER.save(directory / "tokenizer.json")
    record = {
        "run": to_json(RunConfig(model=config, data=data)),
        "tokenizer": str(directory / "tokenizer.json"),
    }
    (directory / "config.json").write_text(json.dumps(record))
    parameters = nnx.to_pure_dict(nnx.state(drawn_decoder(config, seed=3)))
    checkpoint.save(directory / checkpoint.FOLDER, 5, {"parameters": parameters}, {}, keep=1)
    return directory


def write_imported(
    directory: Path,
    config: ModelConfig,
    definition: str = TOKENIZER.definition,
    **files: dict[str, Any],
) -> Path:
    """An imported checkpoint of random parameters; `files`: contents of its other JSON files."""
    source = directory.with_name(f"{directory.name}-source")
    source.mkdir()
    for name, values in (files | {"config": to_huggingface(config)}).items():
        (source / f"{name}.json").write_text(json.dumps(values))
    (source / "tokenizer.json").write_text(definition)
    rng = np.random.default_rng(0)
    weights = {
        tensor.name: rng.normal(scale=0.3, size=tensor.shape).astype(np.float32)
        for tensor in tensors(config)
    }
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    import_model(read_source(source), directory)
    return directory
