# SPDX-License-Identifier: Apache-2.0
"""Is there a GPU that this project can train on? Looks for it, checks it, and says how fast it is.

    make gpu-check
    make gpu-check VENV=        # on a host with a JAX of its own

The compiled kernels are compared with the float32 reference. The loss of the `gpu` preset is
computed in bfloat16 on the GPU and in float32 on the CPU, from the same parameters and tokens. Then
the kernels are timed: see `kernels.bench`, whose results are written as they come. Exit status 1:
there is no GPU, or something was wrong.
"""

import dataclasses
import importlib
import re
import sys
import time
import traceback
from collections.abc import Callable

import jax
import numpy as np

from benchmarks._aot_targets import TARGETS
from coder.config import ModelConfig, RunConfig
from coder.model.presets import PRESETS
from coder.model.transformer import flops_per_token
from coder.sharding import Device
from coder.train.loss import Batch
from coder.train.step import TrainState, make_trainable
from kernels import bench
from kernels._bench.report import Results

SEQUENCE_LENGTH = 256
TOLERANCE = 0.01
"""Nats per token by which the losses may differ: bfloat16 has eight bits of mantissa."""

DESCRIPTION = (
    "core_count",
    "shared_memory_per_core",
    "shared_memory_per_block_optin",
    "registers_per_core_limit",
    "registers_per_block_limit",
    "l2_cache_size",
)
"""What decides, of what XLA knows of a GPU, how a kernel is compiled."""


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
    results = bench.begin()
    results.say(described(results.machine.architecture, devices))
    steps: dict[str, Callable[[Results], bool]] = {
        "kernels against the reference": bench.check,
        "a whole model": check_model,
        "speed": bench.run,
    }
    right = True
    for name, step in steps.items():
        begin = time.perf_counter()
        results.say(f"{name}:")
        try:
            right &= step(results)
        except Exception:  # The next step is worth its while all the same.
            results.say(traceback.format_exc())
            right = False
        results.say(f"{name} took {time.perf_counter() - begin:.0f} s")
    return 0 if right else 1


def check_model(results: Results) -> bool:
    """Whether the losses agree; says how fast training steps are."""
    model, device = PRESETS["gpu"], jax.devices()[0]
    expected = first_loss(model, "float32", jax.devices("cpu")[0])
    loss = first_loss(model, "bfloat16", device)
    results.say(
        f"loss: {loss:.4f} nats per token in bfloat16, {expected:.4f} on the CPU in float32"
    )
    rate = tokens_per_second(model, device)
    teraflops = rate * flops_per_token(model, SEQUENCE_LENGTH) / 1e12
    results.say(f"training step: {rate:,.0f} tokens/s, {teraflops:.1f} TFLOP/s")
    found = {"loss": loss, "loss_on_cpu": expected, "tokens_per_second": rate, "tflops": teraflops}
    results.further["model"] = found
    results.write()
    if not abs(loss - expected) < TOLERANCE:
        results.say(f"error: the losses differ by more than {TOLERANCE}")
        return False
    return True


def described(architecture: str, devices: list[Device]) -> str:
    """Whether the GPU is as `make aot` has it described."""
    if architecture not in TARGETS:
        return f"make aot compiles for {', '.join(TARGETS)}, not for {architecture}"
    try:
        client = importlib.import_module("jaxlib._jax")
        found = str(client.get_topology_for_devices(devices).target_config)
    except Exception as error:  # What is private to jax may change: nothing else depends on it.
        return f"jax does not tell how it describes the GPU: {error!r}"
    differences = differing(TARGETS[architecture].config(), found)
    if not differences:
        return "the GPU is what make aot compiles for"
    return f"not what make aot compiles for: {', '.join(differences)}"


def differing(ours: str, theirs: str) -> list[str]:
    """Numbers of two target configurations, as text, that are not the same."""
    one, other = (dict(re.findall(r"(\w+): (\d+)", text)) for text in (ours, theirs))
    return [
        f"{name} {one[name]}, here {other.get(name, 'none')}"
        for name in DESCRIPTION
        if one[name] != other.get(name)
    ]


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
    # Kernels are chosen by the default device: it has to be this one while the step is traced.
    with jax.default_device(device):
        state = jax.jit(trainable.init)()
        batch = jax.device_put(batch, device)
        return jax.jit(trainable.step).lower(state, batch).compile(), state, batch


if __name__ == "__main__":
    sys.exit(main())
