# SPDX-License-Identifier: Apache-2.0
"""The jobs of an experiment: which subprocess makes which file, and what it needs first.

    corpus ─▶ tokenizer ─▶ examples ─▶ train ─▶ eval        (the last three once for each run)

A job is finished when its `done` file exists; every program writes that file last and atomically.
"""

import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata, util
from pathlib import Path
from typing import Any

from coder.config import RunConfig, digest, to_json, write_json
from coder.report.runs import read_json
from experiments.experiment import Experiment, JobKind, Scale, UsageError

CORPUS_SEED = 0
"""Draws the corpus; runs of all seeds share one corpus, tokenizer and held-out set."""
CORPUS_LANGUAGES = "core"
"""Python above all, and what stands beside it: a tokenizer of a few thousand tokens has no room for
the 87 languages of the paper."""


def _nothing() -> None:
    """A job that needs no preparation."""


@dataclass(frozen=True)
class Job:
    """One subprocess."""

    name: str
    kind: JobKind
    command: tuple[str, ...]
    done: Path
    log: Path
    needs: tuple[str, ...] = ()
    """Names of the jobs that must be finished first."""
    order: tuple[int, ...] = ()
    """Ready jobs start in this order."""
    seed: int | None = None
    """Seed of its run; None: it serves all runs."""
    on_accelerator: bool = False
    """It needs a GPU to itself."""
    prepare: Callable[[], None] = _nothing
    """Called just before it starts."""
    progress: Path | None = None
    """metrics.jsonl, if it writes one."""
    steps: int = 0
    """The step in the last row of `progress`."""

    @property
    def finished(self) -> bool:
        """Whether what it makes is there."""
        return self.done.exists()


@dataclass(frozen=True)
class Plan:
    """Everything one invocation is about."""

    experiment: Experiment
    scale_name: str
    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    overrides: dict[str, Any]
    """Dotted settings of the command line."""
    output: Path
    workers: int
    """Processes at once."""
    given_examples: Path | None = None
    """Finished examples; None: they are made from the corpus."""

    @property
    def scale(self) -> Scale:
        """The scale's settings."""
        return self.experiment.scales[self.scale_name]

    @property
    def root(self) -> Path:
        """`<output>/<experiment>/<scale>`."""
        return self.output / self.experiment.name / self.scale_name

    @property
    def corpus(self) -> Path:
        """`<output>/corpus/<digest>`: the digest of what the corpus is made from."""
        lock = Path("requirements.txt") if self.scale.source == "installed" else None
        made_from = {
            "source": self.scale.source,
            "languages": CORPUS_LANGUAGES,
            "order": "dependency",
            "seed": CORPUS_SEED,
            "lock": lock.read_text(encoding="utf-8") if lock else "",
        }
        return self.output / "corpus" / digest(made_from)

    @property
    def examples(self) -> Path:
        """The folder of tokenizer, held-out documents and examples."""
        return self.given_examples or self.root / "examples"

    @property
    def runs(self) -> list[tuple[int, str]]:
        """Seed and variant of every run that is asked for, seed by seed."""
        return [(seed, variant) for seed in self.seeds for variant in self.variants]

    @property
    def reported(self) -> list[tuple[int, str]]:
        """Seed and variant of every run in the report: the scale's, and others begun."""
        begun = {int(path.parent.name[4:]) for path in self.root.glob("*/seed*/config.json")}
        seeds = sorted({*self.scale.seeds, *self.seeds, *begun})
        return [(seed, variant) for seed in seeds for variant in self.experiment.variants]

    def folder(self, variant: str, seed: int) -> Path:
        """Where a run lives."""
        return self.root / variant / f"seed{seed}"

    def examples_folder(self, variant: str, seed: int) -> Path:
        """Where the training examples of a run live."""
        return self.examples / variant / f"seed{seed}"

    def config(self, variant: str, seed: int) -> RunConfig:
        """The settings of a run."""
        return self.experiment.config(self.scale_name, variant, seed, self.overrides)


def jobs(plan: Plan) -> list[Job]:
    """All jobs of a plan, finished or not."""
    shared = [] if plan.given_examples else [_corpus_job(plan), _tokenizer_job(plan)]
    return shared + [job for seed, variant in plan.runs for job in _run_jobs(plan, variant, seed)]


def unfinished(all_jobs: list[Job], last: JobKind) -> list[Job]:
    """The jobs to run so that all jobs of kind `last` are finished.

    What led to a finished job need not be there any more: the examples of a trained model, say.
    """
    by_name = {job.name: job for job in all_jobs}
    needed: dict[str, Job] = {}
    stack = [job for job in all_jobs if job.kind == last]
    while stack:
        job = stack.pop()
        if not job.finished and job.name not in needed:
            needed[job.name] = job
            stack += [by_name[name] for name in job.needs]
    return [job for job in all_jobs if job.name in needed]


def _module(*arguments: object) -> tuple[str, ...]:
    """The command of a Python module of this project."""
    return (sys.executable, "-m", *map(str, arguments))


def _flags(values: dict[str, Any]) -> list[str]:
    """Options of a command line."""
    return [text for name, value in values.items() for text in (f"--{name}", str(value))]


