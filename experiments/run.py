# SPDX-License-Identifier: Apache-2.0
"""Runs an experiment and prints its verdicts.

    python -m experiments.run fim_ablation
    python -m experiments.run fim_ablation --scale workstation
    python -m experiments.run fim_ablation --only psm_50 --seeds 0 --train.steps 20 --output
    /tmp/runs

Everything is kept under `<output>/<experiment>/<scale>/`. What is finished is not done again, what
was cut is resumed, and a run whose settings would change is refused. Pipelines, training and
evaluation are subprocesses, so a finished experiment answers at once.
"""

import fcntl
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from coder.config import DataConfig, EvalConfig, ModelConfig, TrainConfig, to_json
from coder.cores import allowed_cores
from experiments import experiment as registry
from experiments._runner import checks, reporting
from experiments._runner.jobs import Job, Plan, jobs, unfinished
from experiments._runner.processes import JobFailed, Pool, Stopped, raise_stopped
from experiments._runner.progress import Clock, Progress
from experiments.experiment import Experiment, UsageError


@dataclass(frozen=True)
class Settings:
    """Settings of the runs; those given replace the experiment's own, for every variant."""

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
    """Finished examples: `<output>/<experiment>/<scale>/examples`, perhaps of another machine."""
    prepare_only: bool = False
    """Stop when the examples are made, for a machine that trains with --examples."""
    report_only: bool = False
    """Run nothing; draw the report again from what the runs have left."""
    workers: int | None = None
    """Processes at once, one per core if not given; only one at a time uses a GPU."""
    output: Path = Path("runs")
    """Where everything is kept."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=Settings)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what the command line asks for; returns the exit code."""
    signal.signal(signal.SIGTERM, raise_stopped)
    try:
        options, plan = parse(sys.argv[1:] if arguments is None else list(arguments))
        execute(options, plan, Console())
        return 0
    except (UsageError, checks.RefusedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (JobFailed, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (Stopped, KeyboardInterrupt) as stop:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 128 + (stop.signum if isinstance(stop, Stopped) else signal.SIGINT)


def parse(arguments: list[str]) -> tuple[Options, Plan]:
    """The options, and the plan they describe.

    Raises:
        UsageError: the experiment, scale, variant or setting does not exist, or cannot be had.
    """
    options = tyro.cli(
        Options, args=arguments, prog="python -m experiments.run", description=__doc__
    )
    experiment = registry.load(options.experiment)
    scale = experiment.scales[registry.choose("scale", options.scale, experiment.scales)]
    if scale.unavailable:
        raise UsageError(f"--scale {options.scale} is not run here: {scale.unavailable}")
    if options.workers is not None and options.workers < 1:
        raise UsageError(f"--workers {options.workers}: one process at least")
    wanted = [registry.choose("variant", name, experiment.variants) for name in options.only]
    plan = Plan(
        experiment=experiment,
        scale_name=options.scale,
        variants=tuple(v for v in experiment.variants if not wanted or v in wanted),
        seeds=tuple(dict.fromkeys(options.seeds or scale.seeds)),
        overrides=_overrides(experiment, options.settings, arguments),
        output=options.output,
        workers=options.workers or allowed_cores(),
        given_examples=options.examples,
    )
    return options, plan


def _overrides(experiment: Experiment, settings: Settings, arguments: list[str]) -> dict[str, Any]:
    """The dotted settings that the command line gives, with their values.

    Raises:
        UsageError: one of them is what the variants differ in.
    """
    flags = [a.split("=")[0].removeprefix("--") for a in arguments if a.startswith("--")]
    # A switch is turned off by --model.no-remat.
    given = {flag.replace("-", "_").replace(".no_", ".") for flag in flags}
    chosen = {n: v for n, v in _flat(to_json(settings)).items() if n in given}
    for name in chosen:
        if name in experiment.varied():
            raise UsageError(
                f"--{name}: the variants of {experiment.name} differ in it; choose some with --only"
            )
    return chosen


def _flat(values: dict[str, Any], where: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    flat = {}
    for name, value in values.items():
        inner = isinstance(value, dict)
        flat |= _flat(value, f"{where}{name}.") if inner else {where + name: value}
    return flat


def execute(options: Options, plan: Plan, console: Console) -> None:
    """Runs what is not finished, then shows the report.

    Raises:
        RefusedError: what is on disk does not fit what is asked for.
        JobFailed: a subprocess failed.
    """
    if options.report_only:
        reporting.draw(plan)
    else:
        checks.refuse_misfits(plan)
        wanted = unfinished(jobs(plan), last="examples" if options.prepare_only else "eval")
        if wanted:
            with ExitStack() as locks:
                held = [locks.enter_context(_locked(plan.root / ".lock"))]
                if any(job.kind == "corpus" for job in wanted):
                    # Experiments and scales share a corpus.
                    held.append(locks.enter_context(_locked(plan.corpus.with_suffix(".lock"))))
                _work(plan, wanted, held, console)
    if options.prepare_only:
        console.print(f"examples: {plan.examples}", highlight=False, soft_wrap=True)
    else:
        reporting.present(plan, console)


def _work(plan: Plan, wanted: list[Job], locks: list[int], console: Console) -> None:
    """Runs the unfinished jobs; the report is drawn again whenever a seed is complete."""
    pool = Pool(wanted, plan.workers, _environment(plan), locks)
    clock = Clock(plan.scale.expected_seconds, plan.workers)
    progress = Progress(console, clock, len(wanted))

    def finished(job: Job, seconds: float) -> None:
        progress.finished(job, seconds)
        if job.kind == "eval" and not any(job.seed == other.seed for other in pool.unfinished()):
            reporting.draw(plan)
            progress.say(f"seed {job.seed} is complete: {plan.root / 'report.md'}")

    with progress:
        cost = plan.scale.cost
        progress.say(
            f"{plan.experiment.name}, {plan.scale_name} scale: {cost}; {plan.workers} at once"
        )
        pool.run(progress.tick, finished)


def _environment(plan: Plan) -> dict[str, str]:
    """Variables of every subprocess: on a CPU each keeps to one core.

    All runs of a scale compile the same programs; they share what the first has compiled.
    """
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str((plan.root / "compiled").absolute()),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
    }
    if plan.scale.platform == "gpu":
        return cache
    threads = ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    return cache | {"JAX_PLATFORMS": "cpu", **dict.fromkeys(threads, "1")}


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Keeps a second runner out of what `path` stands for; gives the lock's file descriptor.

    Children inherit the descriptor, so that those of a killed runner keep it locked too.

    Raises:
        RefusedError: another one is at work there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise checks.RefusedError(
                f"{path}: another run, or what is left of a killed one, is at work there; wait for "
                "it or end it"
            ) from None
        yield file.fileno()


if __name__ == "__main__":
    sys.exit(main())
