# SPDX-License-Identifier: Apache-2.0
"""A model's settings as Hugging Face's config.json has them, both ways.

RoPE is read in both of transformers' spellings and written in both: `rope_theta` with
`rope_scaling`, which is all that older readers know, and `rope_parameters`, which is all that
transformers 5 writes itself. A field that is missing has transformers' default; one whose value our
decoder has no part for is refused.
"""

import dataclasses
import re
from typing import Any, NamedTuple

from coder.config import ModelConfig, MoeConfig, RopeScaling, replace
from coder.model import transformer

MODEL_TYPES = {"LlamaForCausalLM": "llama", "DeepseekV2ForCausalLM": "deepseek_v2"}
"""The architectures that are known, and what else config.json calls them."""


class _Field(NamedTuple):
    """How a field of config.json corresponds to a setting."""

    setting: str
    default: Any
    """Of transformers, where the field is missing."""
    null: Any = None
    """The setting that null stands for; None: null is refused."""


_LLAMA = {
    "vocab_size": _Field("vocab_size", 32000),
    "hidden_size": _Field("d_model", 4096),
    "intermediate_size": _Field("d_ff", 11008),
    "num_hidden_layers": _Field("num_layers", 32),
    "num_attention_heads": _Field("num_heads", 32),
    "max_position_embeddings": _Field("max_positions", 2048),
    "rms_norm_eps": _Field("rms_norm_eps", 1e-6),
    "initializer_range": _Field("init_std", 0.02),
    "tie_word_embeddings": _Field("tie_embeddings", False),
}
_V2 = _LLAMA | {
    "vocab_size": _Field("vocab_size", 102400),
    "kv_lora_rank": _Field("mla.kv_lora_rank", 512),
    "q_lora_rank": _Field("mla.q_lora_rank", 1536, null=0),
    "qk_nope_head_dim": _Field("mla.qk_nope_head_dim", 128),
    "qk_rope_head_dim": _Field("mla.qk_rope_head_dim", 64),
    "v_head_dim": _Field("mla.v_head_dim", 128),
}
_EXPERTS = {
    "n_routed_experts": _Field("moe.num_experts", 64),
    "n_shared_experts": _Field("moe.num_shared_experts", 2, null=0),
    "num_experts_per_tok": _Field("moe.experts_per_token", None),
    "moe_intermediate_size": _Field("moe.d_expert", 1407),
    "first_k_dense_replace": _Field("moe.first_dense_layers", 0),
    "topk_method": _Field("moe.routing", "greedy"),
    "n_group": _Field("moe.num_groups", None, null=1),
    "topk_group": _Field("moe.groups_per_token", None, null=1),
    "norm_topk_prob": _Field("moe.normalise_weights", False, null=False),
    "routed_scaling_factor": _Field("moe.routed_scaling_factor", 1.0),
    "aux_loss_alpha": _Field("moe.expert_balance", 0.001, null=0.0),
}
_YARN = {
    "original_max_position_embeddings": "original_positions",
    "beta_fast": "beta_fast",
    "beta_slow": "beta_slow",
    "mscale": "mscale",
    "mscale_all_dim": "mscale_all_dim",
}
_HEADS = {
    "num_key_value_heads": _Field("num_kv_heads", None),
    "head_dim": _Field("head_dim", None),
}
_THETA = {"rope_theta": _Field("rope_theta", 10_000.0)}
_FACTOR = {"factor": _Field("rope_scaling.factor", None)}
_EXPECTED = {bool: "true or false", int: "an integer", float: "a number"}
_ONLY = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False}
_ONLY_V2 = {"scoring_func": "softmax", "moe_layer_freq": 1}
"""The one value of a field that our decoder has."""
_ONLY_ROPE = {"attention_factor": None, "truncate": True, "partial_rotary_factor": 1.0}
_KINDS = {"default": "none", "linear": "linear", "yarn": "yarn"}


def architecture(values: dict[str, Any]) -> str:
    """The architecture that a config.json names.

    Raises:
        ValueError: it is none of those that are known; names it and them.
    """
    named = values.get("architectures") or [
        name for name, kind in MODEL_TYPES.items() if kind == values.get("model_type")
    ]
    if not isinstance(named, list) or len(named) != 1 or named[0] not in list(MODEL_TYPES):
        what = values.get("architectures") or values.get("model_type")
        raise ValueError(f"architecture {what!r} is not supported: only {', '.join(MODEL_TYPES)}")
    return named[0]


