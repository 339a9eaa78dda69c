# SPDX-License-Identifier: Apache-2.0
"""Choosing the next token: the likeliest, or one drawn from the model's distribution.

What is drawn depends on the logits, the seed, the sample's number and the position alone, so that
neither the row nor its neighbours matter: each token has a random key of its own. It is drawn as
the argmax of log p plus Gumbel noise, which is distributed as p, and which a rounding error turns
into another token only where two tokens all but tie.

Letters of array names: B row, V vocabulary.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


@dataclass(frozen=True)
class Sampling:
    """How the tokens of a request are chosen; the default is greedy."""

    temperature: float = 0.0
    """Divides the logits; 0: the likeliest token, the lowest of equals."""
    top_p: float = 1.0
    """Draw from the fewest likeliest tokens whose mass, after the temperature, is at least this."""
    seed: int = 0
    """Of the random numbers: requests with the same prompt and seed have the same samples."""

    def __post_init__(self) -> None:
        """Raises ValueError, which names the setting, where nothing can be drawn."""
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature={self.temperature}: must be 0 (greedy) or more")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p}: must be above 0 and at most 1")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"seed={self.seed}: must be in [0, 2**64)")


class Rule(NamedTuple):
    """The `Sampling` of every row."""

    temperature_B: Array
    """Float32."""
    top_p_B: Array
    """Float32."""
    seed_B2: Array
    """The two halves of each seed, uint32."""
    sample_B: Array
    """Number of each row's sample among those of its request, int32."""


def rule(samplings: list[Sampling], samples: list[int]) -> Rule:
    """The rule of rows with these settings and numbers."""
    return Rule(
        jnp.array([each.temperature for each in samplings], jnp.float32),
        jnp.array([each.top_p for each in samplings], jnp.float32),
        jnp.array([divmod(each.seed, 2**32) for each in samplings], jnp.uint32),
        jnp.array(samples, jnp.int32),
    )


def draw(logits_BV: Array, rule: Rule, position_B: Array, live_B: Array) -> tuple[Array, Array]:
    """The next token of every row.

    Args:
        logits_BV: the model's, float32.
        rule: how to choose.
        position_B: tokens that each row's sample has so far.
        live_B: rows that need a token; the others get one that means nothing.

    Returns:
        Tokens [B], int32, and their log-probabilities [B] under the model itself: before
        temperature and top-p.
    """
    warm_B = live_B & (rule.temperature_B > 0)
    tokens_B = jax.lax.cond(
        jnp.any(warm_B),
        lambda: jnp.argmax(_perturbed(logits_BV, rule, position_B, warm_B), axis=-1),
        lambda: jnp.argmax(logits_BV, axis=-1),
    ).astype(jnp.int32)
    logit_B = jnp.take_along_axis(logits_BV, tokens_B[:, None], axis=-1)[:, 0]
    return tokens_B, logit_B - jax.nn.logsumexp(logits_BV, axis=-1)


def nucleus(probs_BV: Array, top_p_B: Array) -> Array:
    """Whether a token is among the fewest likeliest whose mass is at least top_p, [B, V] bool.

    Of equally likely tokens the lower come first. The likeliest of all is always among them.
    """
    # The probability of the last one, found by halving the range of its bits, which are ordered as
    # floats from 0 on are: exact, and on a CPU twenty times faster than sorting the vocabulary.
    bits_BV = jax.lax.bitcast_convert_type(probs_BV, jnp.int32)

    def halve(_: int, range_2B: tuple[Array, Array]) -> tuple[Array, Array]:
        low_B, high_B = range_2B
        middle_B = low_B + (high_B - low_B) // 2
        enough_B = _mass(probs_BV, bits_BV >= middle_B[:, None]) >= top_p_B
        return jnp.where(enough_B, middle_B, low_B), jnp.where(enough_B, high_B, middle_B)

    most_B = jnp.max(bits_BV, axis=-1)
    last_B, _ = jax.lax.fori_loop(0, 31, halve, (jnp.zeros_like(most_B), most_B + 1))
    likelier_BV, equal_BV = bits_BV > last_B[:, None], bits_BV == last_B[:, None]
    missing_B = top_p_B - _mass(probs_BV, likelier_BV)
    before_BV = jnp.cumsum(equal_BV, axis=-1) - 1
    needed_BV = (before_BV == 0) | (before_BV * probs_BV < missing_B[:, None])
    return likelier_BV | (equal_BV & needed_BV)


def _mass(probs_BV: Array, among_BV: Array) -> Array:
    return jnp.sum(jnp.where(among_BV, probs_BV, 0.0), axis=-1)


def _perturbed(logits_BV: Array, rule: Rule, position_B: Array, warm_B: Array) -> Array:
    """What has its argmax at the drawn token; the logits themselves in rows that are not warm."""
    temperature_B1 = jnp.where(warm_B, rule.temperature_B, 1.0)[:, None]
    # Divided after the maximum is 0, so that no temperature, however low, makes it infinite.
    scaled_BV = (logits_BV - jnp.max(logits_BV, axis=-1, keepdims=True)) / temperature_B1
    narrow_B = warm_B & (rule.top_p_B < 1)
    allowed_BV = jax.lax.cond(
        jnp.any(narrow_B),
        lambda: nucleus(jax.nn.softmax(scaled_BV), rule.top_p_B) | ~narrow_B[:, None],
        lambda: jnp.ones(scaled_BV.shape, bool),
    )
    noise_BV = jax.vmap(lambda key: jax.random.gumbel(key, logits_BV.shape[-1:]))(
        jax.vmap(_key)(rule.seed_B2, rule.sample_B, position_B)
    )
    perturbed_BV = jnp.where(allowed_BV, scaled_BV + noise_BV, -jnp.inf)
    return jnp.where(warm_B[:, None], perturbed_BV, logits_BV)


def _key(seed_2: Array, sample: Array, position: Array) -> Array:
    """The random key of one token."""
    # Named, because another default implementation would draw other tokens.
    key = jax.random.wrap_key_data(seed_2, impl="threefry2x32")
    return jax.random.fold_in(jax.random.fold_in(key, sample), position)
