# SPDX-License-Identifier: Apache-2.0
"""config.json both ways: RoPE in both spellings, transformers' defaults, and what is refused."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coder.config import MlaConfig, ModelConfig, MoeConfig, RopeScaling, replace
from coder.huggingface.config import from_huggingface, to_huggingface
from tests.huggingface.small_models import LLAMA, V2


def without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def test_v1_is_read():
    assert from_huggingface(LLAMA) == ModelConfig(
        vocab_size=40,
        d_model=16,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=4,
        d_ff=24,
        rope_theta=100_000.0,
        rope_scaling=RopeScaling("linear", 4.0),
        max_positions=256,
    )


def test_v2_is_read():
    assert from_huggingface(V2) == ModelConfig(
        vocab_size=40,
        d_model=16,
        num_layers=3,
        num_heads=2,
        num_kv_heads=2,
        head_dim=4,
        d_ff=24,
        rope_theta=10_000.0,
        rope_scaling=RopeScaling("yarn", 4.0, 64, 32.0, 1.0, 0.707, 0.707),
        mla=MlaConfig(10, 12, 8, 4, 6),
        moe=MoeConfig(
            num_experts=4,
            experts_per_token=2,
            d_expert=6,
            routing="group_limited_greedy",
            num_groups=2,
            routed_scaling_factor=16.0,
        ),
        max_positions=256,
    )


@pytest.mark.parametrize("old", [LLAMA, V2])
def test_both_spellings_of_rope_are_read_alike_and_written(old: dict[str, Any]):
    rope = without(old["rope_scaling"], "type") | {
        "rope_type": old["rope_scaling"]["type"],
        "rope_theta": float(old["rope_theta"]),
    }
    new = without(old, "rope_theta", "rope_scaling") | {"rope_parameters": rope}
    config = from_huggingface(old)
    assert from_huggingface(new) == config
    written = to_huggingface(config)
    assert written["rope_parameters"] == rope
    assert written["rope_theta"] == old["rope_theta"]
    assert written["rope_scaling"] == old["rope_scaling"]


def test_rope_scaling_wins_over_rope_parameters():
    other = {"rope_type": "linear", "factor": 2.0, "rope_theta": 5.0}
    assert from_huggingface(LLAMA | {"rope_parameters": other}) == from_huggingface(LLAMA)
    plain = without(LLAMA, "rope_scaling") | {"rope_parameters": other}
    assert from_huggingface(plain).rope_theta == 5.0
    assert from_huggingface(plain | {"rope_scaling": None}).rope_scaling.factor == 2.0


def test_missing_fields_have_the_defaults_of_transformers():
    llama = from_huggingface({"architectures": ["LlamaForCausalLM"]})
    assert llama == ModelConfig(
        vocab_size=32000,
        d_model=4096,
        num_layers=32,
        num_heads=32,
        num_kv_heads=32,
        head_dim=128,
        d_ff=11008,
        rope_theta=10_000.0,
        max_positions=2048,
    )
    v2 = from_huggingface({"model_type": "deepseek_v2", "num_experts_per_tok": 6})
    assert v2 == replace(
        llama,
        {
            "vocab_size": 102400,
            "head_dim": 64,
            "mla.kv_lora_rank": 512,
            "mla.q_lora_rank": 1536,
            "moe.num_experts": 64,
            "moe.d_expert": 1407,
            "moe.first_dense_layers": 0,
        },
    )
    yarn = from_huggingface(LLAMA | {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}})
    assert yarn.rope_scaling == RopeScaling("yarn", 2.0, original_positions=256)


def test_null_means_none_of_it():
    lite = {"q_lora_rank": None, "n_group": None, "topk_group": None, "topk_method": "greedy"}
    config = from_huggingface(V2 | lite)
    assert config.mla.q_lora_rank == 0
    assert (config.moe.num_groups, config.moe.groups_per_token) == (1, 1)
    assert to_huggingface(config)["q_lora_rank"] is None
    assert from_huggingface(V2 | {"n_routed_experts": None}).moe == MoeConfig()


def test_a_v2_whose_layers_are_all_dense_has_no_experts():
    config = from_huggingface(V2 | {"first_k_dense_replace": 3})
    assert config.moe == MoeConfig()
    written = to_huggingface(config)
    assert written["first_k_dense_replace"] == 3
    assert from_huggingface(written) == config


def test_what_readers_need_is_always_written():
    values = to_huggingface(from_huggingface(V2))
    needed = {
        **{"n_group": 2, "topk_group": 1, "topk_method": "group_limited_greedy", "ep_size": 1},
        **{"scoring_func": "softmax", "norm_topk_prob": False, "tie_word_embeddings": False},
        **{"hidden_act": "silu", "moe_layer_freq": 1, "seq_aux": True, "head_dim": 4},
    }
    assert needed.items() <= values.items()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (LLAMA | {"hidden_act": "gelu"}, "hidden_act='gelu' is not supported: only 'silu'"),
        (LLAMA | {"attention_bias": True}, "attention_bias=True"),
        (LLAMA | {"mlp_bias": True}, "mlp_bias=True"),
        (LLAMA | {"quantization_config": {"bits": 4}}, "quantization_config="),
        (V2 | {"scoring_func": "sigmoid"}, "scoring_func='sigmoid'"),
        (V2 | {"moe_layer_freq": 2}, "moe_layer_freq=2"),
        (V2 | {"topk_method": "noaux_tc"}, "topk_method='noaux_tc': expected one of greedy,"),
        (V2 | {"n_group": None}, "n_group is missing"),
        (V2 | {"num_key_value_heads": 1}, "num_key_value_heads=1"),
        (V2 | {"kv_lora_rank": 0}, "kv_lora_rank=0"),
        (without(V2, "num_experts_per_tok"), "^num_experts_per_tok is missing$"),
        (V2 | {"num_experts_per_tok": None}, "^num_experts_per_tok=null: expected an integer$"),
        (LLAMA | {"hidden_size": "16"}, "^hidden_size='16': expected an integer$"),
        (LLAMA | {"rms_norm_eps": "small"}, "^rms_norm_eps='small': expected a number$"),
        (LLAMA | {"tie_word_embeddings": 1}, "^tie_word_embeddings=1: expected true or false$"),
        (LLAMA | {"num_key_value_heads": "2"}, "^num_key_value_heads='2': expected an integer$"),
        (LLAMA | {"num_hidden_layers": 0}, "^num_hidden_layers=0: must be at least 1$"),
        (LLAMA | {"num_key_value_heads": 3}, "^num_key_value_heads=3.*num_attention_heads=4"),
        (LLAMA | {"max_position_embeddings": 0}, "^max_position_embeddings=0: must be at least 1"),
        (LLAMA | {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "'dynamic'"),
        (LLAMA | {"rope_scaling": {"type": "linear"}}, "^rope_scaling.factor is missing$"),
        (LLAMA | {"rope_scaling": [4.0]}, r"^rope_scaling=\[4.0\]: expected an object$"),
        (LLAMA | {"rope_theta": "big"}, "^rope_theta='big': expected a number$"),
        (
            without(V2, "rope_scaling") | {"rope_parameters": {"type": "yarn", "factor": "4"}},
            "^rope_parameters.factor='4': expected a number$",
        ),
        (LLAMA | {"rope_scaling": {"type": ["linear"]}}, r"RoPE of type \['linear'\]"),
        (LLAMA | {"architectures": [["LlamaForCausalLM"]]}, r"\[\['LlamaForCausalLM'\]\]"),
        (V2 | {"rope_scaling": V2["rope_scaling"] | {"truncate": False}}, "truncate=False"),
        (LLAMA | {"architectures": ["GPT2LMHeadModel"]}, "'GPT2LMHeadModel'.*LlamaForCausalLM, D"),
        (LLAMA | {"architectures": "LlamaForCausalLM"}, "'LlamaForCausalLM'"),
        ({"model_type": "mistral"}, "'mistral'"),
        ({}, "architecture None"),
    ],
)
def test_what_cannot_be_honoured_is_refused(values: dict[str, Any], problem: str):
    with pytest.raises(ValueError, match=problem):
        from_huggingface(values)


@settings(deadline=None)
@given(
    st.sampled_from([LLAMA, V2]),
    st.data(),
    st.recursive(
        st.none() | st.booleans() | st.integers(-3, 300) | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=3,
    ),
)
def test_any_value_is_read_or_refused(base: dict[str, Any], data: st.DataObject, value: Any):
    name = data.draw(st.sampled_from([*base, "rope_parameters", "head_dim", "n_routed_experts"]))
    try:
        from_huggingface(base | {name: value})
    except ValueError:
        pass


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from([LLAMA, V2]),
    st.sampled_from(["none", "linear", "yarn"]),
    st.fixed_dictionaries(
        {
            "rope_theta": st.floats(2, 1e7),
            "rms_norm_eps": st.floats(1e-9, 1e-3),
            "tie_embeddings": st.booleans(),
            "num_heads": st.sampled_from([2, 4, 8]),
            "max_positions": st.integers(1, 200_000),
        }
    ),
    st.floats(1, 100),
)
def test_what_is_written_is_read_again(base: dict[str, Any], kind: str, own: Any, factor: float):
    config = replace(from_huggingface(base), own | {"rope_scaling.kind": kind})
    config = replace(config, {"num_kv_heads": config.num_heads})
    if kind == "none":
        config = replace(config, {"rope_scaling": {"kind": "none"}})
    else:
        config = replace(config, {"rope_scaling.factor": factor})
    if kind == "linear":
        config = replace(config, {"rope_scaling": {"kind": kind, "factor": factor}})
    assert from_huggingface(to_huggingface(config)) == config


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ({"num_heads": 3}, "model.d_model=16 is no multiple of model.num_heads=3"),
        ({"moe.num_experts": 4}, "no architecture of both"),
    ],
)
def test_what_transformers_has_no_part_for_is_not_written(overrides: dict, problem: str):
    config = replace(from_huggingface(LLAMA), overrides)
    with pytest.raises(ValueError, match=problem):
        to_huggingface(config)
