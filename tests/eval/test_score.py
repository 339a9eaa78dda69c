# SPDX-License-Identifier: Apache-2.0
"""Likelihoods: against distributions known in closed form, and against the model called
directly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from coder.config import ModelConfig
from coder.eval.score import Query, score
from coder.model.transformer import init_decoder

CONFIG = ModelConfig(
    vocab_size=32, d_model=16, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=8, d_ff=24
)


class Bigram(nnx.Module):
    """p(next | token) from a table of counts; it shows that every target is read off the token
    before it."""

    def __init__(self, counts_VV: np.ndarray):
        self.log_counts_VV = nnx.Param(jnp.log(jnp.asarray(counts_VV, jnp.float32)))

    def __call__(self, tokens_BT, positions_BT, segment_ids_BT):
        return self.log_counts_VV[...][tokens_BT]


def random_queries(seed: int, count: int, vocab_size: int, longest: int) -> list[Query]:
    rng = np.random.default_rng(seed)
    queries = []
    for _ in range(count):
        ids = rng.integers(0, vocab_size, rng.integers(2, longest + 2)).tolist()
        cut = int(rng.integers(1, len(ids)))
        queries.append(Query(tuple(ids[:cut]), tuple(ids[cut:])))
    return queries


def test_nats_are_those_of_a_known_distribution():
    counts_VV = np.random.default_rng(0).integers(1, 50, (7, 7))
    queries = random_queries(1, 50, 7, 12)
    for query, answer in zip(queries, score(Bigram(counts_VV), queries, 8, 12), strict=True):
        before = [query.prompt[-1], *query.target[:-1]]
        expected = [
            -np.log(counts_VV[a, b] / counts_VV[a].sum())
            for a, b in zip(before, query.target, strict=True)
        ]
        np.testing.assert_allclose(answer.nats, expected, rtol=1e-5)
        likeliest = counts_VV[before].argmax(-1) == np.array(query.target)
        np.testing.assert_array_equal(answer.likeliest, likeliest)


def test_a_tie_goes_to_the_lowest_token_as_in_greedy_decoding():
    counts_VV = np.array([[1, 5, 5], [1, 1, 1], [1, 1, 1]])
    first, second = score(Bigram(counts_VV), [Query((0,), (1,)), Query((0,), (2,))], 2, 4)
    assert first.likeliest.all() and not second.likeliest.any()


def test_padding_and_batching_change_nothing():
    model = init_decoder(CONFIG, seed=3)
    rng = np.random.default_rng(2)
    queries = []
    for num_ids in (10, 21) * 4:
        ids, cut = (
            rng.integers(0, CONFIG.vocab_size, num_ids).tolist(),
            int(rng.integers(1, num_ids)),
        )
        queries.append(Query(tuple(ids[:cut]), tuple(ids[cut:])))

    @jax.jit
    def log_probs(ids_BT):
        positions_BT = jnp.arange(ids_BT.shape[1])[None]
        return jax.nn.log_softmax(model(ids_BT, positions_BT, jnp.ones_like(ids_BT)), axis=-1)

    for batch_size, longest in ((3, 20), (8, 40)):
        for query, answer in zip(queries, score(model, queries, batch_size, longest), strict=True):
            log_probs_TV = np.asarray(log_probs(jnp.asarray([query.prompt + query.target])))[0]
            rows = np.arange(len(query.prompt) - 1, query.length)
            np.testing.assert_allclose(
                answer.nats, -log_probs_TV[rows, query.target], rtol=2e-5, atol=2e-5
            )


def test_only_two_shapes_are_compiled():
    shapes = set()

    class Spy(Bigram):
        def __call__(self, tokens_BT, positions_BT, segment_ids_BT):
            shapes.add(tokens_BT.shape)
            return super().__call__(tokens_BT, positions_BT, segment_ids_BT)

    score(Spy(np.ones((9, 9))), random_queries(4, 60, 9, 17), 8, 17)
    assert shapes == {(8, 9), (8, 17)}


def test_a_query_longer_than_the_model_has_seen_is_refused():
    with pytest.raises(ValueError, match="5 positions does not fit a sequence of 4"):
        score(Bigram(np.ones((3, 3))), [Query((0, 1), (2, 0, 1, 2))], 2, 4)


def test_nothing_to_score():
    assert score(Bigram(np.ones((3, 3))), [], 2, 4) == []
