# SPDX-License-Identifier: Apache-2.0
"""The jobs of an experiment: which subprocess makes which file, and what it needs first.

    corpus ─▶ tokenizer ─▶ examples of a run ─▶ train ─▶ eval        (one chain of the last three for each run)

A job is finished when its `done` file exists; every program writes that file last and atomically.
"""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path
from typing import Any

from coder.config import RunConfig, difference, digest, to_json, write_json
from coder.report.runs import read_json
from experiments.experiment import Experiment, JobKind, Scale, UsageError

CORPUS_SEED = 0
"""Draws the corpus; runs of all seeds share one corpus, tokenizer and held-out set."""
STAGES: tuple[JobKind, ...] = ("corpus", "tokenizer", "examples", "train", "eval")


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
    whole_machine: bool = False
    """It uses every core itself, so nothing runs beside it."""
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
    output: Path
    given_examples: Path | None = None
    """Finished examples; None: they are made from the corpus."""
    nproc: int | None = field(default=1)
    """Cores XLA may see in a training process; None: all, on a GPU host."""

    @property
    def scale(self) -> Scale:
        """The scale's settings."""
        return self.experiment.scales[self.scale_name]

    @property
    def root(self) -> Path:
        """`runs/<experiment>/<scale>`."""
        return self.output / self.experiment.name / self.scale_name

    @property
    def examples(self) -> Path:
        """The folder of tokenizer, held-out documents and examples."""
        return self.given_examples or self.root / "examples"

    @property
    def runs(self) -> list[tuple[int, str]]:
        """Seed and variant of every run, seed by seed."""
        return [(seed, variant) for seed in self.seeds for variant in self.variants]

    def folder(self, variant: str, seed: int) -> Path:
        """Where a run lives."""
        return self.root / variant / f"seed{seed}"

    def config(self, variant: str, seed: int) -> RunConfig:
        """The settings of a run."""
        return self.experiment.config(self.scale_name, variant, seed, self.overrides)


def corpus_source(source: str) -> str:
    """`--source` for the corpus pipeline: `package:NAME` becomes the folder of that installed package.

    Raises:
        UsageError: the package is not installed.
    """
    kind, _, name = source.partition(":")
    if kind != "package":
        return source
    found = util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise UsageError(f"the corpus is made from the package {name}, which is not installed: make setup")
    return f"folder:{found.submodule_search_locations[0]}"


def jobs(plan: Plan) -> list[Job]:
    """All jobs of a plan, finished or not, in the order of their dependencies."""
    shared = [] if plan.given_examples else _shared_jobs(plan)
    per_run = [job for seed, variant in plan.runs for job in _run_jobs(plan, variant, seed)]
    return shared + per_run


def _module(*arguments: object) -> tuple[str, ...]:
    """The command of a Python module of this project."""
    return (sys.executable, "-m", *map(str, arguments))


def corpus_folder(plan: Plan) -> Path:
    """`runs/corpus/<digest>`: the digest of what the corpus is made from."""
    source = corpus_source(plan.scale.source)
    lock = Path("requirements.txt")
    made_from = {
        "source": plan.scale.source,
        "order": "dependency",
        "seed": CORPUS_SEED,
        "lock": lock.read_text(encoding="utf-8") if source == "installed" else "",
    }
    return plan.output / "corpus" / digest(made_from)


def _shared_jobs(plan: Plan) -> list[Job]:
    """Corpus and tokenizer, once for all runs."""
    corpus = corpus_folder(plan)
    tokenizer = plan.examples / "tokenizer.json"
    vocab_size = plan.config(plan.variants[0], plan.seeds[0]).model.vocab_size
    # fmt: off
    return [
        Job(
            name="corpus",
            kind="corpus",
            command=_module(
                "beam_pipelines.corpus", "--source", corpus_source(plan.scale.source), "--output", corpus,
                "--order", "dependency", "--seed", CORPUS_SEED,
            ),
            done=corpus / "manifest.json",
            log=corpus.with_name(corpus.name + ".log"),
            whole_machine=True,
        ),
        Job(
            name="tokenizer",
            kind="tokenizer",
            command=_module(
                "coder", "tokenizer", "--documents", corpus, "--vocab-size", vocab_size, "--output", tokenizer,
            ),
            done=tokenizer,
            log=plan.examples / "tokenizer.log",
            needs=("corpus",),
            prepare=lambda: _copy_held_out(corpus, plan.examples / "held_out"),
        ),
    ]
    # fmt: on


