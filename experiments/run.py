# SPDX-License-Identifier: Apache-2.0
"""Runs an experiment and prints its verdicts:

    python -m experiments.run fim_ablation
    python -m experiments.run fim_ablation --scale workstation
    python -m experiments.run fim_ablation --only psm_50 --seeds 0 --train.steps 20 --output /tmp/runs

Everything is kept under `<output>/<experiment>/<scale>/`. What is finished is not done again, what was cut is resumed, and
a run whose settings would change is refused. Pipelines, training and evaluation are subprocesses, so a finished experiment
answers at once.
"""

import fcntl
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from coder.config import DataConfig, EvalConfig, ModelConfig, RunConfig, TrainConfig, to_json
from experiments import experiment as registry
from experiments._runner import reporting
from experiments._runner.jobs import Plan, jobs, refuse_changed_configs, refuse_missing_examples
from experiments._runner.processes import JobFailed, Pool, Stopped, raise_stopped
from experiments._runner.progress import Clock, Progress
from experiments.experiment import Experiment, UsageError


@dataclass(frozen=True)
class Settings:
    """Settings of the runs; those given here replace the experiment's own, for every variant."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    experiment: tyro.conf.Positional[str]
    """Name of the experiment: a module of `experiments`."""
    scale: str = "laptop"
    """How large: smoke, laptop, workstation, gpu or paper."""
    only: tuple[str, ...] = ()
    """Variants to run; all if none is given."""
    seeds: tuple[int, ...] = ()
    """Seeds to run; those of the scale if none is given."""
    examples: Path | None = None
    """A finished examples folder (`<output>/<experiment>/<scale>/examples` of another machine)."""
    prepare: bool = False
    """Stop when the examples are made, for a machine that trains with --examples."""
    workers: int | None = None
    """Processes at once; one per core if not given, one on a GPU."""
    output: Path = Path("runs")
    """Where everything is kept."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=Settings)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what the command line asks for; returns the exit code."""
    console = Console()
    signal.signal(signal.SIGTERM, raise_stopped)
    try:
        options, plan = parse(sys.argv[1:] if arguments is None else list(arguments))
        refuse_missing_examples(plan)
        refuse_changed_configs(plan)
        if not _all_finished(plan, options):
            with _locked(plan.root):
                _work(plan, options, console)
        if options.prepare:
            console.print(f"examples are in {plan.examples}", highlight=False)
        else:
            reporting.present(plan, console)
        return 0
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except JobFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (Stopped, KeyboardInterrupt) as stop:
        print("stopped; the same command continues where it was", file=sys.stderr)
        return 128 + (stop.signum if isinstance(stop, Stopped) else signal.SIGINT)


def parse(arguments: list[str]) -> tuple[Options, Plan]:
    """The options, and the plan they describe.

    Raises:
        UsageError: the experiment, scale, variant or setting does not exist.
    """
    # Settings are read twice: the scale has to be known before a setting can be said to differ from the scale's own.
    first = tyro.cli(Options, args=arguments, description=__doc__)
    experiment = registry.load(first.experiment)
    scale = experiment.scales[registry.choose("scale", first.scale, experiment.scales)]
    if scale.unavailable:
        raise UsageError(f"--scale {first.scale}: {scale.unavailable}")
    overrides = _overrides(experiment, first, arguments)
    for variant in first.only:
        registry.choose("variant", variant, experiment.variants)
    plan = Plan(
        experiment=experiment,
        scale_name=first.scale,
        variants=tuple(v for v in experiment.variants if v in (first.only or experiment.variants)),
        seeds=first.seeds or scale.seeds,
        overrides=overrides,
        output=first.output,
        given_examples=first.examples,
        nproc=1 if scale.platform == "cpu" else None,
    )
    return first, plan


def _overrides(experiment: Experiment, options: Options, arguments: list[str]) -> dict[str, Any]:
    """The dotted settings given on the command line, with their values.

    Raises:
        UsageError: one of them is what the variants differ in.
    """
    given = {a.split("=")[0].removeprefix("--").replace("-", "_") for a in arguments if a.startswith("--")}
    values = _flat(to_json(options.settings))
    chosen = {name: value for name, value in values.items() if name in given}
    # A switch is given as --model.no-remat when it is turned off.
    chosen |= {n: v for n, v in values.items() if v is False and ".no_".join(n.rsplit(".", 1)) in given}
    for name in chosen:
        if name in experiment.varied():
            raise UsageError(f"--{name}: this is what the variants of {experiment.name} differ in; use --only")
    return chosen


def _flat(values: dict[str, Any], where: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    flat = {}
    for name, value in values.items():
        flat |= _flat(value, f"{where}{name}.") if isinstance(value, dict) else {where + name: value}
    return flat


def _wanted(plan: Plan, options: Options) -> list:
    """The jobs of this invocation."""
    kinds = ("corpus", "tokenizer", "examples") if options.prepare else registry.JOB_KINDS
    return [job for job in jobs(plan) if job.kind in kinds]


def _all_finished(plan: Plan, options: Options) -> bool:
    """Whether there is nothing left to run; what led to an evaluation need not be there any more."""
    last = "examples" if options.prepare else "eval"
    return all(job.finished for job in _wanted(plan, options) if job.kind == last)


def _work(plan: Plan, options: Options, console: Console) -> None:
    """Runs what is not finished, the report redrawn whenever a seed is complete."""
    gpu = plan.scale.platform == "gpu"
    workers = options.workers or (1 if gpu else os.cpu_count() or 1)
    wanted = _wanted(plan, options)
    pool = Pool(wanted, workers, _environment(gpu))
    clock = Clock(plan.scale.expected_seconds, workers)
    with Progress(console, clock, len(wanted)) as progress:
        progress.say(f"{plan.experiment.name}, {plan.scale_name} scale: {plan.scale.cost}; {workers} processes at once")

        def finished(job, seconds: float) -> None:
            progress.finished(job, seconds)
            seed = job.order[0] if job.kind == "eval" else None
            if seed is not None and not any(j.order[:1] == (seed,) for j in pool.waiting + _running(pool)):
                reporting.draw(plan)
                progress.say(f"seed {plan.seeds[seed]} is complete: {plan.root}/report.md")

        pool.run(progress.tick, finished)


def _running(pool: Pool) -> list:
    return [running.job for running in pool.running]


def _environment(gpu: bool) -> dict[str, str]:
    """Variables of every subprocess: on a CPU each keeps to one core."""
    if gpu:
        return {}
    names = ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    return {"JAX_PLATFORMS": "cpu", **dict.fromkeys(names, "1")}


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Keeps a second runner out of the same folder.

    Raises:
        UsageError: another one is at work there.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"{root}: another run of this experiment is at work there") from error
        yield


if __name__ == "__main__":
    sys.exit(main())
