# SPDX-License-Identifier: Apache-2.0
"""The training loop: restore or initialise, step, measure, save.

The parameters after step n are a function of the settings, the examples and NPROC alone: the order
of the batches, the schedule and the sums behind the metrics follow from the step, and a checkpoint
holds the rest. A run that is killed at any moment and started again therefore ends with the same
bits.
"""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Any

import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from coder import checkpoint
from coder.config import RunConfig
from coder.data.loader import Batch, Loader
from coder.model.transformer import check
from coder.sharding import RULES, make_mesh
from coder.train.meter import Meter
from coder.train.metrics import Outputs
from coder.train.run_folder import Run, RunError, finish
from coder.train.step import Trainable, TrainState, empty_window, make_trainable

logger = logging.getLogger(__name__)

CompiledStep = Callable[[TrainState, Any], TrainState]


def train(run: Run) -> dict[str, Any]:
    """Trains `run` from its newest checkpoint to its last step; returns what done.json says.

    Raises:
        ExamplesError: there are too few examples, or they are not of this model's vocabulary.
        CorruptRecordError: an example fails its check sum.
        CheckpointError: there are checkpoints, and none can be read.
        RunError: too many steps were not finite, or the settings do not fit this machine.
    """
    config, checkpoints = run.config, run.directory / checkpoint.FOLDER
    try:
        check(config.model)
    except ValueError as error:
        raise RunError(str(error)) from None
    birth = time.monotonic()
    with _mesh(config):
        loader = Loader(
            run.examples,
            config.train.batch_size,
            config.seed,
            jax.process_index(),
            jax.process_count(),
        )
        trainable = make_trainable(config)
        state, extras = _restore(run, trainable)
        loader.restore(extras["loader"])
        begin = int(state.step)
        with closing(Outputs(run.directory, begin, config.train.steps)) as outputs:
            meter = Meter(run, extras["tokens"], birth - outputs.seconds)
            step = _compile(trainable, state, loader)
            meter.start()
            for done in range(begin + 1, config.train.steps + 1):
                state = step(state, _placed(meter.fetch(loader)))
                if _is_due(done, config.train.log_every, config.train.steps):
                    row = meter.row(state)
                    outputs.write(row)
                    state = state._replace(window=empty_window(config.model))
                    _check_finite(row.skipped, config)
                if _is_due(done, config.train.checkpoint_every, config.train.steps):
                    extras = {"loader": loader.state(), "tokens": meter.tokens}
                    keep = config.train.keep_checkpoints
                    checkpoint.save(checkpoints, done, _trees(state), extras, keep)
        summary = {
            "steps": config.train.steps,
            "seconds": meter.elapsed(),
            "parameters_digest": checkpoint.parameters_digest(state.parameters),
        }
    finish(run, summary)
    return summary


def _is_due(done: int, every: int, steps: int) -> bool:
    return done % every == 0 or done == steps


def _restore(run: Run, trainable: Trainable) -> tuple[TrainState, dict[str, Any]]:
    """The state to go on from, and the JSON values that belong to it."""
    checkpoints = run.directory / checkpoint.FOLDER
    checkpoint.clean(checkpoints)
    restored = checkpoint.restore_latest(checkpoints, _trees(jax.eval_shape(trainable.init)))
    if restored is None:
        return jax.jit(trainable.init)(), {"loader": {"next_batch": 0}, "tokens": 0}
    for damaged in checkpoint.steps(checkpoints):
        if damaged > restored.step:
            checkpoint.delete(checkpoints, damaged)
    logger.info("%s: resumed after step %d", run.directory, restored.step)
    trees = restored.trees
    return TrainState(trees["parameters"], **trees["training"]), restored.extras


def _trees(state: TrainState) -> dict[str, Any]:
    """What a checkpoint holds: the parameters by themselves, as eval wants them, and the rest."""
    rest = state._asdict()
    return {"parameters": rest.pop("parameters"), "training": rest}


def _compile(trainable: Trainable, state: TrainState, loader: Loader) -> CompiledStep:
    """The step for batches like the next one; the old state's memory is given to the new one."""
    position = loader.state()
    batch = _placed(next(loader))
    loader.restore(position)
    return jax.jit(trainable.step, donate_argnums=0).lower(state, batch).compile()


def _mesh(config: RunConfig) -> AbstractContextManager:
    """All devices, each with a part of every batch; nothing for a single one."""
    count = jax.device_count()
    if count == 1:
        return nullcontext()
    if config.train.optimizer == "muon":
        raise RunError(
            f"train.optimizer=muon runs on one device, here are {count}: take adamw, or show jax "
            "only one (CUDA_VISIBLE_DEVICES=0)"
        )
    if config.train.batch_size % (count * config.train.micro_batches):
        raise RunError(
            f"train.batch_size={config.train.batch_size} does not divide by {count} devices and "
            f"train.micro_batches={config.train.micro_batches}"
        )
    return jax.set_mesh(make_mesh())


def _placed(batch: Batch) -> Any:
    """The batch on the devices of the mesh; without one, a step takes numpy arrays as they are."""
    mesh = jax.sharding.get_mesh()
    if mesh.empty:
        return batch
    sharding = NamedSharding(mesh, P(RULES["batch"], None))

    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), batch)


def _check_finite(skipped: int, config: RunConfig) -> None:
    if skipped > config.train.max_nonfinite:
        raise RunError(
            f"{skipped} steps were skipped because the loss or a gradient was not finite, and "
            f"train.max_nonfinite={config.train.max_nonfinite}: lower train.learning_rate or raise "
            "train.warmup_steps"
        )
