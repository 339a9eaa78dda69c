# SPDX-License-Identifier: Apache-2.0
"""Is there a GPU that this project can train on? Looks for it, checks it against the CPU, times it.

    make gpu-check
    make gpu-check VENV=        # on a host with a JAX of its own

The loss of the `gpu` preset is computed in bfloat16 on the GPU and in float32 on the CPU, from the
same parameters and tokens. Exit status 1: there is no GPU, or the two losses differ.
"""

import dataclasses
import sys
import time
from collections.abc import Callable

import jax
import numpy as np

from coder.config import ModelConfig, RunConfig
from coder.model.presets import PRESETS
from coder.model.transformer import flops_per_token
from coder.sharding import Device
from coder.train.loss import Batch
from coder.train.step import TrainState, make_trainable

SEQUENCE_LENGTH = 256
TOLERANCE = 0.01
"""Nats per token by which the losses may differ: bfloat16 has eight bits of mantissa."""


def main() -> int:
    """Prints what was found; returns the exit status."""
    devices = jax.devices()
    if devices[0].platform != "gpu":
        print(
            f"error: JAX {jax.__version__} sees no GPU, only {devices[0].device_kind}: install "
            "requirements-gpu.txt (NVIDIA, with a driver for CUDA 13), or use the Python of a JAX "
            "that sees the GPU: VENV= PYTHON=...",
            file=sys.stderr,
        )
        return 1
    print(f"JAX {jax.__version__} sees {len(devices)} x {devices[0].device_kind}")
    model = PRESETS["gpu"]
    expected = first_loss(model, "float32", jax.devices("cpu")[0])
    loss = first_loss(model, "bfloat16", devices[0])
    print(f"loss: {loss:.4f} nats per token in bfloat16, {expected:.4f} on the CPU in float32")
    rate = tokens_per_second(model, devices[0])
    teraflops = rate * flops_per_token(model, SEQUENCE_LENGTH) / 1e12
    print(f"training step: {rate:,.0f} tokens/s, {teraflops:.1f} TFLOP/s")
    if not abs(loss - expected) < TOLERANCE:
        print(f"error: the losses differ by more than {TOLERANCE}", file=sys.stderr)
        return 1
    return 0


def first_loss(model: ModelConfig, dtype: str, device: Device) -> float:
    """Nats per token of the initial parameters, as the first training step finds them."""
    step, state, batch = prepare(dataclasses.replace(model, compute_dtype=dtype), device, 4)
    window = step(state, batch).window
    return float(np.asarray(window.nats) / np.asarray(window.tokens))


def tokens_per_second(
    model: ModelConfig, device: Device, batch_size: int = 128, steps: int = 20
) -> float:
    """The rate of `steps` training steps, compilation left out."""
    step, state, batch = prepare(model, device, batch_size)
    state = jax.block_until_ready(step(state, batch))
    begin = time.perf_counter()
    for _ in range(steps):
        state = step(state, batch)
    jax.block_until_ready(state)
    return steps * batch_size * SEQUENCE_LENGTH / (time.perf_counter() - begin)


def prepare(
    model: ModelConfig, device: Device, batch_size: int
) -> tuple[Callable[[TrainState, Batch], TrainState], TrainState, Batch]:
    """A compiled training step, the initial state and a batch of random tokens, on `device`."""
    shape = (batch_size, SEQUENCE_LENGTH)
    tokens = np.random.default_rng(0).integers(0, model.vocab_size, shape, np.int32)
    batch = {
        "tokens": tokens,
        "targets": np.roll(tokens, -1, axis=1),
        "positions": np.broadcast_to(np.arange(SEQUENCE_LENGTH, dtype=np.int32), shape),
        "segment_ids": np.ones(shape, np.int32),
        "loss_mask": np.ones(shape, np.float32),
    }
    trainable = make_trainable(RunConfig(model=model))
    with jax.default_device(device):
        state = jax.jit(trainable.init)()
        return jax.jit(trainable.step), state, jax.device_put(batch, device)


if __name__ == "__main__":
    sys.exit(main())
