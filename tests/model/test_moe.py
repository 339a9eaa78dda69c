# SPDX-License-Identifier: Apache-2.0
"""Experts against every expert on every token, and what has to hold however tokens are routed."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import Array

from coder.config import ModelConfig, MoeConfig
from coder.model.moe import Experts, Matrices, routed
from coder.model.transformer import check

pytestmark = pytest.mark.usefixtures("compiled_at_once")

MOE = MoeConfig(
    num_experts=16,
    num_shared_experts=2,
    experts_per_token=3,
    d_expert=12,
    routing="group_limited_greedy",
    num_groups=4,
    groups_per_token=2,
    routed_scaling_factor=2.5,
    capacity_factor=1.0,
)
CONFIG = ModelConfig(
    vocab_size=50,
    d_model=16,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
    d_ff=24,
    init_std=0.3,
    moe=MOE,
)
SEGMENTS_BT = jnp.asarray([[1] * 7 + [2] * 11, [1] * 12 + [0] * 6], jnp.int32)


def draw(moe: MoeConfig = MOE) -> Experts:
    rng, config = np.random.default_rng(0), dataclasses.replace(CONFIG, moe=moe)
    shapes = jax.eval_shape(lambda: Experts(config, nnx.Rngs(params=0)))
    return jax.tree.map(lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype), shapes)


def activations(seed: int = 0) -> Array:
    return jax.random.normal(jax.random.key(seed), (*SEGMENTS_BT.shape, CONFIG.d_model))


def dense(experts: Experts, x_BTD: Array, segment_ids_BT: Array) -> Array:
    """Every expert on every token, times its weight, which is 0 where it is not chosen."""
    moe = experts.settings
    scores = jax.nn.softmax(jnp.einsum("btd,de->bte", x_BTD, experts.router_DE[...]), -1)
    allowed = jnp.ones_like(scores, bool)
    if moe.routing == "group_limited_greedy":
        groups = scores.reshape(*scores.shape[:-1], moe.num_groups, -1).max(-1)
        best = groups >= jnp.sort(groups, -1)[..., -moe.groups_per_token, None]
        allowed = jnp.repeat(best, moe.num_experts // moe.num_groups, -1)
    among = jnp.where(allowed, scores, 0.0)
    chosen = among >= jnp.sort(among, -1)[..., -moe.experts_per_token, None]
    weights = jnp.where(chosen, scores, 0.0)
    if moe.normalise_weights:
        weights /= weights.sum(-1, keepdims=True)
    else:
        weights *= moe.routed_scaling_factor
    gate = jnp.einsum("btd,edf->btef", x_BTD, experts.gate_EDF[...])
    up = jnp.einsum("btd,edf->btef", x_BTD, experts.up_EDF[...])
    out = jnp.einsum("btef,efd->bted", jax.nn.silu(gate) * up, experts.down_EFD[...])
    real = (segment_ids_BT > 0)[..., None]
    routed = jnp.einsum("bted,bte->btd", out, weights) * real
    return routed + (experts.shared(x_BTD) if moe.num_shared_experts else 0.0)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"routing": "greedy"},
        {"normalise_weights": True, "num_shared_experts": 0},
        {"num_groups": 1, "groups_per_token": 1, "experts_per_token": 16},
    ],
    ids=["grouped", "greedy", "normalised", "all"],
)
def test_values_and_gradients_are_those_of_every_expert_on_every_token(settings: dict[str, Any]):
    experts = draw(dataclasses.replace(MOE, **settings))
    towards = activations(1)

    def fast(experts: Experts, x_BTD: Array) -> Array:
        return experts(x_BTD, SEGMENTS_BT, None)[0]

    def slow(experts: Experts, x_BTD: Array) -> Array:
        return dense(experts, x_BTD, SEGMENTS_BT)

    def output_and_gradients(apply: Any) -> Any:
        def loss(experts: Experts, x_BTD: Array) -> tuple[Array, Array]:
            out_BTD = apply(experts, x_BTD)
            return jnp.sum(out_BTD * towards), out_BTD

        function = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
        (_, out_BTD), gradients = function(experts, activations())
        return out_BTD, gradients

    found, expected = output_and_gradients(fast), output_and_gradients(slow)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.linalg.norm(one - other) <= 2e-6 * np.linalg.norm(other)


NUM_TOKENS, NUM_CHOSEN, NUM_EXPERTS, WIDTH, INNER = 12, 2, 5, 4, 3
compute = jax.jit(routed)


@pytest.fixture(scope="module")
def matrices() -> Matrices:
    shapes = [(NUM_EXPERTS, WIDTH, INNER)] * 2 + [(NUM_EXPERTS, INNER, WIDTH)]
    drawn = (jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate(shapes))
    return Matrices(*drawn)


def one_by_one(x: Array, chosen: np.ndarray, weights: Array, matrices: Matrices) -> np.ndarray:
    """Token by token and expert by expert, in float64."""
    rows, factors, gate, up, down = (np.asarray(a, np.float64) for a in (x, weights, *matrices))
    out = np.zeros_like(rows)
    for place in np.ndindex(chosen.shape):
        if (expert := chosen[place]) < NUM_EXPERTS:
            before = rows[place[:2]] @ gate[expert]
            inner = before / (1 + np.exp(-before)) * (rows[place[:2]] @ up[expert])
            out[place[:2]] += factors[place] * (inner @ down[expert])
    return out


chosen_experts = st.one_of(
    st.lists(  # NUM_EXPERTS is no expert
        st.integers(0, NUM_EXPERTS),
        min_size=NUM_TOKENS * NUM_CHOSEN,
        max_size=NUM_TOKENS * NUM_CHOSEN,
    ),
    st.integers(0, NUM_EXPERTS).map(lambda expert: [expert] * NUM_TOKENS * NUM_CHOSEN),
)


@settings(max_examples=30, deadline=None)
@given(chosen_experts, st.permutations(range(NUM_TOKENS)))
def test_any_load_gives_each_token_its_own_experts(matrices, flat: list[int], order: list[int]):
    """Idle experts, one that gets everything, and tokens of no expert; in any order of tokens."""
    chosen = np.asarray(flat).reshape(2, NUM_TOKENS // 2, NUM_CHOSEN)
    x = jax.random.normal(jax.random.key(8), (2, NUM_TOKENS // 2, WIDTH))
    weights = jax.random.uniform(jax.random.key(9), chosen.shape)
    found = compute(x, jnp.asarray(chosen), weights, matrices)
    np.testing.assert_allclose(found, one_by_one(x, chosen, weights, matrices), atol=2e-5)

    def moved(a: Any) -> Array:
        a = jnp.asarray(a)
        return a.reshape(NUM_TOKENS, -1)[np.asarray(order)].reshape(a.shape)

    again = compute(*(moved(a) for a in (x, chosen, weights)), matrices)
    np.testing.assert_allclose(again, moved(found), atol=1e-6)


def test_padding_changes_nothing_and_gets_only_the_shared_experts():
    experts = draw()
    apply = jax.jit(lambda x: experts(x, SEGMENTS_BT, None))
    x_BTD = activations()
    padding = SEGMENTS_BT == 0
    other_BTD = jnp.where(padding[..., None], 100.0, x_BTD)
    (out, balance), (other, other_balance) = apply(x_BTD), apply(other_BTD)
    np.testing.assert_array_equal(out[~padding], other[~padding])
    jax.tree.map(np.testing.assert_array_equal, balance, other_balance)
    np.testing.assert_allclose(other[padding], experts.shared(other_BTD)[padding], rtol=1e-6)
    assert float(jnp.sum(balance.load_E)) == MOE.experts_per_token * np.sum(~padding)


def test_the_router_works_in_float32_whatever_the_activations_are():
    experts = draw()
    half_BTD = activations().astype(jnp.bfloat16)
    out, balance = jax.jit(lambda x: experts(x, SEGMENTS_BT, None))(half_BTD)
    assert (out.dtype, balance.loss_B.dtype) == (jnp.bfloat16, jnp.float32)
    expected = jax.jit(lambda x: dense(experts, x, SEGMENTS_BT))(half_BTD.astype(jnp.float32))
    error = jnp.sqrt(jnp.mean(jnp.square(out - expected)) / jnp.mean(jnp.square(expected)))
    assert error < 0.02  # a few roundings of 2 ** -8; a token sent elsewhere is 1 off


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_groups": 3}, "model.moe.num_groups=3 does not divide model.moe.num_experts=16"),
        ({"groups_per_token": 5}, "model.moe.groups_per_token=5 is more than"),
        ({"experts_per_token": 9}, "model.moe.experts_per_token=9 is more than the 8 experts"),
        ({"experts_per_token": 0}, "model.moe.experts_per_token=0: must be at least 1"),
        ({"first_dense_layers": 2}, "model.moe.first_dense_layers=2 leaves no layer with experts"),
        ({"exempt_share": 1.5}, "model.moe.exempt_share=1.5: must be at most 1"),
        (
            {"communication_balance": 0.1, "routing": "greedy"},
            "needs model.moe.routing=.group_limited",
        ),
        ({"device_balance": -0.1}, "model.moe.device_balance=-0.1: must be at least 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], message: str):
    moe = dataclasses.replace(MOE, **settings)
    with pytest.raises(ValueError, match=message):
        check(dataclasses.replace(CONFIG, moe=moe))


def assert_devices_agree(*meshes: str) -> None:
    flags = "--xla_force_host_platform_device_count=8"
    process = subprocess.run(
        [sys.executable, "-m", "tests.model.experts_on_fake_devices", *meshes],
        env=os.environ
        | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    report = json.loads(process.stdout)
    assert report.pop("idlest") == 0.0
    assert report.pop("dropped") > 0.0
    assert report
    assert max(report.values()) < 1e-5, report


def test_a_mesh_of_all_axes_changes_neither_loss_nor_gradient():
    assert_devices_agree("fsdp=2 expert=2 tensor=2")


@pytest.mark.slow
def test_no_mesh_changes_loss_or_gradient():
    assert_devices_agree()
