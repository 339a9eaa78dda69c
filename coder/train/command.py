# SPDX-License-Identifier: Apache-2.0
"""`python -m coder train`: trains a run, resumes a cut one, answers at once for a finished one.

    python -m coder train --run DIR             a run whose config.json exists
    python -m coder train --run DIR --examples DIR --tokenizer FILE [...]
                                                a new one; the same line resumes it

jax is imported only when there is something to train, and after NPROC is set.
"""

import argparse
import dataclasses
import difflib
import logging
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from coder import interrupts
from coder.config import (
    DataConfig,
    EvalConfig,
    ModelConfig,
    RunConfig,
    TrainConfig,
    from_json,
)
from coder.data.manifest import ExamplesError, read_manifest
from coder.data.tfrecord import CorruptRecordError
from coder.model.presets import PRESETS
from coder.train import run_folder
from coder.train.memory import keep_freed_memory
from coder.train.run_folder import Run, RunError


@dataclass(frozen=True)
class Options:
    """Trains a model on finished examples, or goes on where a killed run stopped."""

    run: Path
    """Folder of the run; one with a config.json needs no other option."""
    examples: Path | None = None
    """What beam_pipelines.examples wrote; tells the settings of the data, too."""
    tokenizer: Path | None = None
    """Its tokenizer.json."""
    preset: str | None = None
    """Name of a shape (`python -m coder presets`), which the options of the model change."""
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    seed: int = 0
    """Initialisation and data order."""


def main(argv: list[str]) -> None:
    """Runs the command; exits with status 1 and a sentence where a run cannot be trained."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("coder").setLevel(logging.INFO)
    try:
        options, record = parse(argv)
        done = run_folder.read_done(options.run)
        if done is None:
            with run_folder.locked(options.run):
                done = _train(_prepare(options, record))
    except (RunError, ExamplesError, CorruptRecordError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command goes on from the newest checkpoint")
    print(
        f"{options.run}: done, {done['steps']} steps, parameters {done['parameters_digest']}, "
        f"{done['seconds']:.0f} s"
    )


def parse(argv: list[str]) -> tuple[Options, dict[str, Any] | None]:
    """The options, those of a run that was begun as defaults, and its config.json if there is one.

    Raises:
        RunError: the options contradict what the run was begun with, or no preset has that name.
    """
    early = argparse.ArgumentParser("python -m coder train", add_help=False, allow_abbrev=False)
    early.add_argument("--run", type=Path)
    early.add_argument("--preset", type=_preset)
    known = early.parse_known_args(argv)[0]
    directory, preset = known.run, known.preset
    record = run_folder.read_record(directory) if directory else None
    if record is None:
        default = Options(run=tyro.MISSING, model=preset or ModelConfig())
        return tyro.cli(Options, args=argv, prog="python -m coder train", default=default), None
    begun = run_folder.recorded_config(directory, record)
    default = Options(
        run=directory,
        examples=Path(record["examples"]),
        tokenizer=Path(record["tokenizer"]),
        model=preset or begun.model,
        train=begun.train,
        eval=begun.eval,
        seed=begun.seed,
    )
    options = tyro.cli(Options, args=argv, prog="python -m coder train", default=default)
    run_folder.check_unchanged(directory, begun, _config(options, begun.data))
    return options, record


def _preset(name: str) -> ModelConfig:
    """The shape of that name.

    Raises:
        RunError: there is none.
    """
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise RunError(f"no preset {name!r} among {', '.join(PRESETS)}{hint}")
    return PRESETS[name]


def _train(run: Run) -> dict[str, Any]:
    os.environ["NPROC"] = str(run.nproc)
    keep_freed_memory()
    from coder.checkpoint import CheckpointError
    from coder.train.trainer import train

    interrupts.raise_again()
    try:
        return train(run)
    except CheckpointError as error:
        raise RunError(str(error)) from None


def _prepare(options: Options, record: dict[str, Any] | None) -> Run:
    """Checks that everything fits together and writes config.json.

    Raises:
        RunError: something is missing, does not fit, or has changed since the run was begun.
        ExamplesError: the examples are not finished.
    """
    _check_settings(options.train)
    if options.examples is None or options.tokenizer is None:
        raise RunError(
            f"{options.run} has not been begun: a new run needs --examples and --tokenizer"
        )
    manifest = read_manifest(options.examples)
    begun = record or {}
    expected = begun.get("examples_digest", manifest["digest"])
    if expected != manifest["digest"]:
        raise RunError(
            f"{options.examples} has changed since {options.run} was begun: "
            f"digest {expected} -> {manifest['digest']}"
        )
    config = run_folder.recorded_config(options.run, begun) if begun else None
    data = config.data if config else _data_settings(manifest)
    run = Run(
        directory=options.run,
        config=_config(options, data),
        examples=options.examples.absolute(),
        examples_digest=manifest["digest"],
        tokenizer=options.tokenizer.absolute(),
        nproc=run_folder.choose_nproc(options.run, begun.get("nproc")),
    )
    _check_vocabulary(run)
    run_folder.begin(run, begun)
    return run


def _check_settings(train: TrainConfig) -> None:
    """Raises RunError, which names the setting, where no training is possible."""
    counts = ("steps", "batch_size", "micro_batches", "checkpoint_every", "keep_checkpoints")
    for name in (*counts, "log_every"):
        if getattr(train, name) < 1:
            raise RunError(f"train.{name}={getattr(train, name)}: must be at least 1")
    if train.batch_size % train.micro_batches:
        raise RunError(
            f"train.micro_batches={train.micro_batches} does not divide "
            f"train.batch_size={train.batch_size}"
        )


def _config(options: Options, data: DataConfig) -> RunConfig:
    return RunConfig(
        model=options.model, data=data, train=options.train, eval=options.eval, seed=options.seed
    )


def _data_settings(manifest: dict[str, Any]) -> DataConfig:
    """The settings that the examples were written with."""
    names = {setting.name for setting in dataclasses.fields(DataConfig)}
    settings = {name: value for name, value in manifest["config"].items() if name in names}
    return from_json(DataConfig, settings)


def _check_vocabulary(run: Run) -> None:
    """Raises RunError where the tokenizer has tokens that the model has not, or cannot be read."""
    from coder.data.tokenizer import Tokenizer, TokenizerError

    path = run_folder.readable_tokenizer(run)
    try:
        size = Tokenizer.load(path).vocab_size
    except (OSError, TokenizerError) as error:
        raise RunError(f"{path} cannot be read: {error}") from None
    if size > run.config.model.vocab_size:
        raise RunError(
            f"model.vocab_size={run.config.model.vocab_size} is less than the {size} tokens of "
            f"{path}: set --model.vocab-size {size} or more"
        )
