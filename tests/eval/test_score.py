# SPDX-License-Identifier: Apache-2.0
"""Likelihoods: against distributions known in closed form, and against the model's own logits."""

import jax
import numpy as np
import pytest

from coder.config import ModelConfig
from coder.eval.score import Query, QueryError, score
from coder.infer.engine import Engine, Request
from coder.model.transformer import Decoder, init_decoder
from tests.eval.bigram import Bigram

CONFIG = ModelConfig(
    vocab_size=32, d_model=16, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=8, d_ff=24
)


@pytest.fixture(scope="module")
def model() -> Decoder:
    return init_decoder(CONFIG, seed=3)


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


def test_padding_batching_and_what_follows_change_nothing(model):
    rng = np.random.default_rng(2)
    ids_BT = rng.integers(0, CONFIG.vocab_size, (8, 21))
    positions_BT = np.broadcast_to(np.arange(21), ids_BT.shape)
    logits_BTV = jax.jit(Decoder.__call__)(model, ids_BT, positions_BT, np.ones_like(ids_BT))
    log_probs_BTV = np.asarray(jax.nn.log_softmax(logits_BTV, axis=-1))
    queries, expected = [], []
    places_B2 = np.sort(rng.permuted(np.tile(np.arange(1, 22), (8, 1)), axis=1)[:, :2])
    for row, (cut, end) in enumerate(places_B2):
        ids = tuple(ids_BT[row].tolist())
        queries.append(Query(ids[:cut], ids[cut:end]))
        expected.append(-log_probs_BTV[row, np.arange(cut - 1, end - 1), ids_BT[row, cut:end]])
    for batch_size, longest in ((3, 20), (8, 40)):
        answers = score(model, queries, batch_size, longest)
        for nats, answer in zip(expected, answers, strict=True):
            np.testing.assert_allclose(answer.nats, nats, rtol=2e-5, atol=2e-5)


def test_likeliest_is_what_greedy_decoding_writes(model):
    rng = np.random.default_rng(6)
    prompts = [tuple(rng.integers(0, CONFIG.vocab_size, 6).tolist()) for _ in range(16)]
    engine = Engine(model, capacity=16)
    stop = engine.complete([Request(prompts[0], 8)])[0][0].tokens[4]
    requests = [Request(prompt, 8, stop_ids=frozenset({stop})) for prompt in prompts]
    ended = [sample.tokens for [sample] in engine.complete(requests)]
    right = [Query(prompt, (*answer, stop)) for prompt, answer in zip(prompts, ended, strict=True)]
    wrong = [Query(query.prompt, (*query.target[:-1], (stop + 1) % 32)) for query in right]
    exact = [bool(answer.likeliest.all()) for answer in score(model, right + wrong, 8, 40)]
    assert exact[:16] == [len(answer) < 8 for answer in ended]
    assert any(exact[:16]) and not any(exact[16:])


def test_only_two_shapes_are_compiled():
    shapes = set()

    class Spy(Bigram):
        def __call__(self, tokens_BT, positions_BT, segment_ids_BT):
            shapes.add(tokens_BT.shape)
            return super().__call__(tokens_BT, positions_BT, segment_ids_BT)

    score(Spy(np.ones((9, 9))), random_queries(4, 60, 9, 17), 8, 17)
    assert shapes == {(8, 9), (8, 17)}


def test_a_query_longer_than_the_model_has_seen_is_refused():
    with pytest.raises(
        QueryError, match="5 positions .* data.sequence_length=4: .* eval.context_tokens"
    ):
        score(Bigram(np.ones((3, 3))), [Query((0, 1), (2, 0, 1, 2))], 2, 4)


def test_nothing_to_score():
    assert score(Bigram(np.ones((3, 3))), [], 2, 4) == []