def from_huggingface(values: dict[str, Any]) -> ModelConfig:
    """The settings that a config.json describes.

    Raises:
        ValueError: a field is ill-typed, or has a value that our decoder cannot honour; names it.
    """
    is_v2 = architecture(values) == "DeepseekV2ForCausalLM"
    _refuse_others(values, _ONLY | (_ONLY_V2 if is_v2 else {}) | {"quantization_config": None})
    config = _read(ModelConfig(), values, _V2 if is_v2 else _LLAMA)
    config = _with_heads(config, values, is_v2)
    config = _with_rope(config, values)
    if is_v2:
        config = _with_experts(config, values)
    if config.max_positions < 1:
        raise ValueError(f"max_position_embeddings={config.max_positions}: must be at least 1")
    try:
        transformer.check(config)
    except ValueError as error:
        raise ValueError(_in_their_words(str(error))) from None
    return config


def to_huggingface(config: ModelConfig) -> dict[str, Any]:
    """The config.json of a model, without the tokenizer's ids and the type of the weights.

    Raises:
        ValueError: no architecture that transformers has is this model, or it would refuse it.
    """
    name = _architecture_of(config)
    is_v2 = name == "DeepseekV2ForCausalLM"
    if config.d_model % config.num_heads:
        raise ValueError(
            f"model.d_model={config.d_model} is no multiple of model.num_heads={config.num_heads}: "
            "transformers refuses such a model"
        )
    values: dict[str, Any] = {"architectures": [name], "model_type": MODEL_TYPES[name]}
    values |= _written(config, _V2 if is_v2 else _LLAMA) | _ONLY | {"use_cache": True}
    values["num_key_value_heads"] = config.num_heads if is_v2 else config.num_kv_heads
    values["head_dim"] = config.mla.qk_rope_head_dim if is_v2 else config.head_dim
    if is_v2:
        values |= _ONLY_V2 | {
            "ep_size": 1,
            "seq_aux": True,
            "q_lora_rank": config.mla.q_lora_rank or None,
        }
        values |= _written(_expert_settings(config), _EXPERTS)
    return values | _rope_values(config)


def _read(
    config: ModelConfig, values: dict[str, Any], fields: dict[str, _Field], where: str = ""
) -> ModelConfig:
    """`config` with the settings of some fields, which lie in config.json at `where`."""
    for name, field in fields.items():
        value = values.get(name, field.default)
        try:
            config = replace(config, {field.setting: field.null if value is None else value})
        except ValueError as error:
            if value is None and name not in values:
                raise ValueError(f"{where}{name} is missing") from None
            kind = type(_setting(config, field.setting))
            # Of a setting that is a word, the error ends in "choose one of" and those there are.
            choices = str(error).rpartition("choose ")[2]
            expected = _EXPECTED.get(kind, choices)
            told = "null" if value is None else repr(value)
            raise ValueError(f"{where}{name}={told}: expected {expected}") from None
    return config


def _setting(config: ModelConfig, dotted: str) -> Any:
    value: Any = config
    for part in dotted.split("."):
        value = getattr(value, part)
    return value


def _in_their_words(problem: str) -> str:
    """What is said of settings, with the names that config.json has for them."""
    fields = _V2 | _EXPERTS | _HEADS | _THETA
    names = {field.setting: name for name, field in fields.items()}
    names |= {f"rope_scaling.{ours}": f"rope_scaling.{theirs}" for theirs, ours in _YARN.items()}
    names["rope_scaling.factor"] = "rope_scaling.factor"
    return re.sub(r"\bmodel\.([\w.]*\w)", lambda found: names.get(found[1], found[0]), problem)


def _written(config: ModelConfig, fields: dict[str, _Field]) -> dict[str, Any]:
    """The values of some fields."""
    return {name: _setting(config, field.setting) for name, field in fields.items()}


