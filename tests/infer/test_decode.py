# SPDX-License-Identifier: Apache-2.0
"""Cached decoding against the full forward pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from coder.config import ModelConfig
from coder.infer import decode
from coder.infer.decode import greedy
from coder.model.cache import prefill
from coder.model.transformer import Decoder, init_decoder

MODEL = init_decoder(
    ModelConfig(
        vocab_size=50,
        d_model=16,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
        d_ff=24,
        init_std=0.4,
    ),
    seed=0,
)
PROMPTS = [[1, 2, 3], [7] * 16, [4, 9]]
LENGTH = 64

apply = jax.jit(Decoder.__call__)


def next_by_full_forward(tokens: list[int]) -> int:
    """The likeliest token after `tokens`, which stand at the beginning of a longer row."""
    row = jnp.zeros((1, LENGTH), jnp.int32).at[0, : len(tokens)].set(jnp.asarray(tokens))
    logits = apply(MODEL, row, jnp.arange(LENGTH)[None], jnp.ones((1, LENGTH), jnp.int32))
    return int(logits[0, len(tokens) - 1].argmax())


def expected(prompt: list[int], count: int) -> list[int]:
    answer: list[int] = []
    for _ in range(count):
        answer.append(next_by_full_forward(prompt + answer))
    return answer


def test_greedy_is_the_argmax_of_the_full_forward_pass():
    assert greedy(MODEL, PROMPTS, 20) == [expected(prompt, 20) for prompt in PROMPTS]


def test_an_answer_does_not_depend_on_its_batch():
    together = greedy(MODEL, PROMPTS, 12)
    assert together == [greedy(MODEL, [prompt], 12)[0] for prompt in PROMPTS]


def test_a_stop_token_ends_its_own_answer_only():
    answers = greedy(MODEL, PROMPTS, 12)
    stop = answers[0][4]
    cut = greedy(MODEL, PROMPTS, 12, {stop})
    for whole, short in zip(answers, cut, strict=True):
        assert short == (whole[: whole.index(stop)] if stop in whole else whole)


def test_padding_after_a_prompt_changes_no_logits():
    def logits(padding: int) -> np.ndarray:
        row = jnp.asarray([PROMPTS[0] + [5] * padding], jnp.int32)
        return np.asarray(prefill(MODEL, row, jnp.asarray([len(PROMPTS[0])]))[0])

    np.testing.assert_allclose(logits(13), logits(0), rtol=1e-4, atol=1e-5)


def test_lengths_of_one_bucket_compile_once(monkeypatch):
    greedy(MODEL, PROMPTS, 12, {1})
    traces = []
    monkeypatch.setattr(decode, "prefill", lambda *arguments: traces.append(arguments))
    greedy(MODEL, [[3] * 11, [1], [2] * 5, [8]], 9, {2})
    assert not traces


def test_nothing_asked_is_nothing_answered():
    assert greedy(MODEL, [], 5) == []
    assert greedy(MODEL, [[1]], 0) == [[]]


@pytest.mark.parametrize(
    ("prompt", "message"), [([], "prompt 0 is empty"), ([50], "outside"), ([-1], "outside")]
)
def test_prompts_that_cannot_be_read_are_refused(prompt, message):
    with pytest.raises(ValueError, match=message):
        greedy(MODEL, [prompt], 5)
