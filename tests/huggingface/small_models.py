# SPDX-License-Identifier: Apache-2.0
"""Small models in Hugging Face's layout, with config.json as transformers and DeepSeek write it."""

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors.numpy import load_file, save_file

from coder.huggingface.config import from_huggingface
from coder.huggingface.names import tensors
from tests.data.samples import TOKENIZER

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "bos_token_id": 32013,
    "eos_token_id": 32021,
    "hidden_act": "silu",
    "hidden_size": 16,
    "initializer_range": 0.02,
    "intermediate_size": 24,
    "max_position_embeddings": 256,
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-06,
    "rope_scaling": {"factor": 4.0, "type": "linear"},
    "rope_theta": 100000,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 40,
}
"""As v1's."""
V2: dict[str, Any] = {
    "architectures": ["DeepseekV2ForCausalLM"],
    "attention_bias": False,
    "auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV2Config"},
    "aux_loss_alpha": 0.001,
    "bos_token_id": 100000,
    "eos_token_id": 100001,
    "first_k_dense_replace": 1,
    "hidden_act": "silu",
    "hidden_size": 16,
    "initializer_range": 0.02,
    "intermediate_size": 24,
    "kv_lora_rank": 10,
    "max_position_embeddings": 256,
    "model_type": "deepseek_v2",
    "moe_intermediate_size": 6,
    "moe_layer_freq": 1,
    "n_group": 2,
    "n_routed_experts": 4,
    "n_shared_experts": 2,
    "norm_topk_prob": False,
    "num_attention_heads": 2,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "q_lora_rank": 12,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "rms_norm_eps": 1e-06,
    "rope_scaling": {
        "beta_fast": 32,
        "beta_slow": 1,
        "factor": 4,
        "mscale": 0.707,
        "mscale_all_dim": 0.707,
        "original_max_position_embeddings": 64,
        "type": "yarn",
    },
    "rope_theta": 10000,
    "routed_scaling_factor": 16.0,
    "scoring_func": "softmax",
    "seq_aux": True,
    "tie_word_embeddings": False,
    "topk_group": 1,
    "topk_method": "group_limited_greedy",
    "torch_dtype": "bfloat16",
    "v_head_dim": 6,
    "vocab_size": 40,
}
"""As V2's."""

Tensors = dict[str, np.ndarray]


def weights(values: dict[str, Any], dtype: Any = ml_dtypes.bfloat16) -> Tensors:
    """Random tensors of the model that a config.json describes."""
    rng = np.random.default_rng(0)
    return {
        tensor.name: rng.standard_normal(tensor.shape, np.float32).astype(dtype)
        for tensor in tensors(from_huggingface(values))
    }


def write_source(folder: Path, values: dict[str, Any], arrays: Tensors, shards: int = 1) -> Path:
    """A folder as it is downloaded."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(values))
    TOKENIZER.save(folder / "tokenizer.json")
    told = {"tokenizer_class": "LlamaTokenizerFast", "chat_template": "{{ messages }}"}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    if shards == 1:
        save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    places = {}
    for number in range(shards):
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        part = dict(list(arrays.items())[number::shards])
        save_file(part, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(part, file)
    write_index(folder, places)
    return folder


def write_index(folder: Path, places: dict[str, str]) -> None:
    """The index of a folder's files."""
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def read_tensors(folder: Path) -> Tensors:
    """Every tensor of a folder's files, as the library reads them."""
    files = sorted(folder.glob("*.safetensors"))
    return {name: array for file in files for name, array in load_file(file).items()}


def equal(some: Tensors, others: Tensors) -> bool:
    """Whether the tensors have the same names, types, shapes and bits."""

    def bits(arrays: Tensors) -> dict[str, tuple]:
        return {name: (x.dtype, x.shape, x.tobytes()) for name, x in arrays.items()}

    return bits(some) == bits(others)
