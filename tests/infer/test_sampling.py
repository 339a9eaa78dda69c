# SPDX-License-Identifier: Apache-2.0
"""How a token is chosen: against plain readings of the definitions, and against chance."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from coder.infer.sampling import Rule, Sampling, draw, nucleus, rule

LOGITS = np.random.default_rng(0).normal(scale=1.5, size=12).astype(np.float32)
COUNT = 8000

_draw, _nucleus = jax.jit(draw), jax.jit(nucleus)


def drawn(
    sampling: Sampling, logits: np.ndarray = LOGITS, sample: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and log-probabilities at the first positions of a sample."""
    rows = np.broadcast_to(logits, (COUNT, len(logits)))
    [settings] = zip(*rule([sampling], [sample]), strict=True)
    rules = Rule(*(jnp.broadcast_to(each, (COUNT, *each.shape)) for each in settings))
    tokens, log_probs = _draw(rows, rules, np.arange(COUNT), np.ones(COUNT, bool))
    return np.asarray(tokens), np.asarray(log_probs)


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits.astype(np.float64) - logits.max())
    return weights / weights.sum()


def likeliest(probs: np.ndarray, top_p: float) -> list[int]:
    """The nucleus, token by token."""
    kept, mass = [], 0.0
    for token in sorted(range(len(probs)), key=lambda token: (-probs[token], token)):
        if kept and mass >= top_p:
            break
        kept.append(token)
        mass += float(probs[token])
    return sorted(kept)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("top_p", [0.6, 0.95, 1.0])
def test_frequencies_are_those_of_the_distribution(temperature, top_p):
    tokens, _ = drawn(Sampling(temperature, top_p, seed=5))
    expected = softmax(LOGITS / temperature)
    kept = likeliest(expected, top_p)
    expected = expected[kept] / expected[kept].sum()
    counts = np.bincount(tokens, minlength=len(LOGITS))
    assert counts.sum() == counts[kept].sum()
    chi_square = ((counts[kept] - COUNT * expected) ** 2 / (COUNT * expected)).sum()
    # The mean is the number of tokens less one, and the variance twice that: five deviations.
    assert chi_square < len(kept) + 5 * math.sqrt(2 * len(kept))


def test_the_nucleus_is_the_fewest_likeliest_tokens():
    rng = np.random.default_rng(1)
    for width in (0, 1, 1, 5, 20):
        logits = rng.normal(scale=width, size=(40, 50))
        # Rounded ones are full of ties.
        logits[::2] = np.round(logits[::2])
        probs = np.stack([softmax(row) for row in logits]).astype(np.float32)
        for top_p in (1e-9, 0.3, 0.5, 0.9, 0.999):
            top_p_B = np.full(len(probs), top_p, np.float32)
            found = np.asarray(_nucleus(probs, top_p_B))
            for row, kept in zip(probs, found, strict=True):
                assert np.flatnonzero(kept).tolist() == likeliest(row, top_p_B[0])


def test_half_of_four_equal_tokens_is_the_first_two():
    probs, top_p = jnp.full((1, 4), 0.25), jnp.array([0.5])
    np.testing.assert_array_equal(nucleus(probs, top_p), [[True, True, False, False]])


def test_greedy_takes_the_lowest_of_the_likeliest():
    tied = np.where(np.arange(12) % 3, LOGITS.max() + 1, LOGITS)
    tokens, log_probs = drawn(Sampling(), tied)
    assert set(tokens.tolist()) == {1}
    np.testing.assert_allclose(log_probs, np.log(softmax(tied)[1]), rtol=1e-6)


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-44])
def test_a_temperature_near_zero_is_greedy(temperature):
    tokens, _ = drawn(Sampling(temperature))
    assert set(tokens.tolist()) == {int(LOGITS.argmax())}


def test_a_tiny_top_p_is_greedy():
    tokens, _ = drawn(Sampling(3.0, top_p=1e-9))
    assert set(tokens.tolist()) == {int(LOGITS.argmax())}


def test_log_probabilities_are_the_models_own():
    tokens, log_probs = drawn(Sampling(0.5, 0.8))
    np.testing.assert_allclose(log_probs, np.log(softmax(LOGITS))[tokens], rtol=1e-5)


def test_seed_sample_and_position_each_change_what_is_drawn():
    first, _ = drawn(Sampling(1.0, seed=1))
    assert len(set(first.tolist())) > 1
    for sampling, sample in (
        (Sampling(1.0, seed=2), 0),
        (Sampling(1.0, seed=1 + 2**32), 0),
        (Sampling(1.0, seed=1), 1),
    ):
        assert (drawn(sampling, sample=sample)[0] != first).any()


def test_a_row_does_not_see_its_neighbours():
    rng = np.random.default_rng(2)
    samplings = [Sampling(), Sampling(1.0, seed=3), Sampling(0.7, 0.9, 4), Sampling(2.0, 0.5, 5)]
    rows = rng.normal(size=(4, 30)).astype(np.float32)
    position = jnp.array([3, 1, 4, 1])
    together, _ = _draw(rows, rule(samplings, [0, 1, 2, 3]), position, jnp.ones(4, bool))
    for row in range(4):
        alone, _ = _draw(
            rows[row : row + 1],
            rule(samplings[row : row + 1], [row]),
            position[row : row + 1],
            jnp.ones(1, bool),
        )
        assert alone[0] == together[row]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -0.1}, "temperature=-0.1: must be 0"),
        ({"temperature": math.inf}, "temperature=inf"),
        ({"temperature": math.nan}, "temperature=nan"),
        ({"top_p": 0.0}, "top_p=0.0: must be above 0"),
        ({"top_p": 1.01}, "top_p=1.01"),
        ({"top_p": math.nan}, "top_p=nan"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**64}, "seed=18446744073709551616"),
    ],
)
def test_what_cannot_be_sampled_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**settings)
