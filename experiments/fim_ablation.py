# SPDX-License-Identifier: Apache-2.0
"""FIM rate and format (DeepSeek-Coder v1, section 3.1.2, figure 3): what does infilling cost?

    make experiment NAME=fim_ablation
    make experiment NAME=fim_ablation SCALE=workstation
    make experiment NAME=fim_ablation ARGS="--only psm_50 --train.steps 20 --output /tmp/runs"

Four models see the same documents and differ in how documents are rearranged: not at all, half or
all of them for fill-in-the-middle (prefix-suffix-middle), or half of them with masked spans (T5).
All are measured on the same windows and holes of repositories that no model has seen.

The paper's finding: "while the model demonstrates peak performance on the HumanEval-FIM with a 100%
FIM rate, this configuration also results in the weakest code completion capability [...] with a 50%
PSM rate, the model outperforms the MSP strategy".
"""

from typing import Any

from coder.config import DataConfig, EvalConfig, RunConfig, TrainConfig, to_json
from coder.model.presets import PRESETS
from experiments._fim_layout import CLAIMS, LAYOUT
from experiments.experiment import Experiment, Scale

EVERY_CLAIM = tuple(claim.id for claim in CLAIMS)


def _model(preset: str, **settings: int) -> dict[str, Any]:
    """The settings of a shape by name, with some of them replaced."""
    return {f"model.{k}": v for k, v in (to_json(PRESETS[preset]) | settings).items()}


def _budget(steps: int, batch_size: int, sequence_length: int) -> dict[str, Any]:
    """Settings for `steps * batch_size * sequence_length` token slots, each seen once."""
    return {
        "train.steps": steps,
        "train.batch_size": batch_size,
        "data.sequence_length": sequence_length,
        "data.tokens": steps * batch_size * sequence_length,
    }


def _eval(items: int) -> dict[str, Any]:
    """Settings for so many windows, lines and spans."""
    return dict.fromkeys(("eval.documents", "eval.lines", "eval.spans"), items)


# Does every part run? Models of 20 thousand parameters, on the folders of one installed package.
SMOKE = Scale(
    overrides=_model("tiny", vocab_size=512, d_model=32, num_layers=1, head_dim=16, d_ff=64)
    | _budget(steps=12, batch_size=4, sequence_length=76)
    | {"train.warmup_steps": 2, "train.checkpoint_every": 6, "train.log_every": 2}
    | {**_eval(12), "eval.batch_size": 12},
    seeds=(0, 1),
    cost="about a minute and a half on one core",
    expected_seconds={"corpus": 8, "tokenizer": 2, "examples": 4, "train": 8, "eval": 8},
    source="package:flax",
)

# 1.06 M parameters beside the token tables, 0.5 M token slots: too small for infilling to emerge,
# but what infilling costs left to right is plain.
LAPTOP = Scale(
    overrides=_model("tiny", vocab_size=2048)
    | _budget(steps=400, batch_size=16, sequence_length=76),
    seeds=(0, 1, 2),
    cost="at most 15 minutes on 2 CPU cores",
    expected_seconds={"corpus": 60, "tokenizer": 10, "examples": 10, "train": 100, "eval": 15},
    decides=("b_full_fim_costs_left_to_right",),
)

# The laptop's model with twice the heads, half as wide, and ten times the tokens: within this
# budget, a larger model sees too few of them for infilling to emerge (LOG.md, 2026-11-20).
WORKSTATION = Scale(
    overrides=_model("tiny", vocab_size=2048, num_heads=4, num_kv_heads=4, head_dim=32)
    | _budget(steps=2100, batch_size=32, sequence_length=76)
    | _eval(800),
    seeds=(0, 1, 2),
    cost="about 3 CPU-core-hours: an hour and a half on 2 cores, a quarter of that on 8",
    expected_seconds={"corpus": 90, "tokenizer": 10, "examples": 30, "train": 900, "eval": 40},
    decides=EVERY_CLAIM,
)

# 50 M parameters beside the token tables, AdamW as in the paper, 105 M token slots a run: the whole
# default corpus three to four times.
GPU = Scale(
    overrides=_model("gpu")
    | _budget(steps=1600, batch_size=256, sequence_length=256)
    | {"data.tokens": 0, "data.window_tokens": 224, "eval.context_tokens": 224}
    | {"train.optimizer": "adamw", "train.learning_rate": 1e-3, "train.warmup_steps": 160}
    | {**_eval(1000), "eval.batch_size": 128},
    seeds=(0, 1),
    cost="an estimated 25 minutes on one H200, not run yet",
    expected_seconds={"corpus": 90, "tokenizer": 30, "examples": 60, "train": 150, "eval": 30},
    decides=EVERY_CLAIM,
    platform="gpu",
)

# DeepSeek-Coder v1 1.3B as published (table 2, section 3.3): 4K context, batch 1024, 2 T tokens,
# whole documents, splits at any character; the extension of the context came later.
PAPER = Scale(
    overrides=_model("deepseek_coder_1_3b")
    | {"model.rope_scaling.kind": "none", "model.rope_scaling.factor": 1.0}
    | {"model.max_positions": 4096}
    | _budget(steps=477_000, batch_size=1024, sequence_length=4096)
    | {"data.granularity": "document", "data.window_tokens": 0, "data.line_aligned": 0.0}
    | {"train.optimizer": "adamw", "train.learning_rate": 5.3e-4, "train.warmup_steps": 2000}
    | {"train.checkpoint_every": 1000},
    seeds=(0,),
    cost="weeks on hundreds of GPUs",
    decides=EVERY_CLAIM,
    platform="gpu",
    unavailable="the published model and schedule (1.3B parameters, 2 T tokens a variant) are "
    "written down for reference; the largest scale that is run is gpu",
)

EXPERIMENT = Experiment(
    name="fim_ablation",
    question="Which share of fill-in-the-middle teaches infilling without costing left-to-right "
    "quality?",
    paper="DeepSeek-Coder (arXiv 2401.14196), section 3.1.2, figure 3",
    base=RunConfig(
        data=DataConfig(
            granularity="window", window_tokens=64, line_aligned=0.5, sequence_length=76
        ),
        train=TrainConfig(optimizer="muon", learning_rate=3e-3, warmup_steps=40),
        eval=EvalConfig(context_tokens=64),
    ),
    variants={
        "no_fim": {"data.fim_rate": 0.0},
        "psm_50": {"data.fim_rate": 0.5, "data.fim_format": "psm"},
        "psm_100": {"data.fim_rate": 1.0, "data.fim_format": "psm"},
        "msp_50": {"data.fim_rate": 0.5, "data.objective": "msp"},
    },
    scales={
        "smoke": SMOKE,
        "laptop": LAPTOP,
        "workstation": WORKSTATION,
        "gpu": GPU,
        "paper": PAPER,
    },
    layout=LAYOUT,
)