def _copy_held_out(corpus: Path, held_out: Path) -> None:
    """Puts the held-out documents beside the examples, so that the folder is all a GPU host needs."""
    if (held_out / "manifest.json").exists():
        return
    held_out.mkdir(parents=True, exist_ok=True)
    for shard in sorted(corpus.glob("held_out-*.tfrecord")):
        shutil.copyfile(shard, held_out / shard.name)
    write_json(held_out / "manifest.json", read_json(corpus / "manifest.json"))


def _run_jobs(plan: Plan, variant: str, seed: int) -> list[Job]:
    """Examples, training and evaluation of one run."""
    folder = plan.folder(variant, seed)
    examples = plan.examples / variant / f"seed{seed}"
    config = plan.config(variant, seed)
    name = f"{variant} seed {seed}"
    position = plan.seeds.index(seed), plan.variants.index(variant)
    train = Job(
        name=f"train {name}",
        kind="train",
        command=_module("coder", "train", "--run", folder),
        done=folder / "done.json",
        log=folder / "log.txt",
        needs=() if plan.given_examples else (f"examples {name}",),
        order=(plan.seeds.index(seed), STAGES.index("train"), position[1]),
        prepare=lambda: write_config(plan, config, folder, examples),
        progress=folder / "metrics.jsonl",
        steps=config.train.steps,
    )
    evaluation = Job(
        name=f"eval {name}",
        kind="eval",
        command=_module("coder", "eval", "--run", folder, "--documents", plan.examples / "held_out"),
        done=folder / "eval.json",
        log=folder / "log.txt",
        needs=(train.name,),
        order=(plan.seeds.index(seed), STAGES.index("eval"), position[1]),
    )
    if plan.given_examples:
        return [train, evaluation]
    return [_examples_job(plan, config, examples, f"examples {name}", position), train, evaluation]


def _examples_job(
    plan: Plan, config: RunConfig, examples: Path, name: str, position: tuple[int, int]
) -> Job:
    """The pipeline that packs the training examples of one run."""
    data = config.data
    # fmt: off
    command = _module(
        "beam_pipelines.examples", "--documents", corpus_folder(plan),
        "--tokenizer", plan.examples / "tokenizer.json", "--output", examples,
        "--sequence-length", data.sequence_length, "--fim-rate", data.fim_rate, "--fim-format", data.fim_format,
        "--objective", data.objective, "--granularity", data.granularity, "--window-tokens", data.window_tokens,
        "--line-aligned", data.line_aligned, "--mask-rate", data.mask_rate,
        "--mean-span-length", data.mean_span_length, "--split", "train", "--tokens", data.tokens,
        "--seed", config.seed,
    )
    # fmt: on
    return Job(
        name=name,
        kind="examples",
        command=command,
        done=examples / "manifest.json",
        log=examples.with_name(examples.name + ".log"),
        needs=("tokenizer",),
        order=(position[0], STAGES.index("examples"), position[1]),
    )


def write_config(plan: Plan, config: RunConfig, folder: Path, examples: Path) -> None:
    """Writes config.json of a run that has none; the training process reads its settings from it."""
    if (folder / "config.json").exists():
        return
    manifest = read_json(examples / "manifest.json") or {}
    values = {
        "run": to_json(config),
        "examples": str(examples),
        "examples_digest": manifest.get("digest"),
        "tokenizer": str(plan.examples / "tokenizer.json"),
        "nproc": plan.nproc,
        "jax": metadata.version("jax"),
        "platform": plan.scale.platform,
    }
    write_json(folder / "config.json", values)


def refuse_changed_configs(plan: Plan) -> None:
    """Compares every run that was begun with what is asked for now.

    Raises:
        UsageError: the settings differ; lists the differences.
    """
    for seed, variant in plan.runs:
        folder = plan.folder(variant, seed)
        found = read_json(folder / "config.json")
        if found is None:
            continue
        changes = difference(found["run"], to_json(plan.config(variant, seed)))
        if changes:
            listed = "\n".join(f"  {change}" for change in changes)
            raise UsageError(
                f"{folder} was begun with other settings:\n{listed}\n"
                "Ask for the settings it has, remove that folder, or choose another --output."
            )


def refuse_missing_examples(plan: Plan) -> None:
    """Checks that `--examples` holds what the runs need.

    Raises:
        UsageError: something is missing; names it.
    """
    if plan.given_examples is None:
        return
    needed = ["tokenizer.json", "held_out/manifest.json"]
    needed += [f"{variant}/seed{seed}/manifest.json" for seed, variant in plan.runs]
    for name in needed:
        if not (plan.given_examples / name).exists():
            raise UsageError(f"--examples {plan.given_examples}: there is no {name} in it")
