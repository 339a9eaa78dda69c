# SPDX-License-Identifier: Apache-2.0
"""Which tensor of a Hugging Face model is which part of which of our parameters.

Their files have a tensor for every layer and every expert, and matrices [out, in]; our parameters
have all layers and all experts in one array, and matrices [in, out]. `TABLE` serves both
directions: import and export walk over the same `tensors`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flax import nnx

from coder.config import ModelConfig
from coder.model.transformer import Decoder

TABLE = (
    ("model.embed_tokens", "embedding_VD"),
    ("model.layers.{layer}.input_layernorm", "{stack}/attention_norm/scale_D"),
    ("model.layers.{layer}.self_attn.q_proj", "{stack}/attention/query_DQ"),
    ("model.layers.{layer}.self_attn.k_proj", "{stack}/attention/key_DK"),
    ("model.layers.{layer}.self_attn.v_proj", "{stack}/attention/value_DK"),
    ("model.layers.{layer}.self_attn.o_proj", "{stack}/attention/output_QD"),
    ("model.layers.{layer}.self_attn.q_a_proj", "{stack}/attention/query_down_DR"),
    ("model.layers.{layer}.self_attn.q_a_layernorm", "{stack}/attention/query_norm/scale_D"),
    ("model.layers.{layer}.self_attn.q_b_proj", "{stack}/attention/query_up_RQ"),
    ("model.layers.{layer}.self_attn.kv_a_proj_with_mqa", "{stack}/attention/down_DX"),
    ("model.layers.{layer}.self_attn.kv_a_layernorm", "{stack}/attention/latent_norm/scale_D"),
    ("model.layers.{layer}.self_attn.kv_b_proj", "{stack}/attention/up_CY"),
    ("model.layers.{layer}.self_attn.o_proj", "{stack}/attention/output_OD"),
    ("model.layers.{layer}.post_attention_layernorm", "{stack}/mlp_norm/scale_D"),
    ("model.layers.{layer}.mlp.gate_proj", "{stack}/mlp/gate_DF"),
    ("model.layers.{layer}.mlp.up_proj", "{stack}/mlp/up_DF"),
    ("model.layers.{layer}.mlp.down_proj", "{stack}/mlp/down_FD"),
    ("model.layers.{layer}.mlp.gate", "{stack}/mlp/router_DE"),
    ("model.layers.{layer}.mlp.experts.{expert}.gate_proj", "{stack}/mlp/gate_EDF"),
    ("model.layers.{layer}.mlp.experts.{expert}.up_proj", "{stack}/mlp/up_EDF"),
    ("model.layers.{layer}.mlp.experts.{expert}.down_proj", "{stack}/mlp/down_EFD"),
    ("model.layers.{layer}.mlp.shared_experts.gate_proj", "{stack}/mlp/shared/gate_DF"),
    ("model.layers.{layer}.mlp.shared_experts.up_proj", "{stack}/mlp/shared/up_DF"),
    ("model.layers.{layer}.mlp.shared_experts.down_proj", "{stack}/mlp/shared/down_FD"),
    ("model.norm", "norm/scale_D"),
    ("lm_head", "output_DV"),
)
"""Their module, whose `weight` the tensor is, and the path of our parameter. A model has the rows
whose parameters it has."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of their files."""

    name: str
    """As in their files."""
    path: str
    """Of our parameter, as in `parameter_shapes`."""
    index: tuple[int, ...]
    """Which part of our parameter it is: the layer and the expert, as far as there are any."""
    transposed: bool
    """Whether our part is its transpose; else it is the same array."""
    shape: tuple[int, ...]
    """In their files."""

    def swapped(self, array: np.ndarray) -> np.ndarray:
        """Their array as ours, or ours as theirs: a view."""
        return array.T if self.transposed else array


def tensors(config: ModelConfig) -> Iterator[Tensor]:
    """Every tensor of a model's files, layer by layer: each part of each parameter once."""
    shapes = parameter_shapes(config)
    dense = config.moe.first_dense_layers if config.moe.num_experts else 0
    for module, path in TABLE:
        if path in shapes:
            yield _tensor(module, path, (), shapes)
    for layer in range(config.num_layers):
        stack, place = ("layers", layer - dense) if layer >= dense else ("first_layers", layer)
        for module, pattern in TABLE:
            path = pattern.format(stack=stack)
            if path == pattern or path not in shapes:
                continue
            experts = range(config.moe.num_experts) if "{expert}" in module else [None]
            for expert in experts:
                index = (place,) if expert is None else (place, expert)
                yield _tensor(module.format(layer=layer, expert=expert), path, index, shapes)


def parameter_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shape of each of our parameters by its path, "layers/attention/query_DQ"; none is made."""
    decoder = nnx.eval_shape(lambda: Decoder(config, nnx.Rngs(0)))
    return {path: leaf.shape for path, leaf in parameters(decoder).items()}


def parameters(decoder: Decoder) -> dict[str, Any]:
    """The parameters of a decoder by their paths."""
    flat, _ = jax.tree_util.tree_flatten_with_path(nnx.to_pure_dict(nnx.state(decoder)))
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in flat}


def _tensor(
    module: str, path: str, index: tuple[int, ...], shapes: dict[str, tuple[int, ...]]
) -> Tensor:
    shape = shapes[path][len(index) :]
    transposed = len(shape) == 2 and path != "embedding_VD"
    return Tensor(f"{module}.weight", path, index, transposed, shape[::-1] if transposed else shape)
