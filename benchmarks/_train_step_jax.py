# SPDX-License-Identifier: Apache-2.0
"""The worker of `benchmarks.train_step` that makes our training steps."""

import json
import sys

import jax
import numpy as np

from benchmarks.train_step import answer
from coder.config import ModelConfig, RunConfig, from_json
from coder.train.memory import keep_freed_memory
from coder.train.step import make_trainable


def main(settings: dict) -> None:
    """Compiles the step of the settings' model and batch, then makes steps when told to."""
    config = RunConfig(model=from_json(ModelConfig, settings["model"]))
    shape = (settings["batch_size"], settings["sequence_length"])
    tokens = np.random.default_rng(0).integers(0, config.model.vocab_size, shape, np.int32)
    batch = {
        "tokens": tokens,
        "targets": np.roll(tokens, -1, axis=1),
        "positions": np.broadcast_to(np.arange(shape[1], dtype=np.int32), shape),
        "segment_ids": np.ones(shape, np.int32),
        "loss_mask": np.ones(shape, np.float32),
    }
    trainable = make_trainable(config)
    state = jax.jit(trainable.init)()
    compiled = jax.jit(trainable.step, donate_argnums=0).lower(state, batch).compile()
    nats_before = 0.0

    def step() -> float:
        nonlocal state, nats_before
        state = jax.block_until_ready(compiled(state, batch))
        nats = float(state.window.nats)
        loss, nats_before = (nats - nats_before) / tokens.size, nats
        return loss

    answer(f"jax {jax.__version__}", settings["threads"], settings["steps"], step)


if __name__ == "__main__":
    keep_freed_memory()
    main(json.loads(sys.argv[1]))
