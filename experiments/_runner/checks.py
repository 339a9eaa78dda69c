# SPDX-License-Identifier: Apache-2.0
"""Compares what is on disk with what is asked for, before anything is computed."""

import dataclasses
from typing import Any

from coder.config import DataConfig, difference, to_json
from coder.report.runs import read_json
from experiments._runner.jobs import Plan


class RefusedError(Exception):
    """What is on disk does not fit what is asked for; the message lists the differences."""


def refuse_misfits(plan: Plan) -> None:
    """Refuses runs and examples that were begun with other settings, and missing examples.

    Raises:
        RefusedError: says what differs or is missing, and what to do.
    """
    _refuse_changed_runs(plan)
    if plan.given_examples is not None:
        _refuse_missing_examples(plan)
    for seed, variant in plan.runs:
        _refuse_changed_examples(plan, variant, seed)


def _refuse_changed_runs(plan: Plan) -> None:
    """All runs of a report have the same settings, also those that are not asked for now."""
    for seed, variant in plan.reported:
        folder = plan.folder(variant, seed)
        found = read_json(folder / "config.json")
        if found is not None:
            _refuse(
                difference(found["run"], to_json(plan.config(variant, seed))),
                f"{folder} was begun",
                "ask for the settings it has, remove that folder, or choose another --output",
            )


def _refuse_changed_examples(plan: Plan, variant: str, seed: int) -> None:
    """Finished examples, made earlier or given by `--examples`, have the run's settings."""
    folder = plan.examples_folder(variant, seed)
    manifest = read_json(folder / "manifest.json")
    if manifest is None:
        return
    config = plan.config(variant, seed)
    names = {field.name for field in dataclasses.fields(DataConfig)} | {"seed"}
    made = {name: value for name, value in manifest["config"].items() if name in names}
    asked = to_json(config.data) | {"seed": config.seed}
    _refuse(
        difference(made, _common(asked, made)),
        f"{folder} was made",
        "remove that folder, or choose another --output or --examples",
    )


def _common(values: dict[str, Any], with_keys: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in with_keys}


def _refuse(changes: list[str], what: str, advice: str) -> None:
    if changes:
        listed = "\n".join(f"  {change}" for change in changes)
        raise RefusedError(f"{what} with other settings (it has -> asked for):\n{listed}\n{advice}")


def _refuse_missing_examples(plan: Plan) -> None:
    needed = ["tokenizer.json", "held_out/manifest.json"]
    needed += [f"{variant}/seed{seed}/manifest.json" for seed, variant in plan.runs]
    for name in needed:
        if not (plan.examples / name).exists():
            raise RefusedError(f"--examples {plan.examples}: there is no {name} in it")
