# SPDX-License-Identifier: Apache-2.0
"""Every setting of a run, as frozen dataclasses: the one place where defaults live.

The field docstrings are the `--help` texts (tyro). A configuration is written to `config.json`
beside the run it describes, and `difference` says what changed between two of them. Nothing here
imports jax or Beam, so that the experiment runner can read it at once.
"""

import copy
import dataclasses
import hashlib
import json
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Objective = Literal["causal", "msp"]
FimFormat = Literal["psm", "spm"]
Granularity = Literal["document", "file", "window"]


@dataclass(frozen=True)
class RopeScaling:
    """How RoPE's angles reach beyond the positions that a model was first trained on."""

    kind: Literal["none", "linear", "yarn"] = "none"
    """v1 divides positions (linear); V2 interpolates by frequency (YaRN, section 3)."""
    factor: float = 1.0
    """How many times longer the context becomes."""
    original_positions: int = 4096
    """kind=yarn: positions before the extension."""
    beta_fast: float = 32.0
    """kind=yarn: turns within the original positions above which an angle stays as it was."""
    beta_slow: float = 1.0
    """kind=yarn: turns below which an angle is wholly interpolated."""
    mscale: float = 0.0
    """kind=yarn: coefficient of the temperature's logarithm in the rotation, which is divided by
    the temperature of mscale_all_dim; where either is 0 the rotation has YaRN's own, 1."""
    mscale_all_dim: float = 0.0
    """kind=yarn: the coefficient in the scale of MLA's softmax; 0: none there."""


@dataclass(frozen=True)
class MlaConfig:
    """Multi-head latent attention (DeepSeek-V2, section 2.1); without it heads are ordinary."""

    kv_lora_rank: int = 0
    """Width of the latent from which keys and values are made; 0: no MLA."""
    q_lora_rank: int = 0
    """Width of the latent from which queries are made; 0: from the residual stream at once."""
    qk_nope_head_dim: int = 128
    """Width of a query and key head that is not rotated."""
    qk_rope_head_dim: int = 64
    """Width of a query head, and of the one key of all heads, that is rotated."""
    v_head_dim: int = 128
    """Width of a value head."""


@dataclass(frozen=True)
class MoeConfig:
    """DeepSeekMoE (DeepSeek-V2, section 2.2); without it every layer has one SwiGLU."""

    num_experts: int = 0
    """Routed experts of a layer; 0: no MoE."""
    num_shared_experts: int = 2
    """Experts that see every token, as one SwiGLU of their summed width."""
    experts_per_token: int = 6
    """Routed experts that see a token."""
    d_expert: int = 1408
    """Inner width of an expert."""
    first_dense_layers: int = 1
    """Layers before the first with experts."""
    routing: Literal["greedy", "group_limited_greedy"] = "greedy"
    """The likeliest experts, or the likeliest among those of a few groups."""
    num_groups: int = 1
    """Groups of experts, which V2 trained on a device each (D); divides num_experts."""
    groups_per_token: int = 1
    """routing=group_limited_greedy: groups whose experts may see a token (M)."""
    normalise_weights: bool = False
    """Divide the chosen experts' weights by their sum; V2 does not."""
    routed_scaling_factor: float = 1.0
    """Factor of the weights where they are not normalised; 16 in the 236B model."""
    expert_balance: float = 0.001
    """Factor of the expert-level balance loss (alpha 1, equation 23)."""
    device_balance: float = 0.0
    """Factor of the device-level balance loss (alpha 2, equation 26)."""
    communication_balance: float = 0.0
    """Factor of the communication balance loss (alpha 3, equation 29)."""
    capacity_factor: float = 0.0
    """In training, tokens a group of experts takes, as a multiple of its even share; the least
    liked are dropped (section 2.2.4); 0: none is."""
    exempt_share: float = 0.1
    """Share of the sequences whose tokens are never dropped."""


