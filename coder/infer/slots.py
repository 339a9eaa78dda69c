# SPDX-License-Identifier: Apache-2.0
"""What the engine runs on the device: read a prompt, put it into a slot, decode all slots a while.

Every shape is one of few: slots and capacity are fixed, prompts and the visible part of the cache
have power-of-two sizes. The model is an argument like any other, so that each function compiles
once for all engines of the same sizes. The state is donated: a caller uses the one it gets back.

Letters of array names: B slot, T token of a prompt or chunk, V vocabulary.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from coder.infer.sampling import Rule, Sampling, draw, rule
from coder.model import cache as caching
from coder.model.cache import Cache
from coder.model.transformer import Decoder, Layer


class Text(NamedTuple):
    """A prompt that was read, from which any number of samples can begin."""

    logits_1V: Array
    """Of the token after it."""
    cache: Cache
    """One row."""


class Terms(NamedTuple):
    """What is asked of the samples in the slots."""

    limit_B: Array
    """Tokens that a sample has at most, int32."""
    stops_BV: Array
    """Tokens that end a sample, bool."""
    rule: Rule
    """How its tokens are chosen."""


class Samples(NamedTuple):
    """The samples in all slots."""

    token_B: Array
    """The newest token of each, which the model has not read, int32."""
    count_B: Array
    """Tokens that it has, int32."""
    live_B: Array
    """Whether it goes on."""
    terms: Terms


class State(NamedTuple):
    """All slots."""

    cache: Cache
    samples: Samples


class Written(NamedTuple):
    """What a chunk added to each slot."""

    tokens_BT: Array
    """As many as `count_B` rose by, then anything."""
    log_probs_BT: Array
    """Of the tokens, under the model before temperature and top-p."""


def empty(model: Decoder, slots: int, capacity: int) -> State:
    """Slots without samples."""
    stops_BV = jnp.zeros((slots, model.config.vocab_size), bool)
    greedy = rule([Sampling()] * slots, [0] * slots)
    # Each array is made anew: one that is there twice cannot be donated.
    samples = Samples(
        token_B=jnp.zeros(slots, jnp.int32),
        count_B=jnp.zeros(slots, jnp.int32),
        live_B=jnp.zeros(slots, bool),
        terms=Terms(jnp.zeros(slots, jnp.int32), stops_BV, greedy),
    )
    return State(caching.empty(model, slots, capacity), samples)


def read(model: Decoder, layers: list[Layer], tokens_1T: Array, length_1: Array) -> Text:
    """Reads one prompt, which is at the beginning of a longer row."""
    return Text(*caching.prefill(model, tokens_1T, length_1, layers))


place = jax.jit(caching.insert, donate_argnames="cache")
"""Puts a text into a slot. Apart from `begin`, which therefore compiles for no size of a text."""


@partial(jax.jit, donate_argnames="samples")
def begin(
    samples: Samples, slot: Array, logits_1V: Array, terms: Terms
) -> tuple[Samples, Array, Array, Array]:
    """Draws the first token of a sample whose text is in a slot; `terms` are of one row.

    Returns:
        The samples, the token, its log-probability, and whether the sample goes on.
    """
    none_1, all_1 = jnp.zeros(1, jnp.int32), jnp.ones(1, bool)
    token_1, log_prob_1 = draw(logits_1V, terms.rule, none_1, all_1)
    new = Samples(token_1, none_1 + 1, _goes_on(token_1, none_1 + 1, terms), terms)
    samples = jax.tree.map(lambda old, new: old.at[slot].set(new[0]), samples, new)
    return samples, token_1[0], log_prob_1[0], new.live_B[0]


@partial(jax.jit, donate_argnames="state", static_argnames=("size", "places"))
def write(
    model: Decoder,
    layers: list[Layer],
    state: State,
    taken_B: Array,
    steps: Array,
    least: Array,
    *,
    size: int,
    places: int,
) -> tuple[State, Written]:
    """Decodes until too few samples go on.

    Args:
        model: the model.
        layers: the model's, `cache.apart`.
        state: the slots.
        taken_B: slots whose samples are wanted; the others are as good as over.
        steps: tokens that are added to a slot at most.
        least: stop earlier, when fewer samples than this go on.
        size: T of the result, at least `steps`.
        places: places of the cache that are looked at: as many as any live slot's text will have.
    """
    samples = state.samples._replace(live_B=state.samples.live_B & taken_B)
    state, shape = State(state.cache, samples), (len(taken_B), size)
    written = Written(jnp.zeros(shape, jnp.int32), jnp.zeros(shape, jnp.float32))

    def unfinished(carry: tuple[Array, State, Written]) -> Array:
        done, state, _ = carry
        return (done < steps) & (jnp.sum(state.samples.live_B) >= least)

    def add(carry: tuple[Array, State, Written]) -> tuple[Array, State, Written]:
        done, state, written = carry
        state, *new = _step(model, layers, state, places)
        written = jax.tree.map(
            lambda all_BT, new_B: jax.lax.dynamic_update_slice(all_BT, new_B[:, None], (0, done)),
            written,
            Written(*new),
        )
        return done + 1, state, written

    return jax.lax.while_loop(unfinished, add, (jnp.int32(0), state, written))[1:]


def _step(
    model: Decoder, layers: list[Layer], state: State, places: int
) -> tuple[State, Array, Array]:
    """One more token of every live slot, and its log-probability."""
    cache, (token_B, count_B, live_B, terms) = state
    logits_BV, cache = caching.step(model, token_B, cache, live_B, places, layers)
    token_B, log_prob_B = draw(logits_BV, terms.rule, count_B, live_B)
    count_B += live_B
    goes_on_B = live_B & _goes_on(token_B, count_B, terms)
    return State(cache, Samples(token_B, count_B, goes_on_B, terms)), token_B, log_prob_B


def _goes_on(token_B: Array, count_B: Array, terms: Terms) -> Array:
    stopped_B = jnp.take_along_axis(terms.stops_BV, token_B[:, None], axis=-1)[:, 0]
    return ~stopped_B & (count_B < terms.limit_B)
