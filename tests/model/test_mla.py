# SPDX-License-Identifier: Apache-2.0
"""Latent attention against the paper's equations, one position and one head at a time."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from coder.config import MlaConfig, ModelConfig, RopeScaling
from coder.model import cache, mla
from coder.model.lora import LowRank
from coder.model.mla import LatentAttention
from coder.model.presets import PRESETS
from coder.model.rope import frequencies, rotation
from coder.model.transformer import Decoder, init_decoder
from tests.model.drawn import drawn_decoder
from tests.model.test_transformer import loss_and_gradients, random_batch

# With values narrower or wider than keys, and texts longer than the original positions.
SMALL = ModelConfig(
    vocab_size=50,
    d_model=16,
    num_layers=2,
    num_heads=4,
    d_ff=24,
    init_std=0.3,
    rope_theta=10_000.0,
    rope_scaling=RopeScaling("yarn", 40.0, 16, mscale=0.7, mscale_all_dim=0.7),
    mla=MlaConfig(
        kv_lora_rank=12, q_lora_rank=10, qk_nope_head_dim=8, qk_rope_head_dim=6, v_head_dim=10
    ),
)
NO_QUERY_LATENT = dataclasses.replace(
    SMALL, num_layers=1, mla=dataclasses.replace(SMALL.mla, q_lora_rank=0, v_head_dim=20)
)
CONFIGS = {"q_lora": SMALL, "no_q_lora": NO_QUERY_LATENT}
Weights = dict[str, np.ndarray]


def expected_attention(
    weights: Weights, x_TD: np.ndarray, segments: np.ndarray, config: ModelConfig
) -> np.ndarray:
    """DeepSeek-V2, equations 9 to 19, in double precision; positions begin at 0."""
    shape = config.mla
    nope, rope, value = shape.qk_nope_head_dim, shape.qk_rope_head_dim, shape.v_head_dim
    temperature = 0.1 * config.rope_scaling.mscale_all_dim * math.log(40.0) + 1
    scale = temperature**2 / math.sqrt(nope + rope)
    made = [made_from(weights, x, t, config) for t, x in enumerate(x_TD)]
    out_TD = np.zeros_like(x_TD)
    for t, (queries, _, _, _) in enumerate(made):
        seen = [s for s in range(t + 1) if segments[s] == segments[t]]
        heads = []
        for n in range(config.num_heads):
            scores = []
            for s in seen:
                _, keys, _, rope_key = made[s]
                key = np.concatenate([keys[n * nope : (n + 1) * nope], rope_key])
                scores.append(scale * queries[n] @ key)
            shares = np.exp(np.array(scores) - max(scores))
            shares /= shares.sum()
            values = [made[s][2][n * value : (n + 1) * value] for s in seen]
            heads.append(sum(share * v for share, v in zip(shares, values, strict=True)))
        out_TD[t] = np.concatenate(heads) @ weights["output_OD"]
    return out_TD


def made_from(weights: Weights, x_D: np.ndarray, t: int, config: ModelConfig) -> tuple:
    """Queries by head, keys and values side by side, and the shared key of one position."""
    shape = config.mla
    nope, rope = shape.qk_nope_head_dim, shape.qk_rope_head_dim
    if shape.q_lora_rank:
        latent = normalised(x_D @ weights["query_down_DR"]) * weights["query_norm.scale_D"]
        query = latent @ weights["query_up_RQ"]
    else:
        query = x_D @ weights["query_DQ"]
    heads = query.reshape(config.num_heads, nope + rope)
    queries = [np.concatenate([q[:nope], turned(q[nope:], t, config)]) for q in heads]
    kept = x_D @ weights["down_DX"]
    latent = normalised(kept[: shape.kv_lora_rank]) * weights["latent_norm.scale_D"]
    up = weights["up_CY"].reshape(len(latent), config.num_heads, nope + shape.v_head_dim)
    keys, values = (half.reshape(len(latent), -1) for half in (up[..., :nope], up[..., nope:]))
    return queries, latent @ keys, latent @ values, turned(kept[shape.kv_lora_rank :], t, config)


def normalised(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt(np.mean(x * x) + 1e-6)


def turned(x: np.ndarray, t: int, config: ModelConfig) -> np.ndarray:
    z = (x[0::2] + 1j * x[1::2]) * np.exp(1j * t * frequencies(config))
    return np.stack([z.real, z.imag], -1).ravel()


def weights_of(attention: LatentAttention) -> Weights:
    """Parameters by dotted name, in double precision."""
    leaves = nnx.to_flat_state(nnx.state(attention, nnx.Param))
    return {".".join(map(str, path)): np.asarray(leaf[...], np.float64) for path, leaf in leaves}


@jax.jit
def whole_block(attention: LatentAttention, x: jax.Array, segments: jax.Array, turn: Any):
    query, kept = attention.heads(x, turn)
    return attention.merge(attention.attend(query, kept, segments))


def drawn_block(config: ModelConfig) -> tuple[LatentAttention, np.ndarray, np.ndarray, Any]:
    """A block, activations of two rows, their segments, and the rotation of their positions."""
    attention = jax.tree.map(lambda x_L: x_L[0], drawn_decoder(config).layers.attention)
    x = np.random.default_rng(0).normal(size=(2, 40, config.d_model))
    segments = np.repeat([[1, 2, 0], [1, 1, 1]], [11, 26, 3], axis=1)
    positions = jnp.broadcast_to(jnp.arange(40), (2, 40))
    return attention, x, segments, rotation(positions, config)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_block_is_that_of_the_paper(config):
    attention, x, segments, turn = drawn_block(config)
    found = whole_block(attention, jnp.asarray(x, jnp.float32), jnp.asarray(segments), turn)
    for row in range(2):
        expected = expected_attention(weights_of(attention), x[row], segments[row], config)
        np.testing.assert_allclose(found[row], expected, atol=2e-5)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_gradients_are_the_slopes_of_the_paper(config):
    """Along random directions of all parameters and activations together."""
    attention, x, segments, turn = drawn_block(config)
    x, segments, turn = x[:1, :20], segments[:1, :20], jax.tree.map(lambda a: a[:1, :, :20], turn)
    rng = np.random.default_rng(1)
    cotangent = rng.normal(size=x.shape)

    def loss(attention: LatentAttention, x: jax.Array) -> jax.Array:
        return jnp.sum(whole_block(attention, x, jnp.asarray(segments), turn) * cotangent)

    found, found_x = jax.jit(jax.grad(loss, (0, 1)))(attention, jnp.asarray(x, jnp.float32))
    gradients, weights = weights_of(found), weights_of(attention)

    def moved(directions: Weights, by: float) -> float:
        changed = {name: w + by * directions[name] for name, w in weights.items()}
        out = expected_attention(changed, x[0] + by * directions["x"], segments[0], config)
        return float(np.sum(out * cotangent[0]))

    for _ in range(3):
        directions = {name: rng.normal(size=w.shape) for name, w in weights.items()}
        directions["x"] = rng.normal(size=x[0].shape)
        slope = (moved(directions, 1e-5) - moved(directions, -1e-5)) / 2e-5
        parts = [np.sum(g * directions[name]) for name, g in gradients.items()]
        parts.append(np.sum(np.asarray(found_x[0]) * directions["x"]))
        assert sum(parts) == pytest.approx(slope, abs=1e-4 * float(np.linalg.norm(parts)))


def logits_one_by_one(model: Decoder, tokens: jax.Array, lengths: list[int], steps: int):
    """Logits after each prompt and after each of the tokens that follow it, [steps + 1, B, V]."""
    prompts = tokens[:, : max(lengths)]
    logits, kept = jax.jit(cache.prefill)(model, prompts, jnp.asarray(lengths))
    kept, found = cache.with_capacity(kept, tokens.shape[1]), [logits]
    step = jax.jit(cache.step)
    for count in range(steps):
        following = jnp.stack(
            [row[length + count] for row, length in zip(tokens, lengths, strict=True)]
        )
        logits, kept = step(model, following, kept)
        found.append(logits)
    return jnp.stack(found)


def compare_with_all_at_once(model: Decoder) -> tuple[np.ndarray, np.ndarray]:
    """Logits with a cache and those of the whole text, of rows with prompts of two lengths."""
    tokens = jax.random.randint(jax.random.key(0), (2, 40), 0, model.config.vocab_size)
    positions = jnp.broadcast_to(jnp.arange(40), tokens.shape)
    whole = jax.jit(Decoder.__call__)(model, tokens, positions, jnp.ones_like(tokens))
    lengths, steps = [3, 9], 30
    found = logits_one_by_one(model, tokens, lengths, steps)
    expected = [whole[row, length - 1 : length + steps] for row, length in enumerate(lengths)]
    return np.asarray(found), np.stack(expected, axis=1)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_absorbed_form_is_the_expanded_one(config):
    found, expected = compare_with_all_at_once(drawn_decoder(config))
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


def test_the_absorbed_form_in_bfloat16_is_off_by_its_rounding_only():
    half = dataclasses.replace(SMALL, num_layers=1, compute_dtype="bfloat16")
    found, expected = compare_with_all_at_once(drawn_decoder(half))
    assert np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)


@jax.jit
def last_position(attention: LatentAttention, x: jax.Array, turn: Any) -> tuple[jax.Array, ...]:
    """What the last of some positions attends to, in the expanded form and in the absorbed one."""
    query, kept = attention.heads(x, turn)
    everywhere = jnp.ones(x.shape[:2], jnp.int32)
    expanded = attention.attend(query, kept, everywhere)[:, -1:]
    last = jax.tree.map(lambda part: part[:, :, -1:], query)
    return expanded, attention.attend_cached(last, kept, everywhere.sum(1), x.shape[1])


@pytest.mark.parametrize("batch", [1, 3])
def test_the_absorbed_form_knows_the_adapter_of_its_matrix(batch):
    name = "up_CY"
    attention, x, _, turn = drawn_block(SMALL)
    x, turn = jnp.asarray(x[:1].repeat(batch, 0), jnp.float32), jax.tree.map(lambda a: a[:1], turn)
    without, _ = last_position(attention, x, turn)
    rng = np.random.default_rng(0)
    factors = (rng.normal(size=shape) for shape in ((12, 2), (2, attention.up_CY.shape[1])))
    adapter = LowRank(*(jnp.asarray(factor, jnp.float32) for factor in factors), alpha=0.5)
    setattr(attention, f"{name}_adapter", adapter)
    expanded, absorbed = last_position(attention, x, turn)
    np.testing.assert_allclose(absorbed, expanded, atol=1e-5)
    assert not np.allclose(without, expanded, atol=0.1)


def test_a_decoder_trains():
    loss, gradients = loss_and_gradients(drawn_decoder(SMALL), *random_batch())
    for leaf in jax.tree.leaves((loss, gradients)):
        assert np.isfinite(leaf).all()
        assert np.any(np.asarray(leaf) != 0)


def test_a_position_of_v2_is_kept_in_576_numbers():
    config = PRESETS["deepseek_coder_v2_lite"]
    model = jax.eval_shape(lambda: Decoder(config, nnx.Rngs(params=0)))
    tokens, lengths = jax.ShapeDtypeStruct((1, 7), jnp.int32), jax.ShapeDtypeStruct((1,), jnp.int32)
    _, kept = jax.eval_shape(cache.prefill, model, tokens, lengths)
    sizes = [leaf.size for leaf in jax.tree.leaves(kept.kept)]
    assert sum(sizes) == config.num_layers * 7 * (512 + 64)


def test_heads_of_the_ordinary_kind_are_not_looked_at():
    odd = dataclasses.replace(SMALL, num_kv_heads=3, head_dim=7)
    shapes, odd_shapes = (
        jax.eval_shape(lambda config=config: Decoder(config, nnx.Rngs(params=0)))
        for config in (SMALL, odd)
    )
    found, expected = (jax.tree.leaves(x) for x in (odd_shapes, shapes))
    assert [x.shape for x in found] == [x.shape for x in expected]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"kv_lora_rank": -1}, "model.mla.kv_lora_rank=-1: must be at least 1"),
        ({"q_lora_rank": -1}, "model.mla.q_lora_rank=-1: must be at least 0"),
        ({"qk_nope_head_dim": 0}, "model.mla.qk_nope_head_dim=0: must be at least 1"),
        ({"qk_rope_head_dim": 0}, "model.mla.qk_rope_head_dim=0: must be at least 2"),
        ({"qk_rope_head_dim": 7}, "model.mla.qk_rope_head_dim=7: must be even"),
        ({"v_head_dim": 0}, "model.mla.v_head_dim=0: must be at least 1"),
    ],
)
def test_widths_that_do_not_fit_are_refused(bad, message):
    config = dataclasses.replace(SMALL, mla=dataclasses.replace(SMALL.mla, **bad))
    with pytest.raises(ValueError, match=message):
        mla.check(config)
    with pytest.raises(ValueError, match=message):
        init_decoder(config, 0)
