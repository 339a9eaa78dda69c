# SPDX-License-Identifier: Apache-2.0
"""Everything a report says, as JSON values: what Markdown, the terminal and the plots draw from.

    {"title", "facts": {...}, "overrides": [...], "missing": [...], "variants": [...],
     "measures": [...], "breakdowns": [...], "claims": [...], "curves": {...}, "trade_off": {...}}

An estimate is {"value", "low", "high", "seeds", "by_seed", "se_seeds", "se_items", "items"}, or
null if not measured.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from coder.report.claims import Judgement, judge
from coder.report.measures import Breakdown, Contrast, Layout
from coder.report.runs import Run
from coder.report.statistics import Measurements

FORMAT = 1


@dataclass(frozen=True)
class Heading:
    """What a report is about."""

    experiment: str
    scale: str
    question: str
    paper: str
    cost: str
    decides: tuple[str, ...]
    """Claims that this scale is large enough to decide."""
    deciders: dict[str, str]
    """Claim to the smallest scale that can decide it."""
    overrides: tuple[str, ...]
    """Settings from the command line, as `setting: old -> new`."""


def summarize(heading: Heading, layout: Layout, runs: Sequence[Run]) -> dict[str, Any]:
    """The report of all runs of one scale; runs that are not finished are listed as missing."""
    measurements = Measurements(runs)
    variants = list(dict.fromkeys(run.variant for run in runs))
    judgements = [
        judge(claim, measurements, decidable=claim.id in heading.decides) for claim in layout.claims
    ]
    return {
        "format": FORMAT,
        "experiment": heading.experiment,
        "scale": heading.scale,
        "title": f"{heading.experiment}, {heading.scale} scale",
        "question": heading.question,
        "paper": heading.paper,
        "overrides": list(heading.overrides),
        "facts": _facts(heading, runs, measurements),
        "missing": [f"{r.variant} seed {r.seed}" for r in runs if r.evaluation is None],
        "variants": variants,
        "measures": [
            {
                "label": measure.contrast.label,
                "unit": measure.unit,
                "better": measure.better,
                "paper": measure.paper,
                "estimates": {v: _estimate(measurements, measure.contrast.of(v)) for v in variants},
            }
            for measure in layout.measures
        ],
        "breakdowns": [_breakdown(breakdown, measurements) for breakdown in layout.breakdowns],
        "claims": [_claim(judgement, heading) for judgement in judgements],
        "trade_off": _trade_off(layout, variants, measurements),
        "curves": {run.variant: [] for run in runs} | _curves(runs),
        "notes": list(layout.notes),
    }


def _estimate(measurements: Measurements, contrast: Contrast) -> dict[str, Any] | None:
    estimate = measurements.estimate(contrast)
    return asdict(estimate) if estimate else None


def _facts(heading: Heading, runs: Sequence[Run], measurements: Measurements) -> dict[str, str]:
    """What a reader needs to place the figures: model, corpus, machine and time."""
    finished = [run for run in runs if run.evaluation is not None]
    seeds = len({run.seed for run in finished})
    minutes = sum(map(_seconds, finished)) / 60
    facts = {
        "runs": f"{len(finished)} of {len(runs)} runs, {seeds} {'seed' if seeds == 1 else 'seeds'}",
        "expected cost": heading.cost,
        "training and evaluation": f"{minutes:.0f} process-minutes",
        "held-out repositories": f"{len(measurements.repositories)}",
    }
    of_each_run = {
        "model": lambda run: _model(run.config["run"]["model"]),
        "training": lambda run: _training(run.config["run"]),
        "corpus": lambda run: run.evaluation["documents_digest"],
        "platform": lambda run: run.config["platform"],
        "jax": lambda run: run.config["jax"],
    }
    return facts | {
        name: "; ".join(sorted({describe(run) for run in finished})) or "–"
        for name, describe in of_each_run.items()
    }


def _model(model: dict[str, Any]) -> str:
    heads = f"{model['num_heads']} heads of {model['head_dim']}"
    if latent := model["mla"]["kv_lora_rank"]:
        heads = f"{model['num_heads']} heads on latents of {latent}"
    experts = ""
    if count := model["moe"]["num_experts"]:
        experts = f", {model['moe']['experts_per_token']} of {count} experts per token"
    return (
        f"{model['num_layers']} layers of width {model['d_model']}, {heads}{experts}, "
        f"vocabulary {model['vocab_size']:,}"
    )


def _training(settings: dict[str, Any]) -> str:
    train, length = settings["train"], settings["data"]["sequence_length"]
    slots = train["steps"] * train["batch_size"] * length
    return (
        f"{train['steps']:,} steps of {train['batch_size']} × {length} token slots, {slots:,} in "
        f"all, {train['optimizer']}"
    )


def _seconds(run: Run) -> float:
    return (run.done or {}).get("seconds", 0.0) + (run.evaluation or {}).get("seconds", 0.0)


def _breakdown(breakdown: Breakdown, measurements: Measurements) -> dict[str, Any]:
    return {
        "title": breakdown.title,
        "unit": breakdown.rows[0].terms[0].metric.unit.replace("_", " "),
        "buckets": [list(bucket) for bucket in breakdown.buckets],
        "rows": [
            {
                "label": row.label,
                "estimates": [_estimate(measurements, row.within(b)) for b in breakdown.buckets],
            }
            for row in breakdown.rows
        ],
    }


def _claim(judgement: Judgement, heading: Heading) -> dict[str, Any]:
    """A judgement as JSON; a claim that stays open names the scale that can settle it."""
    claim = judgement.claim

    def listed(role: str, contrasts, estimates) -> list[dict[str, Any]]:
        return [
            {"role": role, "label": contrast.label, "estimate": asdict(e) if e else None}
            for contrast, e in zip(contrasts, estimates, strict=True)
        ]

    return {
        "id": claim.id,
        "statement": claim.statement,
        "paper": claim.paper,
        "verdict": judgement.verdict,
        "reason": judgement.reason,
        "advice": _advice(judgement, heading),
        "caveat": claim.caveat,
        "contrasts": listed("component", claim.components, judgement.components)
        + listed("premise", claim.premises, judgement.premises)
        + listed("beside", claim.beside, judgement.beside),
    }


def _advice(judgement: Judgement, heading: Heading) -> str:
    """Where a claim can be settled that this scale leaves open."""
    claim = judgement.claim
    if claim.id in heading.decides:
        return "more seeds narrow it" if judgement.verdict == "inconclusive" else ""
    decider = heading.deciders.get(claim.id)
    return f"SCALE={decider} is meant to decide it" if decider else ""


def _trade_off(
    layout: Layout, variants: list[str], measurements: Measurements
) -> dict[str, Any] | None:
    """Both axes of the trade-off plot for each variant but the reference."""
    plot = layout.trade_off
    if plot is None:
        return None
    others = [variant for variant in variants if variant != plot.reference]
    return {
        "reference": plot.reference,
        "across_label": plot.across_label,
        "up_label": plot.up_label,
        "panels": [
            {
                "title": up.label,
                "points": {
                    v: [
                        _estimate(measurements, plot.across.of(v)),
                        _estimate(measurements, up.of(v)),
                    ]
                    for v in others
                },
            }
            for up in plot.up
        ],
    }


def _curves(runs: Sequence[Run]) -> dict[str, list[dict[str, Any]]]:
    """Training loss by variant: a curve for each seed, [[step, loss], ...]."""
    curves: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        rows = [[row["step"], row["loss"]] for row in run.metrics() if row.get("loss") is not None]
        if rows:
            curves.setdefault(run.variant, []).append({"seed": run.seed, "points": rows})
    return curves
