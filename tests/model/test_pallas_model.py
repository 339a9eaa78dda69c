# SPDX-License-Identifier: Apache-2.0
"""Whole models as a GPU computes them, with interpreted Pallas kernels, against XLA."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from coder.config import MlaConfig, ModelConfig, MoeConfig
from coder.model.transformer import Decoder
from coder.sharding import make_mesh, spec
from kernels import attention, grouped_matmul, target, tiles
from tests.model.drawn import drawn_decoder

LLAMA = ModelConfig(
    vocab_size=40,
    d_model=24,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=64,
    d_ff=32,
    init_std=0.1,
    remat=True,
)
V2 = dataclasses.replace(
    LLAMA,
    remat=False,
    mla=MlaConfig(kv_lora_rank=16, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128),
    moe=MoeConfig(
        num_experts=6,
        d_expert=40,
        experts_per_token=2,
        num_shared_experts=1,
        first_dense_layers=1,
        expert_balance=0.01,
    ),
)
MODELS = {"llama": LLAMA, "v2": V2}

pytestmark = pytest.mark.usefixtures("compiled_at_once")


def packed_batch(batch_size: int = 2, length: int = 160) -> tuple[Array, ...]:
    """Tokens, positions and segment ids of rows with documents of many lengths, and padding."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, LLAMA.vocab_size, (batch_size, length))
    lengths = [1, 60, 1, 70, 19, length - 151]
    segments = np.repeat([1, 2, 3, 4, 5, 0], lengths)[None].repeat(batch_size, 0)
    positions = np.concatenate([np.arange(n) for n in lengths])[None].repeat(batch_size, 0)
    return tuple(jnp.asarray(x, jnp.int32) for x in (tokens, positions, segments))


def loss_and_gradients(model: Decoder, *batch: Array) -> tuple[Array, Decoder]:
    """Of the logits and of the experts' balance."""

    def loss(model: Decoder) -> Array:
        hidden, balance = model.hidden_and_balance(*batch)
        balance_loss = 0.0 if balance is None else jnp.sum(balance.loss_B)
        return jnp.mean(jnp.square(model.logits(hidden) - 1.0)) + balance_loss

    return jax.value_and_grad(loss)(model)


def choose_as_on(architecture: str, patch: pytest.MonkeyPatch) -> None:
    """Makes the kernels choose as they do on a GPU of this architecture, and nothing but Pallas."""
    for module in (target, tiles):
        patch.setattr(module, "architecture", lambda: architecture)
    for implementations in (attention._IMPLEMENTATIONS, grouped_matmul._IMPLEMENTATIONS):
        patch.setitem(implementations, "xla", None)


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return partial(choose_as_on, patch=monkeypatch)


def computed(config: ModelConfig, *batch: Array) -> tuple[Array, Decoder]:
    return jax.jit(lambda *x: loss_and_gradients(*x))(drawn_decoder(config), *batch)


def computed_on(mesh: Mesh, config: ModelConfig) -> tuple[Array, Decoder]:
    """For the packed batch, whose rows lie where the mesh has them."""
    with jax.set_mesh(mesh):
        place = NamedSharding(mesh, spec("batch", None) or PartitionSpec())
        return computed(config, *(jax.device_put(x, place) for x in packed_batch()))


def differences(found: Any, expected: Any) -> list[float]:
    """Of every leaf from the expected one, relative to its norm."""
    return [
        float(np.linalg.norm(np.asarray(a) - np.asarray(b)) / np.linalg.norm(np.asarray(b)))
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    ]


def printed(program: str, *arguments: str, **environment: str) -> dict[str, float]:
    """What a program, which needs a jax that starts otherwise, found."""
    process = subprocess.run(
        [sys.executable, "-m", program, *arguments],
        env=os.environ | {"JAX_PLATFORMS": "cpu"} | environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@cache
def exact(name: str) -> tuple[Array, Decoder]:
    """What XLA computes in float32."""
    return computed(MODELS[name], *packed_batch())


def test_triton_in_float32_is_xla(on_a_gpu: Callable[[str], None]):
    expected = exact("llama")
    on_a_gpu("sm80")
    assert max(differences(computed(LLAMA, *packed_batch()), expected)) < 2e-6


def test_triton_in_float32_is_xla_on_a_mesh(on_a_gpu: Callable[[str], None]):
    expected = exact("v2")
    on_a_gpu("sm80")
    found = computed_on(make_mesh(devices=jax.devices()[:1]), V2)
    assert max(differences(found, expected)) < 2e-6


@pytest.mark.slow
def test_triton_in_float32_is_xla_on_four_devices():
    flags = "--xla_force_host_platform_device_count=4"
    report = printed("tests.model.triton_on_fake_devices", XLA_FLAGS=flags)
    assert report["largest"] < 2e-6


@pytest.mark.parametrize("name", ["llama", pytest.param("v2", marks=pytest.mark.slow)])
def test_mosaic_is_as_far_off_as_xla(name: str):
    report = printed("tests.model.mosaic_model", name, NPROC="4")
    assert report["largest"] < 1.5
    assert report["loss"] < 0.005


def test_triton_in_bfloat16_is_as_far_off_as_xla(on_a_gpu: Callable[[str], None]):
    config = dataclasses.replace(V2, compute_dtype="bfloat16")
    expected, rounded = exact("v2"), computed(config, *packed_batch())
    on_a_gpu("sm80")
    found = computed(config, *packed_batch())
    ratios = np.divide(differences(found[1], expected[1]), differences(rounded[1], expected[1]))
    assert max(ratios) < 1.5
    assert float(found[0]) == pytest.approx(float(expected[0]), rel=0.005)
