# SPDX-License-Identifier: Apache-2.0
"""FIM rate and format (DeepSeek-Coder v1, section 3.1.2 and figure 3): what does learning to infill cost?

    make experiment NAME=fim_ablation
    make experiment NAME=fim_ablation SCALE=workstation
    make experiment NAME=fim_ablation ARGS="--only psm_50 --seeds 0 --train.steps 20 --output /tmp/runs"

Four models see the same documents and differ in how documents are rearranged: not at all, half or all of them for
fill-in-the-middle (prefix-suffix-middle), or half of them with masked spans (T5). All are measured on the same windows
and holes of repositories that no model has seen.

The paper's finding: "while the model demonstrates peak performance on the HumanEval-FIM with a 100% FIM rate, this
configuration also results in the weakest code completion capability [...] with a 50% PSM rate, the model outperforms
the MSP strategy". Figure 3 is a plot without a table, so only directions can be compared. It measures pass rates of a
1.3B model; models as small as the CPU scales pass no test, so here the same directions are read from bits per byte.

Infilling is compared with what the `no_fim` model makes of the hole from its prefix alone: a model's own prefix-only
score flatters one that was never trained left to right.
"""

from typing import Any

from coder.config import DataConfig, EvalConfig, RunConfig, TrainConfig, to_json
from coder.model.presets import PRESETS
from coder.report.measures import Breakdown, Claim, Contrast, Layout, Measure, Metric, Term
from experiments.experiment import Experiment, Scale

DIRECTION_ONLY = "figure 3, direction only"
HOLE_LENGTHS = ((1, 3), (4, 8), (9, 16), (17, 10_000))
"""Tokens of a hole; the T5 spans of `msp_50` have three on average."""

# What is measured on a held-out item.
LEFT_TO_RIGHT = Metric("left_to_right", "nats")
IN_EMPTY_PSM = Metric("left_to_right", "nats_empty_psm")
LINE_INFILL, LINE_PREFIX = Metric("single_line", "nats_infill"), Metric("single_line", "nats_prefix")
SPAN_INFILL, SPAN_PREFIX = Metric("span", "nats_infill"), Metric("span", "nats_prefix")
LINE_EXACT = Metric("single_line", "exact", unit="share")
LINE_FIRST_TOKEN = Metric("single_line", "first_token_nats", unit="nats_per_item")
SPAN_FIRST_TOKEN = Metric("span", "first_token_nats", unit="nats_per_item")


def _one(id: str, label: str, metric: Metric) -> Contrast:
    """A metric of the row's own variant."""
    return Contrast(id, label, (Term(1, metric),))


def _gain(name: str, infill: Metric, prefix: Metric, variant: str = "") -> Contrast:
    """Bits per byte that infilling saves over the `no_fim` model given the prefix alone; above zero is better."""
    label = f"{variant} fills {name} better than no_fim continues the prefix"
    return Contrast(f"{name}_gain", label, (Term(1, prefix, "no_fim"), Term(-1, infill, variant)))


def _worse(metric: Metric, worse: str, better: str, id: str, label: str) -> Contrast:
    """By how much `worse` exceeds `better` in a metric where less is better."""
    return Contrast(id, label, (Term(1, metric, worse), Term(-1, metric, better)))


def _half(contrast_50: Contrast, contrast_100: Contrast, sign: int, id: str, label: str) -> Contrast:
    """`sign` times (the contrast of 50 % minus half of that of 100 %)."""
    terms = [Term(sign * t.weight, t.metric, t.variant) for t in contrast_50.terms]
    terms += [Term(-sign * t.weight / 2, t.metric, t.variant) for t in contrast_100.terms]
    return Contrast(id, label, tuple(terms))


SPAN_GAIN_50 = _gain("span", SPAN_INFILL, SPAN_PREFIX, "psm_50")
SPAN_GAIN_100 = _gain("span", SPAN_INFILL, SPAN_PREFIX, "psm_100")
COST_50 = _worse(LEFT_TO_RIGHT, "psm_50", "no_fim", "cost_50", "psm_50 costs left-to-right quality")
COST_100 = _worse(
    LEFT_TO_RIGHT, "psm_100", "no_fim", "cost_100", "psm_100 costs left-to-right quality"
)

