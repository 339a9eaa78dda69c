# SPDX-License-Identifier: Apache-2.0
"""The golden files of `make oracle NAME=transformers`, and their names for our parameters."""

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from coder.config import ModelConfig
from coder.model.transformer import Decoder, init_decoder

FILES = sorted((Path(__file__).parents[1] / "golden").glob("llama_*.npz"))

# Our path: transformers' name within a layer, or of a whole model. Its matrices are [out, in].
LAYER_MATRICES = {
    ("attention", "query_DQ"): "self_attn.q_proj",
    ("attention", "key_DK"): "self_attn.k_proj",
    ("attention", "value_DK"): "self_attn.v_proj",
    ("attention", "output_QD"): "self_attn.o_proj",
    ("mlp", "gate_DF"): "mlp.gate_proj",
    ("mlp", "up_DF"): "mlp.up_proj",
    ("mlp", "down_FD"): "mlp.down_proj",
}
LAYER_SCALES = {
    ("attention_norm", "scale_D"): "input_layernorm",
    ("mlp_norm", "scale_D"): "post_attention_layernorm",
}


def read(path: Path) -> tuple[ModelConfig, dict[str, np.ndarray]]:
    """The settings of a golden file in our names, and its arrays."""
    with np.load(path) as file:
        arrays = dict(file)
    theirs = json.loads(str(arrays.pop("settings")))
    config = ModelConfig(
        vocab_size=theirs["vocab_size"],
        d_model=theirs["hidden_size"],
        num_layers=theirs["num_hidden_layers"],
        num_heads=theirs["num_attention_heads"],
        num_kv_heads=theirs["num_key_value_heads"],
        head_dim=theirs["head_dim"],
        d_ff=theirs["intermediate_size"],
        rope_theta=theirs["rope_theta"],
        rms_norm_eps=theirs["rms_norm_eps"],
        tie_embeddings=theirs["tie_word_embeddings"],
    )
    return config, arrays


def parameters(config: ModelConfig, arrays: dict[str, np.ndarray], kind: str) -> dict[str, Any]:
    """The weights or gradients of a golden file as our tree of parameters."""

    def stack(name: str) -> jnp.ndarray:
        layers = [
            arrays[f"{kind}/model.layers.{layer}.{name}.weight"]
            for layer in range(config.num_layers)
        ]
        return jnp.stack([x.T for x in layers])

    layers: dict[str, dict[str, Any]] = {}
    for (part, leaf), name in (LAYER_MATRICES | LAYER_SCALES).items():
        layers.setdefault(part, {})[leaf] = stack(name)
    tree = {
        "embedding_VD": jnp.asarray(arrays[f"{kind}/model.embed_tokens.weight"]),
        "layers": layers,
        "norm": {"scale_D": jnp.asarray(arrays[f"{kind}/model.norm.weight"])},
    }
    if not config.tie_embeddings:
        tree["output_DV"] = jnp.asarray(arrays[f"{kind}/lm_head.weight"].T)
    return tree


def decoder(config: ModelConfig, arrays: dict[str, np.ndarray]) -> Decoder:
    """Our model with the weights of a golden file."""
    graph, _ = nnx.split(init_decoder(config, 0))
    return nnx.merge(graph, parameters(config, arrays, "weight"))
