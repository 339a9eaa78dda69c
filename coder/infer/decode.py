# SPDX-License-Identifier: Apache-2.0
"""Greedy decoding of a batch of prompts of different lengths."""

from collections.abc import Collection, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from coder.model.cache import Cache, prefill, step, with_capacity
from coder.model.transformer import Decoder

SHORTEST = 16
"""The smallest bucket of lengths."""


def greedy(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    stop_ids: Collection[int] = (),
) -> list[list[int]]:
    """The likeliest next token, again and again.

    Shapes are rounded up to powers of two, so that few lengths compile anew.

    Args:
        model: a decoder.
        prompts: token numbers, at least one each.
        max_new_tokens: the most tokens that are added to a prompt.
        stop_ids: tokens that end an answer.

    Returns:
        What follows each prompt, without the token that ended it.

    Raises:
        ValueError: a prompt is empty, or a token is not in the model's vocabulary.
    """
    if not prompts or max_new_tokens < 1:
        return [[] for _ in prompts]
    _check_prompts(prompts, model.config.vocab_size)
    length = _bucket(max(map(len, prompts)), SHORTEST)
    tokens_BT = np.zeros((_bucket(len(prompts), 1), length), np.int32)
    prompt_lengths_B = np.ones(len(tokens_BT), np.int32)
    for row, prompt in enumerate(prompts):
        prompt_lengths_B[row] = len(prompt)
        tokens_BT[row, : len(prompt)] = prompt
    # The rows that only fill the batch are over before they begin.
    over_B = np.arange(len(tokens_BT)) >= len(prompts)
    answers_BT, lengths_B = _decode(
        model,
        tokens_BT,
        prompt_lengths_B,
        over_B,
        np.array(sorted(stop_ids), np.int32),
        np.int32(max_new_tokens),
        room=_bucket(max_new_tokens, SHORTEST),
    )
    answers_BT, lengths_B = np.asarray(answers_BT), np.asarray(lengths_B)
    return [answers_BT[row, : lengths_B[row]].tolist() for row in range(len(prompts))]


class _State(NamedTuple):
    """What a step of the decoding loop hands on."""

    logits_BV: Array
    cache: Cache
    over_B: Array
    answers_BT: Array
    lengths_B: Array
    count: Array


@partial(jax.jit, static_argnames="room")
def _decode(
    model: Decoder,
    tokens_BT: Array,
    prompt_lengths_B: Array,
    over_B: Array,
    stop_ids: Array,
    max_new_tokens: Array,
    room: int,
) -> tuple[Array, Array]:
    """Answers [B, room] and their lengths [B]; stops when every row has."""
    logits_BV, cache = prefill(model, tokens_BT, prompt_lengths_B)
    cache = with_capacity(cache, tokens_BT.shape[1] + room)
    state = _State(
        logits_BV,
        cache,
        over_B,
        answers_BT=jnp.zeros((len(tokens_BT), room), jnp.int32),
        lengths_B=jnp.zeros(len(tokens_BT), jnp.int32),
        count=jnp.int32(0),
    )

    def unfinished(state: _State) -> Array:
        return (state.count < max_new_tokens) & ~jnp.all(state.over_B)

    def add(state: _State) -> _State:
        tokens_B = jnp.argmax(state.logits_BV, axis=-1).astype(jnp.int32)
        over_B = state.over_B | jnp.isin(tokens_B, stop_ids)
        place = (0, state.count)
        logits_BV, cache = step(model, tokens_B, state.cache)
        return _State(
            logits_BV,
            cache,
            over_B,
            jax.lax.dynamic_update_slice(state.answers_BT, tokens_B[:, None], place),
            state.lengths_B + ~over_B,
            state.count + 1,
        )

    state = jax.lax.while_loop(unfinished, add, state)
    return state.answers_BT, state.lengths_B


def _check_prompts(prompts: Sequence[Sequence[int]], vocab_size: int) -> None:
    for number, prompt in enumerate(prompts):
        if not prompt:
            raise ValueError(f"prompt {number} is empty: give it at least its first token")
        if not 0 <= min(prompt) <= max(prompt) < vocab_size:
            raise ValueError(f"prompt {number} has tokens outside of [0, {vocab_size})")


def _bucket(size: int, smallest: int) -> int:
    """The power of two that holds `size`, at least `smallest`."""
    return max(smallest, 1 << (size - 1).bit_length())