CLAIMS = (
    Claim(
        id="a_more_fim_infills_better",
        statement="More FIM gives better infilling, and 100 % PSM the best",
        paper="Section 3.1.2: peak performance on HumanEval-FIM (single line) with a 100 % FIM rate",
        components=(
            SPAN_GAIN_50,
            _gain("line", LINE_INFILL, LINE_PREFIX, "psm_50"),
            _worse(SPAN_INFILL, "psm_50", "psm_100", "span_100", "psm_100 fills span better than psm_50"),
            _worse(LINE_INFILL, "psm_50", "psm_100", "line_100", "psm_100 fills line better than psm_50"),
        ),
        caveat="A small model first has to learn where the prefix stopped: see the first token of the middle.",
    ),
    Claim(
        id="b_full_fim_costs_left_to_right",
        statement="100 % PSM costs left-to-right quality",
        paper="Section 3.1.2: a 100 % FIM rate also results in the weakest code completion capability",
        components=(COST_100,),
        beside=(
            Contrast(
                "cost_100_empty_psm",
                "the same, psm_100 reading in an empty PSM frame",
                (Term(1, IN_EMPTY_PSM, "psm_100"), Term(-1, LEFT_TO_RIGHT, "no_fim")),
            ),
        ),
        caveat="psm_100 has never seen a plain document. In the frame it was trained in (empty prefix and suffix) most "
        "of this cost can vanish: read both lines.",
    ),
    Claim(
        id="c_half_fim_is_the_better_trade",
        statement="50 % PSM keeps at least half of 100 %'s infilling gain at no more than half of its left-to-right cost",
        paper="Section 3.1.2: 50 % PSM is chosen as the balance of FIM efficiency and code completion",
        components=(
            _half(SPAN_GAIN_50, SPAN_GAIN_100, 1, "half_gain", "span gain of psm_50 minus half of psm_100's"),
            _half(COST_50, COST_100, -1, "half_cost", "half of psm_100's cost minus psm_50's"),
        ),
        premises=(SPAN_GAIN_100, COST_100),
        caveat="It only means something where 100 % PSM has both a gain and a cost.",
    ),
    Claim(
        id="d_psm_beats_msp",
        statement="50 % PSM infills better than 50 % MSP",
        paper="Section 3.1.2: with a 50 % PSM rate, the model outperforms the MSP strategy",
        components=(
            _worse(SPAN_INFILL, "msp_50", "psm_50", "span_msp", "psm_50 fills span better than msp_50"),
            _worse(LINE_INFILL, "msp_50", "psm_50", "line_msp", "psm_50 fills line better than msp_50"),
        ),
        caveat="msp_50 was trained on spans of three tokens and is asked for whole lines: compare the shortest holes.",
    ),
)


def _by_length(title: str, infill: Metric, prefix: Metric) -> Breakdown:
    """Bits per byte of holes of each length, and the difference that claim (d) is about."""
    fillers = ("psm_50", "psm_100", "msp_50")
    rows = [Contrast("prefix", "no_fim, prefix only", (Term(1, prefix, "no_fim"),))]
    rows += [Contrast(name, f"{name}, infill", (Term(1, infill, name),)) for name in fillers]
    rows += [_worse(infill, "msp_50", "psm_50", "msp_psm", "msp_50 minus psm_50")]
    return Breakdown(title, tuple(rows), HOLE_LENGTHS)


LAYOUT = Layout(
    measures=(
        Measure(_one("left_to_right", "left to right", LEFT_TO_RIGHT), "lower", DIRECTION_ONLY),
        Measure(_one("in_empty_psm", "left to right, empty PSM frame", IN_EMPTY_PSM), "lower"),
        Measure(_one("line_infill", "line infill", LINE_INFILL), "lower", DIRECTION_ONLY),
        Measure(_one("line_prefix", "line, prefix only", LINE_PREFIX), "lower"),
        Measure(_gain("line", LINE_INFILL, LINE_PREFIX), "higher"),
        Measure(_one("span_infill", "span infill", SPAN_INFILL), "lower"),
        Measure(_one("span_prefix", "span, prefix only", SPAN_PREFIX), "lower"),
        Measure(_gain("span", SPAN_INFILL, SPAN_PREFIX), "higher"),
        Measure(_one("line_exact", "line exact match", LINE_EXACT), "higher", DIRECTION_ONLY),
        Measure(_one("line_first", "line, first token", LINE_FIRST_TOKEN), "lower"),
        Measure(_one("span_first", "span, first token", SPAN_FIRST_TOKEN), "lower"),
    ),
    claims=CLAIMS,
    breakdowns=(
        _by_length("Spans by length", SPAN_INFILL, SPAN_PREFIX),
        _by_length("Lines by length", LINE_INFILL, LINE_PREFIX),
    ),
    trade_off=(
        _one("left_to_right", "left to right", LEFT_TO_RIGHT),
        _one("span_infill", "span infill", SPAN_INFILL),
    ),
)


def _model(preset: str, **settings: int) -> dict[str, Any]:
    """The settings of a published or experiment shape, with some of them replaced."""
    return {f"model.{k}": v for k, v in (to_json(PRESETS[preset]) | settings).items()}


def _budget(steps: int, batch_size: int, sequence_length: int) -> dict[str, Any]:
    """Settings for `steps * batch_size * sequence_length` token slots, each seen once."""
    return {
        "train.steps": steps,
        "train.batch_size": batch_size,
        "data.sequence_length": sequence_length,
        "data.tokens": steps * batch_size * sequence_length,
    }