def _with_heads(config: ModelConfig, values: dict[str, Any], is_v2: bool) -> ModelConfig:
    """`config` with the heads' width and the number of keys, which have no fixed default."""
    if is_v2 and config.mla.kv_lora_rank < 1:
        raise ValueError(f"kv_lora_rank={config.mla.kv_lora_rank}: must be at least 1")
    num_kv_heads = values.get("num_key_value_heads") or config.num_heads
    if is_v2 and num_kv_heads != config.num_heads:
        raise ValueError(
            f"num_key_value_heads={num_kv_heads}: latent attention makes keys for each of the "
            f"num_attention_heads={config.num_heads}"
        )
    derived = config.mla.qk_rope_head_dim if is_v2 else config.d_model // max(config.num_heads, 1)
    head_dim = derived if is_v2 else values.get("head_dim") or derived
    return _read(config, {"num_key_value_heads": num_kv_heads, "head_dim": head_dim}, _HEADS)


def _with_experts(config: ModelConfig, values: dict[str, Any]) -> ModelConfig:
    """`config` with experts, unless no layer has any."""
    if "n_routed_experts" in values and not values["n_routed_experts"]:
        return config
    dense, config = config, _read(config, values, _EXPERTS)
    if config.moe.first_dense_layers >= config.num_layers:
        return dense
    if config.moe.routing == "group_limited_greedy":
        for name in ("n_group", "topk_group"):
            if values.get(name) is None:
                raise ValueError(f"{name} is missing: topk_method=group_limited_greedy needs it")
    return config


def _with_rope(config: ModelConfig, values: dict[str, Any]) -> ModelConfig:
    """`config` with RoPE in either spelling; where both are, `rope_scaling` is what counts."""
    where = "rope_scaling" if values.get("rope_scaling") else "rope_parameters"
    rope = values.get(where) or {}
    if not isinstance(rope, dict):
        raise ValueError(f"{where}={rope!r}: expected an object")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in list(_KINDS):
        raise ValueError(f"RoPE of type {kind!r} is not supported: only {', '.join(_KINDS)}")
    _refuse_others(rope, _ONLY_ROPE)
    config = _read(config, rope if "rope_theta" in rope else values, _THETA)
    config = replace(config, {"rope_scaling.kind": _KINDS[kind]})
    if kind != "default":
        config = _read(config, rope, _FACTOR, f"{where}.")
    if kind == "yarn":
        config = _read(config, rope, _yarn_fields(config.max_positions), f"{where}.")
    return config


def _yarn_fields(max_positions: int) -> dict[str, _Field]:
    """The fields of YaRN; null stands for the default, as in transformers."""
    plain = RopeScaling(original_positions=max_positions)
    defaults = {name: getattr(plain, ours) for name, ours in _YARN.items()}
    return {
        name: _Field(f"rope_scaling.{ours}", defaults[name], null=defaults[name])
        for name, ours in _YARN.items()
    }


def _rope_values(config: ModelConfig) -> dict[str, Any]:
    """RoPE in both spellings."""
    scaling, theta = config.rope_scaling, config.rope_theta
    kind = next(theirs for theirs, ours in _KINDS.items() if ours == scaling.kind)
    details: dict[str, Any] = {} if kind == "default" else {"factor": scaling.factor}
    if kind == "yarn":
        details |= {name: getattr(scaling, ours) for name, ours in _YARN.items()}
        # 0 is our default, which they have where the field is missing.
        details = {name: value for name, value in details.items() if value}
    return {
        "rope_theta": theta,
        "rope_scaling": {"type": kind, **details} if details else None,
        "rope_parameters": {"rope_type": kind, "rope_theta": theta, **details},
    }


def _architecture_of(config: ModelConfig) -> str:
    if config.mla.kv_lora_rank:
        return "DeepseekV2ForCausalLM"
    if config.moe.num_experts:
        raise ValueError(
            f"model.moe.num_experts={config.moe.num_experts} without latent attention "
            "(model.mla.kv_lora_rank=0): transformers has no architecture of both"
        )
    return "LlamaForCausalLM"


def _expert_settings(config: ModelConfig) -> ModelConfig:
    """`config`, or as many dense layers as it has where there are no experts."""
    if config.moe.num_experts:
        return config
    moe = MoeConfig(num_experts=1, experts_per_token=1, first_dense_layers=config.num_layers)
    return dataclasses.replace(config, moe=moe)


def _refuse_others(values: dict[str, Any], only: dict[str, Any]) -> None:
    """Raises ValueError where a field has another value than the one that can be honoured."""
    for name, value in only.items():
        if values.get(name, value) != value:
            raise ValueError(f"{name}={values[name]!r} is not supported: only {value!r}")