@dataclass(frozen=True)
class ModelConfig:
    """A decoder: RMSNorm, RoPE, GQA or MLA, SwiGLU or DeepSeekMoE (v1, table 2; V2, section 2)."""

    vocab_size: int = 2048
    """Rows of the token table; at least the tokenizer's size."""
    d_model: int = 128
    """Width of the residual stream."""
    num_layers: int = 5
    """Decoder layers."""
    num_heads: int = 2
    """Query heads."""
    num_kv_heads: int = 2
    """Key and value heads; divides num_heads."""
    head_dim: int = 64
    """Width of one head; even, because RoPE rotates pairs."""
    d_ff: int = 352
    """Inner width of SwiGLU."""
    rope_theta: float = 100_000.0
    """RoPE base; v1 uses 100,000."""
    rope_scaling: RopeScaling = field(default_factory=RopeScaling)
    """Extension of the context."""
    mla: MlaConfig = field(default_factory=MlaConfig)
    """Latent attention in place of num_kv_heads and head_dim."""
    moe: MoeConfig = field(default_factory=MoeConfig)
    """Experts in place of d_ff, from the first layer that has them on."""
    max_positions: int = 0
    """Longest text the model is meant to read; 0: the sequence length it is trained on."""
    rms_norm_eps: float = 1e-6
    """Added to the mean square before its root."""
    init_std: float = 0.02
    """Standard deviation of the initial weights; DeepSeek LLM uses 0.006."""
    tie_embeddings: bool = False
    """Use the token table as output projection too; v1 does not."""
    remat: bool = False
    """Recompute each layer in the backward pass, to save memory."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the matmuls; auto: bfloat16 on a GPU, float32 on a CPU. Parameters are always
    float32."""


@dataclass(frozen=True)
class DataConfig:
    """How documents become packed training examples (`beam_pipelines.examples`)."""

    objective: Objective = "causal"
    """Next-token prediction, or masked spans (T5, as in the paper's figure 3)."""
    fim_rate: float = 0.5
    """Share of the documents that are rearranged for infilling."""
    fim_format: FimFormat = "psm"
    """Prefix-suffix-middle or suffix-prefix-middle."""
    granularity: Granularity = "document"
    """What is rearranged at once; the paper: whole documents, before packing."""
    window_tokens: int = 0
    """With granularity=window: tokens of a window before FIM; 0: as many as fit the sequence."""
    line_aligned: float = 0.0
    """Share of the FIM splits whose two cuts are moved to line ends; 0 in the paper."""
    sequence_length: int = 256
    """Tokens of a packed example."""
    tokens: int = 0
    """Token slots to write; 0: the whole split."""
    mask_rate: float = 0.15
    """objective=msp: share of the tokens that are masked."""
    mean_span_length: float = 3.0
    """objective=msp: mean tokens of a masked span."""


@dataclass(frozen=True)
class TrainConfig:
    """Optimisation (DeepSeek-Coder v1, section 3.3; DeepSeek LLM, section 2.3)."""

    steps: int = 1000
    """Optimizer steps."""
    batch_size: int = 8
    """Sequences of one step, over all processes and devices."""
    micro_batches: int = 1
    """Parts of a batch computed one after the other, to save memory; divides batch_size."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """AdamW as published, or Muon on the matrices of the layers (AdamW on the rest)."""
    learning_rate: float = 5.3e-4
    """Highest learning rate (v1 1.3B: 5.3e-4)."""
    muon_learning_rate: float = 0.02
    """optimizer=muon: highest learning rate of the matrices."""
    schedule: Literal["three_stage", "cosine"] = "three_stage"
    """After warm-up: times sqrt(1/10) at 80 % and 90 % of the steps, or a cosine to a tenth."""
    warmup_steps: int = 100
    """Steps of linear warm-up (paper: 2000)."""
    beta1: float = 0.9
    """AdamW's first decay."""
    beta2: float = 0.95
    """AdamW's second decay."""
    weight_decay: float = 0.1
    """Decoupled weight decay, on matrices only."""
    clip_norm: float = 1.0
    """Gradients are scaled down to this global norm."""
    checkpoint_every: int = 200
    """Steps between checkpoints; the last step is always saved."""
    keep_checkpoints: int = 2
    """Newest checkpoints that stay on disk."""
    log_every: int = 10
    """Steps between rows of metrics.jsonl."""
    max_nonfinite: int = 10
    """Steps with a non-finite gradient that are skipped before the run stops."""