BASE = RunConfig(
    data=DataConfig(granularity="window", window_tokens=64, line_aligned=0.5, sequence_length=80),
    train=TrainConfig(optimizer="muon", learning_rate=3e-3, warmup_steps=40, checkpoint_every=200),
    eval=EvalConfig(context_tokens=64),
)

EXPERIMENT = Experiment(
    name="fim_ablation",
    question="Which share of fill-in-the-middle teaches infilling without costing left-to-right quality?",
    paper="DeepSeek-Coder (arXiv 2401.14196), section 3.1.2, figure 3",
    base=BASE,
    variants={
        "no_fim": {"data.fim_rate": 0.0},
        "psm_50": {"data.fim_rate": 0.5, "data.fim_format": "psm"},
        "psm_100": {"data.fim_rate": 1.0, "data.fim_format": "psm"},
        "msp_50": {"data.fim_rate": 0.5, "data.objective": "msp"},
    },
    scales={
        # Does every part run? Models of 30 thousand parameters, on the folders of one installed package.
        "smoke": Scale(
            overrides=_model(
                "tiny", vocab_size=512, d_model=32, num_layers=1, num_heads=2, num_kv_heads=2, head_dim=16, d_ff=64
            )
            | _budget(steps=12, batch_size=4, sequence_length=80)
            | {"train.warmup_steps": 2, "train.checkpoint_every": 6, "train.log_every": 2}
            | {"eval.documents": 12, "eval.lines": 12, "eval.spans": 12, "eval.batch_size": 12},
            seeds=(0, 1),
            cost="about a minute and a half on one core",
            expected_seconds={"corpus": 8, "tokenizer": 2, "examples": 4, "train": 8, "eval": 8},
            source="package:flax",
        ),
        # 1.06 M parameters without the token tables, 0.8 M token slots: decides what left-to-right reading costs.
        "laptop": Scale(
            overrides=_model("tiny", vocab_size=2048) | _budget(steps=625, batch_size=16, sequence_length=80),
            seeds=(0, 1, 2),
            cost="at most 15 minutes on 2 CPU cores",
            expected_seconds={"corpus": 90, "tokenizer": 10, "examples": 10, "train": 100, "eval": 20},
            decides=("b_full_fim_costs_left_to_right",),
        ),
        # 2.65 M parameters without the token tables, 6 M token slots: infilling has been seen to emerge.
        "workstation": Scale(
            overrides=_model("small", vocab_size=2048)
            | _budget(steps=2680, batch_size=28, sequence_length=80)
            | {"eval.documents": 800, "eval.lines": 800, "eval.spans": 800},
            seeds=(0, 1, 2),
            cost="about 4 CPU-core-hours: two hours on 2 cores, half an hour on 8",
            expected_seconds={"corpus": 90, "tokenizer": 10, "examples": 20, "train": 1250, "eval": 60},
            decides=tuple(claim.id for claim in CLAIMS),
        ),
        # 50 M parameters without the token tables, 105 M token slots a variant, AdamW as in the paper.
        "gpu": Scale(
            overrides=_model("gpu")
            | _budget(steps=1600, batch_size=256, sequence_length=256)
            | {"data.window_tokens": 236, "eval.context_tokens": 236}
            | {"train.optimizer": "adamw", "train.learning_rate": 1e-3, "train.warmup_steps": 160}
            | {"eval.documents": 1000, "eval.lines": 1000, "eval.spans": 1000, "eval.batch_size": 128},
            seeds=(0, 1),
            cost="about 25 minutes on one H200",
            expected_seconds={"corpus": 90, "tokenizer": 30, "examples": 60, "train": 150, "eval": 30},
            decides=tuple(claim.id for claim in CLAIMS),
            platform="gpu",
        ),
        # DeepSeek-Coder v1 1.3B as published (table 2 and section 3.3): 4K context, batch 1024, whole documents.
        "paper": Scale(
            overrides=_model("deepseek_coder_1_3b")
            | {
                "train.optimizer": "adamw",
                "train.learning_rate": 5.3e-4,
                "train.warmup_steps": 2000,
                "train.steps": 477_000,
                "train.batch_size": 1024,
                "train.checkpoint_every": 1000,
                "data.sequence_length": 4096,
                "data.granularity": "document",
                "data.window_tokens": 0,
                "data.line_aligned": 0.0,
                "data.tokens": 0,
            },
            seeds=(0,),
            cost="2 T tokens a variant: weeks on hundreds of GPUs",
            decides=tuple(claim.id for claim in CLAIMS),
            platform="gpu",
            unavailable="it is the published model and schedule (1.3B parameters, 2 T tokens a variant), written down "
            "for reference; its training is not started from here",
        ),
    },
    layout=LAYOUT,
)
