# SPDX-License-Identifier: Apache-2.0
"""Draws the report of a plan's runs, or shows the one that is there."""

from rich.console import Console

from coder.config import write_json
from coder.report import rendering
from coder.report.runs import read_json, read_run
from experiments._runner.jobs import Plan

SCALES_BY_SIZE = ("laptop", "workstation", "gpu", "paper")


def present(plan: Plan, console: Console) -> None:
    """Prints table, verdicts and script lines; draws the report first if it is older than a run."""
    report = read_json(plan.root / "report.json")
    if report is None or _outdated(plan) or set(report["runs"]) != set(_run_names(plan)):
        report = draw(plan)
    rendering.show(report, console)
    console.print(f"report: {plan.root}/report.md", highlight=False)
    for line in rendering.script_lines(report):
        print(line)


def draw(plan: Plan) -> dict:
    """Estimates everything from the runs' files and writes report.json, the plots and report.md."""
    # numpy, scipy and matplotlib take seconds to import, which a finished experiment need not pay.
    from coder.report import plots, summary

    runs = [read_run(plan.folder(variant, seed), variant, seed) for seed, variant in plan.runs]
    report = summary.summarize(_heading(plan), plan.experiment.layout, runs)
    report["runs"] = _run_names(plan)
    images = plots.draw(report, plan.root)
    (plan.root / "report.md").write_text(rendering.markdown(report, images), encoding="utf-8")
    write_json(plan.root / "report.json", report)
    return report


def _run_names(plan: Plan) -> list[str]:
    return [f"{variant}/seed{seed}" for seed, variant in plan.runs]


def _outdated(plan: Plan) -> bool:
    """Whether a run was evaluated after the report was drawn."""
    drawn = (plan.root / "report.json").stat().st_mtime
    evaluations = (plan.root / name / "eval.json" for name in _run_names(plan))
    return any(path.exists() and path.stat().st_mtime > drawn for path in evaluations)


def _heading(plan: Plan):
    """What the report is about."""
    from coder.report.summary import Heading

    experiment, scale = plan.experiment, plan.scale
    deciders = {
        claim.id: name
        for name in reversed(SCALES_BY_SIZE)
        if name in experiment.scales
        for claim in experiment.layout.claims
        if claim.id in experiment.scales[name].decides
    }
    return Heading(
        experiment=experiment.name,
        scale=plan.scale_name,
        question=experiment.question,
        paper=experiment.paper,
        cost=scale.cost,
        decides=scale.decides,
        deciders=deciders,
        overrides=tuple(f"{name} = {value}" for name, value in plan.overrides.items()),
    )