@dataclass(frozen=True)
class EvalConfig:
    """Held-out measurements of the FIM ablation (`coder.eval`)."""

    documents: int = 400
    """Held-out windows scored left to right."""
    lines: int = 400
    """Single-line holes."""
    spans: int = 300
    """Random-span holes."""
    context_tokens: int = 64
    """Tokens of a held-out window, hole included."""
    batch_size: int = 32
    """Windows scored at once."""
    seed: int = 1234
    """Draws windows and holes; the same for every variant and seed, so differences are paired."""


@dataclass(frozen=True)
class RunConfig:
    """One training run and its evaluation; written to `config.json`."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    seed: int = 0
    """Initialisation, data order and FIM draws."""


def to_json(config: Any) -> dict[str, Any]:
    """The settings of a configuration dataclass as plain JSON values."""
    return dataclasses.asdict(config)


def from_json[T](cls: type[T], values: dict[str, Any], where: str = "") -> T:
    """Builds `cls` from what `to_json` gave.

    Raises:
        ValueError: a setting is unknown or missing its type; names it in full.
    """
    hints = typing.get_type_hints(cls)
    for name in values:
        if name not in hints:
            known = ", ".join(hints)
            raise ValueError(f"unknown setting {where}{name}; {cls.__name__} has {known}")
    made = {
        name: from_json(hints[name], value, f"{where}{name}.")
        if dataclasses.is_dataclass(hints[name])
        else _checked(hints[name], value, f"{where}{name}")
        for name, value in values.items()
    }
    return cls(**made)


def _checked(hint: Any, value: Any, where: str) -> Any:
    """`value` if it has the type `hint`; an int is taken for a float, nothing else is converted."""
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise ValueError(f"{where}={value!r}: choose one of {', '.join(map(str, choices))}")
        return value
    if isinstance(hint, types.UnionType):
        allowed = typing.get_args(hint)
    else:
        allowed = (hint,)
    if float in allowed and type(value) is int:
        return float(value)
    if type(value) not in allowed:
        raise ValueError(f"{where}={value!r}: expected {hint}, got {type(value).__name__}")
    return value


def replace[T](config: T, overrides: dict[str, Any]) -> T:
    """`config` with dotted settings replaced, as in `{"data.fim_rate": 0.5}`.

    Raises:
        ValueError: a setting does not exist or has the wrong type; names it and its neighbours.
    """
    values = to_json(config)
    for dotted, value in overrides.items():
        *parents, name = dotted.split(".")
        place = values
        for parent in parents:
            if not isinstance(place.get(parent), dict):
                known = ", ".join(place)
                raise ValueError(f"unknown setting {dotted}: there is no {parent} among {known}")
            place = place[parent]
        if name not in place:
            raise ValueError(f"unknown setting {dotted}: choose one of {', '.join(place)}")
        place[name] = copy.deepcopy(value)  # a later setting may be inside of it
    return from_json(type(config), values)


def difference(old: dict[str, Any], new: dict[str, Any], where: str = "") -> list[str]:
    """What changed between two JSON configurations, a line `setting: old -> new` each."""
    lines = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += difference(before, after, f"{where}{name}.")
        elif before != after:
            lines.append(f"{where}{name}: {before!r} -> {after!r}")
    return lines


def digest(values: Any) -> str:
    """Sixteen hex digits of blake2b over the canonical JSON of `values`."""
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.blake2b(canonical, digest_size=8).hexdigest()


def write_json(path: Path, values: Any) -> None:
    """Writes `values` as JSON, atomically: a reader sees the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)
