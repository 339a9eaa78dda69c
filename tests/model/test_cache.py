# SPDX-License-Identifier: Apache-2.0
"""The cache's rows, each by itself. What is decoded with it: tests/infer/test_engine.py."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from coder.config import ModelConfig
from coder.model import cache as caching
from coder.model.cache import Cache
from tests.model.drawn import drawn_decoder

MODEL = drawn_decoder(
    ModelConfig(
        vocab_size=50,
        d_model=16,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
        d_ff=24,
        init_std=0.4,
    )
)
PROMPT = [1, 2, 3]

_prefill = jax.jit(partial(caching.prefill, MODEL))
_step = jax.jit(partial(caching.step, MODEL), static_argnames="places")


def read(padding: int, rows: int = 1) -> tuple[np.ndarray, Cache]:
    """Logits after the prompt, and the cache, with something else after it in the row."""
    tokens = jnp.asarray([PROMPT + [5] * padding] * rows, jnp.int32)
    logits, cache = _prefill(tokens, jnp.full(rows, len(PROMPT), jnp.int32))
    return np.asarray(logits), cache


def test_padding_after_a_prompt_changes_no_logits():
    np.testing.assert_allclose(read(13)[0], read(0)[0], rtol=1e-4, atol=1e-5)


def test_a_row_without_a_token_stays_as_it_is():
    _, cache = read(5, rows=2)
    _, other = _step(jnp.array([7, 9]), cache, jnp.array([True, False]))
    assert other.length_B.tolist() == [4, 3]
    # The second row goes on as if nothing had happened, and the first with what it has read.
    found, _ = _step(jnp.array([8, 9]), other, jnp.array([True, True]))
    first, _ = _step(jnp.array([7, 9]), cache, jnp.array([True, True]))
    np.testing.assert_allclose(found[1], first[1], rtol=1e-5, atol=1e-5)
    both, _ = _step(jnp.array([8, 8]), _step(jnp.array([7, 7]), cache, jnp.ones(2, bool))[1])
    np.testing.assert_allclose(found[0], both[0], rtol=1e-5, atol=1e-5)


def test_places_after_the_longest_text_need_not_be_looked_at():
    cache = read(13)[1]
    everything, _ = _step(jnp.array([7]), cache)
    few, after = _step(jnp.array([7]), cache, places=4)
    np.testing.assert_allclose(few, everything, rtol=1e-5, atol=1e-5)
    assert (caching.capacity(after), int(after.length_B[0])) == (16, 4)


def test_a_text_is_put_into_one_row():
    text = read(5)[1]
    empty = caching.empty(MODEL, 3, 16)
    cache = jax.jit(caching.insert)(empty, 1, text)
    assert cache.length_B.tolist() == [0, 3, 0]
    for old, new, put in zip(*map(jax.tree.leaves, (empty, cache, text)), strict=True):
        if old.ndim > 1:
            np.testing.assert_array_equal(new[1, ..., :8, :], put[0])
            np.testing.assert_array_equal(new[jnp.array([0, 2])], old[jnp.array([0, 2])])


def test_a_gpu_writes_what_a_cpu_does(monkeypatch):
    _, cache = read(1, rows=3)
    # The second row is full, and the third is of a sample that is over.
    cache = cache._replace(length_B=jnp.array([0, 3, 4]))

    def written() -> list[np.ndarray]:
        return jax.tree.leaves(jax.jit(partial(caching.step, MODEL))(jnp.arange(3), cache)[1])

    on_cpu = written()
    monkeypatch.setattr(caching, "architecture", lambda: "sm90")
    for one, other in zip(on_cpu, written(), strict=True):
        np.testing.assert_array_equal(one, other)
