# SPDX-License-Identifier: Apache-2.0
"""Draws the report of a plan's runs, or shows the one that is there."""

from typing import Any

from rich.console import Console

from coder.config import difference, to_json, write_json
from coder.report import rendering
from coder.report.runs import read_json, read_run
from experiments._runner.jobs import Plan
from experiments.experiment import Experiment


def present(plan: Plan, console: Console) -> None:
    """Prints table, verdicts and script lines; draws the report first if it is older than a run."""
    report = read_json(plan.root / "report.json")
    if report is None or _outdated(plan) or set(report["runs"]) != set(_run_names(plan)):
        report = draw(plan)
    rendering.show(report, console)
    console.print(f"report: {plan.root}/report.md", highlight=False)
    for line in rendering.script_lines(report):
        print(line)


def draw(plan: Plan) -> dict[str, Any]:
    """Estimates everything from the runs' files and writes report.json, the plots and report.md."""
    # numpy, scipy and matplotlib take seconds to import, which a finished experiment need not pay.
    from coder.report import plots, summary

    runs = [read_run(plan.folder(variant, seed), variant, seed) for seed, variant in plan.reported]
    heading = summary.Heading(
        experiment=plan.experiment.name,
        scale=plan.scale_name,
        question=plan.experiment.question,
        paper=plan.experiment.paper,
        cost=plan.scale.cost,
        decides=plan.scale.decides,
        deciders=_deciders(plan.experiment),
        overrides=_overrides(plan),
    )
    report = summary.summarize(heading, plan.experiment.layout, runs)
    report["runs"] = _run_names(plan)
    plan.root.mkdir(parents=True, exist_ok=True)
    images = plots.draw(report, plan.root)
    (plan.root / "report.md").write_text(rendering.markdown(report, images), encoding="utf-8")
    write_json(plan.root / "report.json", report)
    return report


def _run_names(plan: Plan) -> list[str]:
    return [f"{variant}/seed{seed}" for seed, variant in plan.reported]


def _outdated(plan: Plan) -> bool:
    """Whether a run was evaluated after the report was drawn."""
    drawn = (plan.root / "report.json").stat().st_mtime
    evaluations = (plan.root / name / "eval.json" for name in _run_names(plan))
    return any(path.exists() and path.stat().st_mtime > drawn for path in evaluations)


def _deciders(experiment: Experiment) -> dict[str, str]:
    """The smallest scale that is large enough to decide each claim."""
    deciders: dict[str, str] = {}
    for name, scale in experiment.scales.items():
        for claim in scale.decides:
            deciders.setdefault(claim, name)
    return deciders


def _overrides(plan: Plan) -> tuple[str, ...]:
    """How the runs' settings differ from those of their scale, whatever command line began them."""
    changes: set[str] = set()
    for seed, variant in plan.reported:
        found = read_json(plan.folder(variant, seed) / "config.json")
        if found:
            own = plan.experiment.config(plan.scale_name, variant, seed, {})
            changes.update(difference(to_json(own), found["run"]))
    return tuple(sorted(changes))
