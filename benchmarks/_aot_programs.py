# SPDX-License-Identifier: Apache-2.0
"""Whole training steps, compiled for GPUs that are not there.

What the kernels' own entries do not show: that the model takes them on a GPU, that they are split
among GPUs together with the collectives around them, and what memory a step needs.
"""

import dataclasses
import re
from collections import Counter
from typing import Any

import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from benchmarks import _aot_compile
from benchmarks import _aot_reports as reports
from benchmarks._aot_targets import TARGETS
from coder.config import ModelConfig, RunConfig
from coder.model.presets import PRESETS
from coder.sharding import RULES, make_mesh
from coder.train.step import make_trainable

COLLECTIVES = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"

# Without a GPU nothing can be timed: XLA takes the first of its ways to multiply matrices.
OPTIONS = {"xla_gpu_autotune_level": 0}

_ATTENTION = ("attention_forward", "attention_backward_q", "attention_backward_kv")
_EXPERTS = ("grouped_matmul", "grouped_matmul_transposed")


@dataclasses.dataclass(frozen=True)
class Program:
    """A training step of a model on some GPUs."""

    architecture: str
    model: ModelConfig
    batch_size: int
    topology: str = "1x1x1"
    """Partitions x hosts x GPUs of a host."""
    fsdp: int = 1
    expert: int = 1
    tensor: int = 1
    length: int = 4096

    @property
    def kernels(self) -> tuple[str, ...]:
        """Those that have to be in it."""
        return _ATTENTION + (_EXPERTS if self.model.moe.num_experts else ())


def _preset(name: str, **changes: Any) -> ModelConfig:
    return dataclasses.replace(PRESETS[name], compute_dtype="bfloat16", **changes)


# V2-Lite in full needs many GPUs; three of its layers have one of each kind.
PROGRAMS = {
    "sm90/train_step/v1_1.3b/1_gpu": Program("sm90", _preset("deepseek_coder_1_3b"), 8),
    "sm90/train_step/v2_lite_3_layers/1_gpu": Program(
        "sm90", _preset("deepseek_coder_v2_lite", num_layers=3), 8
    ),
    "sm80/train_step/v1_1.3b/2x8_gpus": Program(
        "sm80", _preset("deepseek_coder_1_3b"), 32, "1x2x8", fsdp=2, tensor=2
    ),
    "sm80/train_step/v2_lite/2x8_gpus": Program(
        "sm80",
        _preset("deepseek_coder_v2_lite", remat=True),
        8,
        "1x2x8",
        fsdp=2,
        expert=4,
        tensor=2,
    ),
}


def compiled(program: Program) -> dict[str, Any]:
    """What is in the program, and what it needs of each GPU.

    Raises:
        Exception: whatever jax or XLA have against it.
    """
    target = TARGETS[program.architecture]
    devices = _aot_compile.devices(target, program.topology)
    axes = {axis: getattr(program, axis) for axis in ("fsdp", "expert", "tensor")}
    mesh = make_mesh(**axes, devices=devices)
    with jax.set_mesh(mesh), jax.default_device(devices[0]):
        trainable = make_trainable(RunConfig(model=program.model))
        state = jax.tree.map(_placed, jax.eval_shape(trainable.init))
        step = jax.jit(trainable.step, donate_argnums=0).lower(state, _batch(program))
        found = _aot_compile.compiled(step, target, OPTIONS)
    hlo, memory = found.executable.as_text(), found.executable.memory_analysis()
    return {
        "seconds": found.seconds,
        "gpus": len(devices),
        "mesh": dict(mesh.shape),
        "kernels": [dataclasses.asdict(kernel) for kernel in found.kernels],
        "calls": reports.pallas_calls(hlo),
        "collectives": Counter(re.findall(rf" ({COLLECTIVES})(?:-start)?\(", hlo)),
        "bytes": {
            "arguments": memory.argument_size_in_bytes,
            "temporary": memory.temp_size_in_bytes,
            "results": memory.output_size_in_bytes - memory.alias_size_in_bytes,
        },
    }


def _placed(leaf: Any) -> Any:
    """With the mesh in place of its abstract part; numpy's arrays are everywhere."""
    spec = leaf.sharding.spec if leaf.sharding else P()
    return _array(leaf.shape, leaf.dtype, spec)


def _array(shape: tuple[int, ...], dtype: Any, spec: P) -> Any:
    sharding = NamedSharding(jax.sharding.get_mesh(), spec)
    return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)


def _batch(program: Program) -> dict[str, Any]:
    shape, spec = (program.batch_size, program.length), P(RULES["batch"], None)
    names = ("tokens", "targets", "positions", "segment_ids")
    return {
        **{name: _array(shape, "int32", spec) for name in names},
        "loss_mask": _array(shape, "float32", spec),
    }