def corpus_source(source: str) -> str:
    """`--source` for the corpus pipeline: `package:NAME` becomes the folder of that package.

    Raises:
        UsageError: the package is not installed.
    """
    kind, _, name = source.partition(":")
    if kind != "package":
        return source
    found = util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise UsageError(f"the corpus is the package {name}, which is not installed: make setup")
    return f"folder:{found.submodule_search_locations[0]}"


def _corpus_job(plan: Plan) -> Job:
    """Repositories to documents; it takes every worker, since all else waits for it."""
    options = {
        "source": corpus_source(plan.scale.source),
        "output": plan.corpus,
        "languages": CORPUS_LANGUAGES,
        "order": "dependency",
        "seed": CORPUS_SEED,
        "workers": plan.workers,
    }
    return Job(
        name="corpus",
        kind="corpus",
        command=_module("beam_pipelines.corpus", *_flags(options)),
        done=plan.corpus / "manifest.json",
        log=plan.corpus.with_name(f"{plan.corpus.name}.log"),
    )


def _tokenizer_job(plan: Plan) -> Job:
    """Training documents to a vocabulary, once for all runs."""
    options = {
        "documents": plan.corpus,
        "vocab-size": plan.config(plan.variants[0], plan.seeds[0]).model.vocab_size,
        "output": plan.examples / "tokenizer.json",
    }
    return Job(
        name="tokenizer",
        kind="tokenizer",
        command=_module("coder", "tokenizer", *_flags(options)),
        done=plan.examples / "tokenizer.json",
        log=plan.examples / "tokenizer.log",
        needs=("corpus",),
        prepare=partial(_copy_held_out, plan.corpus, plan.examples / "held_out"),
    )


def _copy_held_out(corpus: Path, held_out: Path) -> None:
    """Puts the held-out documents beside the examples: all that a GPU host needs."""
    held_out.mkdir(parents=True, exist_ok=True)
    for shard in sorted(corpus.glob("held_out-*.tfrecord")):
        shutil.copyfile(shard, held_out / shard.name)
    write_json(held_out / "manifest.json", read_json(corpus / "manifest.json"))


def _run_jobs(plan: Plan, variant: str, seed: int) -> list[Job]:
    """Examples, training and evaluation of one run."""
    name = f"{variant} seed {seed}"
    places = (plan.seeds.index(seed), plan.variants.index(variant))
    train = _train_job(plan, variant, seed, name, places)
    evaluate = _eval_job(plan, variant, seed, name, places)
    if plan.given_examples:
        return [train, evaluate]
    return [_examples_job(plan, variant, seed, name, places), train, evaluate]


def _examples_job(plan: Plan, variant: str, seed: int, name: str, places: tuple[int, int]) -> Job:
    """Documents to packed training examples."""
    folder = plan.examples_folder(variant, seed)
    data = to_json(plan.config(variant, seed).data)
    options = {
        "documents": plan.corpus,
        "tokenizer": plan.examples / "tokenizer.json",
        "output": folder,
        "split": "train",
        "seed": seed,
        **{setting.replace("_", "-"): value for setting, value in data.items()},
    }
    return Job(
        name=f"examples {name}",
        kind="examples",
        command=_module("beam_pipelines.examples", *_flags(options)),
        done=folder / "manifest.json",
        log=folder.with_name(f"{folder.name}.log"),
        needs=("tokenizer",),
        order=(places[0], 2, places[1]),
        seed=seed,
    )


def _train_job(plan: Plan, variant: str, seed: int, name: str, places: tuple[int, int]) -> Job:
    """Examples to a trained model."""
    folder = plan.folder(variant, seed)
    return Job(
        name=f"train {name}",
        kind="train",
        command=_module("coder", "train", "--run", folder),
        done=folder / "done.json",
        log=folder / "log.txt",
        needs=() if plan.given_examples else (f"examples {name}",),
        order=(places[0], 1, places[1]),
        seed=seed,
        on_accelerator=plan.scale.platform == "gpu",
        prepare=partial(_write_config, plan, variant, seed),
        progress=folder / "metrics.jsonl",
        steps=plan.config(variant, seed).train.steps,
    )


def _write_config(plan: Plan, variant: str, seed: int) -> None:
    """Writes config.json of a run that has none; training reads its settings from it."""
    path = plan.folder(variant, seed) / "config.json"
    if path.exists():
        return
    examples = plan.examples_folder(variant, seed)
    manifest = read_json(examples / "manifest.json")
    values = {
        "run": to_json(plan.config(variant, seed)),
        "examples": str(examples.absolute()),
        "examples_digest": manifest["digest"] if manifest else None,
        "tokenizer": str((plan.examples / "tokenizer.json").absolute()),
        "nproc": 1 if plan.scale.platform == "cpu" else None,
        "jax": metadata.version("jax"),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    write_json(path, values)


def _eval_job(plan: Plan, variant: str, seed: int, name: str, places: tuple[int, int]) -> Job:
    """A trained model to its held-out measurements."""
    folder = plan.folder(variant, seed)
    options = {"run": folder, "documents": plan.examples / "held_out"}
    return Job(
        name=f"eval {name}",
        kind="eval",
        command=_module("coder", "eval", *_flags(options)),
        done=folder / "eval.json",
        log=folder / "log.txt",
        needs=(f"train {name}",),
        order=(places[0], 0, places[1]),
        seed=seed,
        on_accelerator=plan.scale.platform == "gpu",
    )
