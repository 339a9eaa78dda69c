# SPDX-License-Identifier: Apache-2.0
"""The engine against the full forward pass, and each sample against itself in other company."""

import dataclasses
import logging
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from coder.config import MlaConfig, ModelConfig, MoeConfig
from coder.infer import engine, slots
from coder.infer.engine import Engine, Request, Sample, Sampling
from coder.model.transformer import Decoder
from tests.infer.small_models import TOKENIZER, write_run
from tests.model.drawn import drawn_decoder

VOCAB, CAPACITY = 50, 64
LLAMA = ModelConfig(
    vocab_size=VOCAB,
    d_model=16,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
    d_ff=24,
    init_std=0.4,
)
V2 = dataclasses.replace(
    LLAMA,
    mla=MlaConfig(kv_lora_rank=8, qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=8),
    moe=MoeConfig(num_experts=4, num_shared_experts=1, experts_per_token=2, d_expert=8),
)
MODELS = {"llama": drawn_decoder(LLAMA), "v2": drawn_decoder(V2)}

_forward = jax.jit(Decoder.__call__)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Decoder:
    return MODELS[request.param]


@pytest.fixture(autouse=True)
def few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short texts are enough to need another part of the cache."""
    monkeypatch.setattr(engine, "_FEWEST_PLACES", 32)


def make(model: Decoder, **settings: int) -> Engine:
    return Engine(model, **({"slots": 3, "capacity": CAPACITY, "chunk": 8} | settings))


def full_logits(model: Decoder, tokens: Sequence[int]) -> np.ndarray:
    """Logits [T, V] of the token after each of `tokens`, all read at once."""
    row = jnp.zeros((1, CAPACITY), jnp.int32).at[0, : len(tokens)].set(jnp.asarray(tokens))
    seen = jnp.ones((1, CAPACITY), jnp.int32)
    return np.asarray(_forward(model, row, jnp.arange(CAPACITY)[None], seen)[0, : len(tokens)])


def over_at(token: int, after: int) -> Callable[[Sequence[int]], int | None]:
    """Over with the first `token` that has `after` tokens before it."""

    def is_over(tokens: Sequence[int]) -> int | None:
        found = [at + 1 for at in range(after, len(tokens)) if tokens[at] == token]
        return found[0] if found else None

    return is_over


def random_requests(seed: int, count: int, longest: int = CAPACITY) -> list[Request]:
    """Requests of every kind; a prompt may have half of the tokens."""
    rng = np.random.default_rng(seed)

    def one() -> Request:
        return Request(
            rng.integers(0, VOCAB, rng.integers(1, longest // 2 + 1)).tolist(),
            max_new_tokens=int(rng.integers(1, longest // 2 + 1)),
            sampling=Sampling(
                float(rng.choice([0.0, 0.7, 1.0])), float(rng.choice([0.8, 1.0])), int(seed)
            ),
            stop_ids=frozenset(rng.integers(0, VOCAB, rng.integers(0, 4)).tolist()),
            samples=int(rng.choice([1, 1, 2, 5])),
            is_over=over_at(int(rng.integers(0, VOCAB)), 2) if rng.random() < 0.5 else None,
        )

    return [one() for _ in range(count)]


def assert_same(found: list[Sample], expected: list[Sample]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one.tokens, one.finish) == (other.tokens, other.finish)
        np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-4)


def test_greedy_is_the_argmax_of_the_full_forward_pass(model):
    prompts = [[1, 2, 3], [7] * 16, [4, 9], [5] * 17, list(range(32))]
    for prompt, [sample] in zip(
        prompts, make(model).complete([Request(prompt, 24) for prompt in prompts]), strict=True
    ):
        logits = full_logits(model, [*prompt, *sample.tokens])[len(prompt) - 1 : -1]
        assert sample.tokens == logits.argmax(-1).tolist()
        assert (len(sample.tokens), sample.finish) == (24, "length")


def test_log_probabilities_are_those_of_the_full_forward_pass(model):
    for request, samples in zip(
        requests := random_requests(1, 6), make(model).complete(requests), strict=True
    ):
        for sample in samples:
            logits = full_logits(model, [*request.prompt, *sample.tokens])
            log_probs = np.asarray(jax.nn.log_softmax(logits))[len(request.prompt) - 1 : -1]
            expected = np.take_along_axis(log_probs, np.array(sample.tokens, int)[:, None], axis=-1)
            np.testing.assert_allclose(sample.log_probs, expected[:, 0], atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_a_sample_is_the_same_in_any_company(model, seed):
    requests = random_requests(seed, 8)
    one_engine = make(model)
    alone = [one_engine.complete([request])[0] for request in requests]
    for found, expected in zip(one_engine.complete(requests), alone, strict=True):
        assert_same(found, expected)
    order = np.random.default_rng(seed).permutation(len(requests))
    for number, found in zip(
        order, one_engine.complete([requests[number] for number in order]), strict=True
    ):
        assert_same(found, alone[number])


def test_a_sample_is_the_same_with_other_slots_and_chunks():
    model, requests = MODELS["v2"], random_requests(5, 6, longest=32)
    expected = make(model).complete(requests)
    for found, samples in zip(
        make(model, slots=1, chunk=3).complete(requests), expected, strict=True
    ):
        assert_same(found, samples)


def test_a_prompt_is_read_once_for_all_its_samples(monkeypatch):
    reads, read = [], slots.read
    monkeypatch.setattr(slots, "read", lambda *of: reads.append(of) or read(*of))
    request = Request([3, 1, 4], 9, Sampling(1.0, seed=2), samples=7)
    [samples, other] = make(MODELS["llama"]).complete([request, Request([9], 4)])
    assert len(reads) == 2
    assert len({tuple(sample.tokens) for sample in samples}) == 7
    # A sample depends on its number, not on how many there are.
    assert_same(
        make(MODELS["llama"]).complete([dataclasses.replace(request, samples=2)])[0], samples[:2]
    )
    assert len(other) == 1


def test_what_ends_a_sample_ends_no_other():
    model = MODELS["llama"]
    requests = [Request([number], 20, Sampling(1.0, seed=number)) for number in range(6)]
    whole = make(model).complete(requests)
    for number, [sample] in enumerate(whole):
        tokens = sample.tokens
        stop, cut = tokens[7], tokens.index(tokens[7])
        ended = {
            "stop_ids": Sample(tokens[:cut], sample.log_probs[:cut], "stop"),
            "is_over": Sample(tokens[: cut + 1], sample.log_probs[: cut + 1], "stop"),
        }
        for name, how in (("stop_ids", frozenset({stop})), ("is_over", over_at(stop, 0))):
            changed = [dataclasses.replace(each) for each in requests]
            changed[number] = dataclasses.replace(requests[number], **{name: how})
            for other, found in enumerate(make(model).complete(changed)):
                assert_same(found, [ended[name]] if other == number else whole[other])


def test_pieces_make_up_the_samples_and_the_first_is_one_token():
    requests = [*random_requests(7, 5), Request([3], 20)]
    one_engine = make(MODELS["llama"])
    pieces = list(one_engine.stream(requests))
    assert len(pieces[0].tokens) == 1
    for number, samples in enumerate(one_engine.complete(requests)):
        for which, sample in enumerate(samples):
            mine = [piece for piece in pieces if (piece.request, piece.sample) == (number, which)]
            assert sum((piece.tokens for piece in mine), []) == sample.tokens
            assert sum((piece.log_probs for piece in mine), []) == sample.log_probs
            assert [piece.finish for piece in mine] == [None] * (len(mine) - 1) + [sample.finish]


def test_a_reader_that_leaves_early_leaves_nothing_behind():
    requests, one_engine = random_requests(8, 6), make(MODELS["llama"])
    expected = one_engine.complete(requests)
    for count in (1, 4, 9):
        pieces = one_engine.stream([Request([1], 60, Sampling(1.0), samples=5)])
        for _ in range(count):
            next(pieces)
        del pieces
        assert one_engine.complete(requests) == expected


def test_two_streams_of_one_engine_do_not_meet():
    requests, one_engine = random_requests(9, 4), make(MODELS["llama"])
    expected = list(one_engine.stream(requests))
    first, second = one_engine.stream(requests), one_engine.stream(requests[::-1])
    found = [piece for piece, _ in zip(first, second, strict=False)]
    assert [*found, *first][: len(expected)] == expected[: len(found)] + expected[len(found) :]


def test_an_engine_outlives_an_error_of_its_reader():
    def fails(tokens: Sequence[int]) -> int | None:
        raise RuntimeError(f"at {len(tokens)}")

    requests, one_engine = random_requests(10, 3), make(MODELS["llama"])
    expected = one_engine.complete(requests)
    with pytest.raises(RuntimeError, match="at 1"):
        one_engine.complete([*requests, Request([1], 5, is_over=fails)])
    assert one_engine.complete(requests) == expected


def test_logits_that_are_not_finite_are_an_error_and_spoil_no_later_sample():
    model = drawn_decoder(LLAMA)
    model.embedding_VD[...] = model.embedding_VD[...].at[7].set(jnp.nan)
    one_engine = make(model)
    with pytest.raises(FloatingPointError, match="request 1: after 0 tokens .* not finite"):
        one_engine.complete([Request([1], 5, stop_ids=frozenset({7})), Request([7] * 9, 5)])
    sound = Request([1, 2], 5, stop_ids=frozenset({7}))
    assert one_engine.complete([sound] * 4) == make(MODELS["llama"]).complete([sound] * 4)


def test_lengths_of_one_bucket_compile_once(caplog):
    def compiled(prompts: list[list[int]], new: int, **settings: int) -> list[str]:
        requests = [
            Request(prompt, new, Sampling(0.5, 0.9), frozenset({len(prompt)}), 2)
            for prompt in prompts
        ]
        caplog.clear()
        with jax.log_compiles(), caplog.at_level(logging.WARNING):
            make(MODELS["llama"], **settings).complete(requests)
        return [line for line in caplog.messages if line.startswith("Compiling")]

    assert compiled([[1]], 1, capacity=CAPACITY + 1)
    compiled([[1] * 3, [2] * 16], 9)
    assert not compiled([[3] * 11, [1], [2] * 5, [8]], 12)


def test_a_text_may_fill_the_capacity():
    [[sample]] = make(MODELS["llama"]).complete([Request([1] * 40, CAPACITY - 40)])
    assert len(sample.tokens) == CAPACITY - 40


def test_nothing_asked_is_nothing_answered():
    assert make(MODELS["llama"]).complete([]) == []
    assert list(make(MODELS["llama"]).stream([])) == []


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request([], 5), "request 1: the prompt is empty"),
        (Request([VOCAB], 5), r"request 1: the prompt has tokens outside of \[0, 50\)"),
        (Request([-1], 5), "request 1: the prompt has tokens outside"),
        (Request([1], 5, stop_ids=frozenset({50})), r"request 1: stop_ids \[50\] are outside"),
        (Request([1], 0), "request 1: max_new_tokens=0: must be at least 1"),
        (Request([1], 5, samples=0), "request 1: samples=0: must be at least 1"),
        (
            Request([1] * 60, 5),
            "request 1: 60 tokens of prompt and max_new_tokens=5 exceed the capacity of 64",
        ),
    ],
)
def test_requests_that_cannot_be_answered_are_refused_at_once(request_, message):
    for ask in (make(MODELS["llama"]).complete, make(MODELS["llama"]).stream):
        with pytest.raises(ValueError, match=message):
            ask([Request([1], 5), request_])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prompt": [1.5]}, r"the prompt must be one list of token numbers, .* not \[1.5\]"),
        ({"prompt": "ab"}, "the prompt must be one list of token numbers, .* not 'ab'"),
        ({"prompt": [[1, 2]]}, "the prompt must be one list"),
        ({"prompt": [[1], [1, 2]]}, "the prompt must be one list"),
        ({"stop_ids": {1.5}}, r"stop_ids \[1.5\] are outside"),
        ({"max_new_tokens": 2.5}, "max_new_tokens=2.5: must be a whole number"),
    ],
)
def test_values_of_another_type_are_refused(wrong: dict[str, Any], message: str):
    request = Request(**{"prompt": [1], "max_new_tokens": 2, **wrong})
    with pytest.raises(ValueError, match=f"request 0: {message}"):
        make(MODELS["llama"]).complete([request])


@pytest.mark.parametrize("name", ["slots", "capacity", "chunk"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}=0: must be at least 1"):
        make(MODELS["llama"], **{name: 0})


def test_the_example_for_people_runs(tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[2] / "docs" / "generation.md").read_text("utf-8")
    example = page.split("\n\n    ", 1)[1].split("\n\n`stream`")[0]
    (tmp_path / "runs").mkdir()
    write_run(tmp_path / "runs" / "mine", vocab_size=TOKENIZER.vocab_size)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(textwrap.dedent("    " + example), names)
    written = capsys.readouterr().out
    assert written.count("def add(a, b):") >= 4 and written.count("class Stack:") >= 4
    again = page.split("computed again:\n\n")[1].split("\n\n")[0]
    exec(textwrap.dedent(again), names)
    np.testing.assert_allclose(names["again"], names["sample"].log_probs, atol=1e-4)
