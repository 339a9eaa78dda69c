# SPDX-License-Identifier: Apache-2.0
"""What an experiment is: a question, variants of one configuration, scales, and claims to judge.

An experiment is a module of this package with a constant `EXPERIMENT`. Settings are dotted paths
into `coder.config.RunConfig`; a misspelt one fails when the module is imported, not hours into a
run.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from coder.config import RunConfig, replace
from coder.report.measures import Layout

JobKind = Literal["corpus", "tokenizer", "examples", "train", "eval"]
MACHINERY = ("experiment", "run")
"""Modules of this package that are not experiments."""


class UsageError(Exception):
    """What was asked for does not exist or does not fit; the message says what to do."""


@dataclass(frozen=True)
class Scale:
    """How large an experiment is run: settings, seeds and corpus."""

    overrides: dict[str, Any]
    """Dotted settings that replace those of the experiment's base."""
    seeds: tuple[int, ...]
    cost: str
    """What a whole run takes, in words, with the machine."""
    expected_seconds: dict[JobKind, float] = field(default_factory=dict)
    """First guess per job on that machine, for the time left; measured times replace it."""
    source: str = "installed"
    """`--source` of the corpus; `package:NAME` stands for the folders of an installed package."""
    decides: tuple[str, ...] = ()
    """Claims this scale is large enough to decide."""
    platform: Literal["cpu", "gpu"] = "cpu"
    """cpu: each process on a core of its own; gpu: training and evaluation one at a time."""
    unavailable: str = ""
    """Why the runner does not start this scale, if it does not."""


@dataclass(frozen=True)
class Experiment:
    """A question with everything needed to answer it."""

    name: str
    question: str
    paper: str
    """Where the paper answers it."""
    base: RunConfig
    variants: dict[str, dict[str, Any]]
    """Name to the dotted settings in which the variant differs."""
    scales: dict[str, Scale]
    """From the smallest to the largest."""
    layout: Layout

    def __post_init__(self) -> None:
        """Builds every configuration once.

        Raises:
            ValueError: a setting of a variant or scale does not exist or has the wrong type, or a
            claim is about
                a variant that there is not.
        """
        for scale in self.scales:
            for variant in self.variants:
                self.config(scale, variant, seed=0, overrides={})
        contrasts = [c for claim in self.layout.claims for c in claim.components + claim.premises]
        for contrast in contrasts:
            for variant in contrast.variants:
                if variant not in self.variants:
                    raise ValueError(
                        f"{self.name}: {contrast.label!r} is about an unknown variant {variant!r}"
                    )

    def config(self, scale: str, variant: str, seed: int, overrides: dict[str, Any]) -> RunConfig:
        """The settings of one run; `overrides` come from the command line and win."""
        settings = self.scales[scale].overrides | self.variants[variant] | overrides
        return replace(self.base, settings | {"seed": seed})

    def varied(self) -> set[str]:
        """The settings in which variants differ."""
        return {setting for settings in self.variants.values() for setting in settings}


def names() -> list[str]:
    """The experiments there are."""
    package = importlib.import_module("experiments")
    modules = (module.name for module in pkgutil.iter_modules(package.__path__))
    return [name for name in modules if name not in MACHINERY and not name.startswith("_")]


def load(name: str) -> Experiment:
    """The experiment called `name`.

    Raises:
        UsageError: there is none; names the nearest.
    """
    choose("experiment", name, names())
    return importlib.import_module(f"experiments.{name}").EXPERIMENT


def choose(what: str, name: str, choices: Iterable[str]) -> str:
    """`name` if it is among `choices`.

    Raises:
        UsageError: it is not; names the nearest choice and all of them.
    """
    choices = list(choices)
    if name in choices:
        return name
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    guess = f" Did you mean {near[0]}?" if near else ""
    raise UsageError(f"unknown {what} {name!r}.{guess} There are: {', '.join(choices)}")
