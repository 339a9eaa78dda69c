# SPDX-License-Identifier: Apache-2.0
"""The models that `benchmarks.oracle_transformers` compares, in transformers' own names.

Read by both interpreters, ours and that of .venv-oracle. Contexts are longer than the positions
before YaRN's extension, so that its frequencies matter, and initial weights are large, so that
attention is far from uniform.
"""

import dataclasses
import random
from dataclasses import dataclass
from typing import Any

LENGTH = 129
"""Tokens of a row, more than the 64 positions that the scaled models were first meant for."""

YARN = {
    "rope_type": "yarn",
    "rope_theta": 10_000.0,
    "factor": 40.0,
    "original_max_position_embeddings": 64,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 0.707,
    "mscale_all_dim": 0.707,
}
LINEAR = {"rope_type": "linear", "rope_theta": 100_000.0, "factor": 4.0}
PLAIN = {"rope_type": "default", "rope_theta": 10_000.0}

LLAMA = {
    "vocab_size": 24,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 8,
    "intermediate_size": 24,
    "max_position_embeddings": 2560,
    "rope_parameters": PLAIN | {"rope_theta": 100_000.0},
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "initializer_range": 0.2,
}
V2 = {
    "vocab_size": 24,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 2560,
    "rope_parameters": YARN,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "initializer_range": 0.2,
    "q_lora_rank": None,
    "kv_lora_rank": 12,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
    "first_k_dense_replace": 1,
    "n_routed_experts": 8,
    "n_shared_experts": 2,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 8,
    "topk_method": "greedy",
    "n_group": 1,
    "topk_group": 1,
    "routed_scaling_factor": 1.0,
    "norm_topk_prob": False,
}
QUERY_LATENT = {"q_lora_rank": 10}
GROUPED = {"topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2}


@dataclass(frozen=True)
class Case:
    """One model."""

    name: str
    model_type: str
    """llama or deepseek_v2."""
    settings: dict[str, Any]
    """Of transformers' configuration class."""
    seed: int = 0
    unused_expert: bool = False
    """Whether no token chooses the first expert of the last layer."""
    golden: tuple[str, ...] = ()
    """Kinds of arrays that `make test` has; weights and logits are always among them."""


def _yarn(mscale: float) -> dict[str, Any]:
    return {"rope_parameters": YARN | {"mscale": mscale, "mscale_all_dim": mscale}}


_LLAMA_YARN = {name: YARN[name] for name in YARN if "mscale" not in name}

_BLOCKS = ("attention", "router", "mlp")

NAMED = (
    Case("llama_mha", "llama", LLAMA, golden=("bfloat16",)),
    Case("llama_gqa", "llama", LLAMA | {"num_key_value_heads": 2}, golden=("gradient", "cache")),
    Case(
        "llama_mqa_tied",
        "llama",
        LLAMA | {"num_key_value_heads": 1, "tie_word_embeddings": True},
        golden=("gradient",),
    ),
    Case("llama_linear", "llama", LLAMA | {"rope_parameters": LINEAR}),
    Case("llama_yarn", "llama", LLAMA | {"rope_parameters": _LLAMA_YARN}),
    Case("v2_greedy", "deepseek_v2", V2, golden=_BLOCKS),
    Case(
        "v2_greedy_16",
        "deepseek_v2",
        V2 | QUERY_LATENT | {"routed_scaling_factor": 16.0},
        golden=("router", "mlp", "gradient"),
    ),
    Case(
        "v2_grouped_16",
        "deepseek_v2",
        V2 | QUERY_LATENT | GROUPED | _yarn(1.0) | {"routed_scaling_factor": 16.0},
        golden=(*_BLOCKS, "cache", "balance"),
    ),
    Case(
        "v2_grouped_unused",
        "deepseek_v2",
        V2 | GROUPED,
        unused_expert=True,
        golden=("router", "mlp", "gradient"),
    ),
)
"""What the released models have, on a small scale: v1's attention and its linear scaling, V2-Lite's
routing and V2's, each with both factors."""


def drawn(model_type: str, seed: int) -> Case:
    """A case whose settings are drawn; larger than the named ones."""
    draw = random.Random(f"{model_type} {seed}")
    settings = _drawn_llama(draw) if model_type == "llama" else _drawn_v2(draw)
    settings |= {
        "vocab_size": draw.choice([61, 96]),
        "num_hidden_layers": draw.choice([2, 3]),
        "initializer_range": 0.1,
        "rms_norm_eps": draw.choice([1e-6, 1e-5]),
    }
    name = f"{model_type.removeprefix('deepseek_')}_drawn_{seed}"
    return Case(name, model_type, settings, seed=seed)


def _drawn_llama(draw: random.Random) -> dict[str, Any]:
    num_heads = draw.choice([4, 8])
    return LLAMA | {
        "hidden_size": draw.choice([32, 48, 64]),
        "num_attention_heads": num_heads,
        "num_key_value_heads": draw.choice([1, 2, num_heads]),
        "head_dim": draw.choice([8, 16]),
        "intermediate_size": draw.choice([56, 96]),
        "rope_parameters": draw.choice([PLAIN, LINEAR, _LLAMA_YARN]),
        "tie_word_embeddings": draw.random() < 0.3,
    }


def _drawn_v2(draw: random.Random) -> dict[str, Any]:
    grouped = draw.choice([{}, GROUPED, GROUPED | {"n_group": 8, "topk_group": 3}])
    return (
        V2
        | grouped
        | _yarn(draw.choice([0.707, 1.0]))
        | {
            "hidden_size": draw.choice([32, 48, 64]),
            "num_attention_heads": draw.choice([2, 4]),
            "intermediate_size": draw.choice([56, 96]),
            "q_lora_rank": draw.choice([None, 20, 24]),
            "kv_lora_rank": draw.choice([16, 24]),
            "qk_nope_head_dim": draw.choice([8, 16]),
            "qk_rope_head_dim": draw.choice([8, 16]),
            "v_head_dim": draw.choice([8, 12, 20]),
            "n_routed_experts": draw.choice([16, 24]),
            "n_shared_experts": draw.choice([1, 2]),
            "num_experts_per_tok": draw.choice([3, 4, 6]),
            "moe_intermediate_size": draw.choice([8, 12]),
            "routed_scaling_factor": draw.choice([1.0, 16.0]),
        }
    )


def cases(drawn_each: int, seed: int) -> list[Case]:
    """The named cases, then `drawn_each` of both model types drawn from `seed`."""
    numbers = range(seed, seed + drawn_each)
    return [*NAMED, *(drawn(kind, n) for kind in ("llama", "deepseek_v2") for n in numbers)]


def to_json(case: Case) -> dict[str, Any]:
    """A case as plain values, from which `Case(**values)` makes it again."""
    return dataclasses.asdict(case)
