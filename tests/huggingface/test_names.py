# SPDX-License-Identifier: Apache-2.0
"""Every part of every parameter has one name, and those are transformers'."""

import math
from collections import Counter

import pytest

from coder.config import MlaConfig, ModelConfig, MoeConfig
from coder.huggingface.names import parameter_shapes, tensors
from coder.model.presets import PRESETS

LLAMA = ModelConfig(
    vocab_size=40, d_model=16, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=6, d_ff=24
)
MLA = MlaConfig(
    kv_lora_rank=10, q_lora_rank=12, qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=6
)
MOE = MoeConfig(num_experts=4, num_shared_experts=2, experts_per_token=2, d_expert=5)
V2 = ModelConfig(vocab_size=40, d_model=16, num_layers=3, num_heads=2, d_ff=24, mla=MLA, moe=MOE)


def test_a_v1_model_has_the_names_and_shapes_of_llama():
    shapes = {tensor.name: tensor.shape for tensor in tensors(LLAMA)}
    layer = {
        "input_layernorm": (16,),
        "self_attn.q_proj": (12, 16),
        "self_attn.k_proj": (6, 16),
        "self_attn.v_proj": (6, 16),
        "self_attn.o_proj": (16, 12),
        "post_attention_layernorm": (16,),
        "mlp.gate_proj": (24, 16),
        "mlp.up_proj": (24, 16),
        "mlp.down_proj": (16, 24),
    }
    layers = {
        f"model.layers.{number}.{name}.weight": shape
        for number in range(2)
        for name, shape in layer.items()
    }
    assert shapes == layers | {
        "model.embed_tokens.weight": (40, 16),
        "model.norm.weight": (16,),
        "lm_head.weight": (40, 16),
    }


def test_a_v2_model_has_the_names_and_shapes_of_deepseek_v2():
    shapes = {tensor.name: tensor.shape for tensor in tensors(V2)}
    assert shapes["model.layers.0.mlp.down_proj.weight"] == (16, 24)
    start = "model.layers.2."
    last = {
        name.removeprefix(start).removesuffix(".weight"): shape
        for name, shape in shapes.items()
        if name.startswith(start) and (".experts." not in name or ".experts.3." in name)
    }
    assert last == {
        "input_layernorm": (16,),
        "self_attn.q_a_proj": (12, 16),
        "self_attn.q_a_layernorm": (12,),
        "self_attn.q_b_proj": (24, 12),
        "self_attn.kv_a_proj_with_mqa": (14, 16),
        "self_attn.kv_a_layernorm": (10,),
        "self_attn.kv_b_proj": (28, 10),
        "self_attn.o_proj": (16, 12),
        "post_attention_layernorm": (16,),
        "mlp.gate": (4, 16),
        "mlp.experts.3.gate_proj": (5, 16),
        "mlp.experts.3.up_proj": (5, 16),
        "mlp.experts.3.down_proj": (16, 5),
        "mlp.shared_experts.gate_proj": (10, 16),
        "mlp.shared_experts.up_proj": (10, 16),
        "mlp.shared_experts.down_proj": (16, 10),
    }


@pytest.mark.parametrize("config", [LLAMA, V2, *PRESETS.values()])
def test_every_part_of_every_parameter_has_one_name(config: ModelConfig):
    named = list(tensors(config))
    assert max(Counter(tensor.name for tensor in named).values()) == 1
    assert max(Counter((tensor.path, tensor.index) for tensor in named).values()) == 1
    sizes: Counter[str] = Counter()
    for tensor in named:
        sizes[tensor.path] += math.prod(tensor.shape)
    assert sizes == {path: math.prod(shape) for path, shape in parameter_shapes(config).items()}
