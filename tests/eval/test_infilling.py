# SPDX-License-Identifier: Apache-2.0
"""The columns of eval.json, against a bigram model whose every likelihood is known."""

import json
import math

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from coder.config import DataConfig, EvalConfig, RunConfig
from coder.eval.holes import Hole, Items, Source, Window
from coder.eval.infilling import bits_per_byte, evaluate, summary, trained_format


class ByteTokenizer:
    """A token a byte, and the sentinels after them."""

    bos, eos, fim_begin, fim_hole, fim_end = range(256, 261)
    vocab_size = 265

    def mask(self, number: int) -> int:
        return 261 + number


TOKENIZER = ByteTokenizer()
VOCAB = TOKENIZER.vocab_size


class Bigram(nnx.Module):
    """p(next | token) from a table of log probabilities."""

    def __init__(self, log_probs_VV: np.ndarray):
        self.log_probs_VV = nnx.Param(jnp.asarray(log_probs_VV, jnp.float32))

    def __call__(self, tokens_BT, positions_BT, segment_ids_BT):
        return self.log_probs_VV[...][tokens_BT]


def random_log_probs(seed: int) -> np.ndarray:
    probs_VV = np.random.default_rng(seed).dirichlet(np.ones(VOCAB), VOCAB)
    return np.log(probs_VV)


def make_window(text: str) -> Window:
    return Window(Source("repo", "a.py", text), 0, text, tuple(text.encode()))


def make_hole(prefix: str, middle: str, suffix: str) -> Hole:
    return Hole(
        "repo",
        f"a.py@{len(prefix)}",
        middle,
        *(tuple(part.encode()) for part in (prefix, middle, suffix)),
    )


ITEMS = Items(
    left_to_right=[make_window("def f():\n"), make_window("größe = 1")],
    single_line=[make_hole("x = 1\n", "y = x\n", "z"), make_hole("\n", "# 数\n", "pass\n")],
    span=[
        make_hole("a", "b", "c"),
        make_hole("", "ab", ""),
        make_hole("", "abc", "d"),
        make_hole("ab", "cd", ""),
    ],
)


def run_config(objective="causal", rate=0.5, form="psm") -> RunConfig:
    data = DataConfig(objective=objective, fim_rate=rate, fim_format=form, sequence_length=40)
    return RunConfig(data=data, eval=EvalConfig(batch_size=3))


def chain(log_probs_VV: np.ndarray, before: int, ids: list[int] | tuple[int, ...]) -> list[float]:
    return [-log_probs_VV[a, b] for a, b in zip([before, *ids], ids, strict=False)]


def test_left_to_right_counts_the_text_alone_in_both_frames():
    log_probs_VV = random_log_probs(0)
    columns = evaluate(Bigram(log_probs_VV), TOKENIZER, run_config(), ITEMS)["left_to_right"]
    assert columns["bytes"] == [9, 11]
    for row, window in enumerate(ITEMS.left_to_right):
        plain = sum(chain(log_probs_VV, TOKENIZER.bos, window.ids))
        framed = sum(chain(log_probs_VV, TOKENIZER.fim_end, window.ids))
        assert columns["nats"][row] == pytest.approx(plain, rel=1e-5)
        assert columns["nats_empty_psm"][row] == pytest.approx(framed, rel=1e-5)


@pytest.mark.parametrize("form", ["psm", "spm"])
def test_infilling_scores_the_middle_alone(form):
    log_probs_VV = random_log_probs(1)
    columns = evaluate(Bigram(log_probs_VV), TOKENIZER, run_config(form=form), ITEMS)["span"]
    assert columns["tokens"] == [1, 2, 3, 2] and columns["bytes"] == [1, 2, 3, 2]
    for row, hole in enumerate(ITEMS.span):
        after_prefix = hole.prefix_ids[-1] if hole.prefix_ids else None
        before_plain = after_prefix or TOKENIZER.bos
        before_infill = (form == "spm" and after_prefix) or TOKENIZER.fim_end
        infill = chain(log_probs_VV, before_infill, hole.middle_ids)
        assert columns["nats_prefix"][row] == pytest.approx(
            sum(chain(log_probs_VV, before_plain, hole.middle_ids)), rel=1e-5
        )
        assert columns["nats_infill"][row] == pytest.approx(sum(infill), rel=1e-5)
        assert columns["first_token_nats"][row] == pytest.approx(infill[0], rel=1e-5)


def test_exact_needs_every_token_and_the_end():
    counts_VV = np.ones((VOCAB, VOCAB))
    a, b, c, d = b"abcd"
    for before, after in ((TOKENIZER.fim_end, a), (a, b), (b, TOKENIZER.eos), (c, d), (d, a)):
        counts_VV[before, after] = 1000
    model = Bigram(np.log(counts_VV / counts_VV.sum(-1, keepdims=True)))
    columns = evaluate(model, TOKENIZER, run_config(), ITEMS)["span"]
    # b: wrong first token; ab: right and ended; abc: went on; cd: wrong first token
    assert columns["exact"] == [0, 1, 0, 0]


def test_a_run_without_infilling_has_no_infilling_columns():
    columns = evaluate(Bigram(random_log_probs(2)), TOKENIZER, run_config(rate=0.0), ITEMS)
    assert columns["left_to_right"]["nats_empty_psm"] is None
    for kind in ("single_line", "span"):
        assert len(columns[kind]["nats_prefix"]) == len(columns[kind]["bytes"])
        assert {columns[kind][name] for name in ("nats_infill", "exact", "first_token_nats")} == {
            None
        }


def test_trained_format():
    assert trained_format(DataConfig(fim_rate=0.0)) is None
    assert trained_format(DataConfig(objective="msp", fim_rate=0.0)) is None
    assert trained_format(DataConfig(objective="msp")) == "msp"
    assert trained_format(DataConfig(fim_format="spm")) == "spm"


def test_uniform_model_needs_log2_of_the_vocabulary_per_byte():
    uniform = Bigram(np.zeros((VOCAB, VOCAB)))
    columns = evaluate(uniform, TOKENIZER, run_config(), ITEMS)
    for kind, names in {
        "left_to_right": ("nats", "nats_empty_psm"),
        "span": ("nats_infill", "nats_prefix"),
    }.items():
        for name in names:
            found = bits_per_byte(columns[kind][name], columns[kind]["bytes"])
            assert found == pytest.approx(math.log2(VOCAB), rel=1e-5)


def test_columns_are_json_and_their_summary_has_a_line_each():
    columns = evaluate(Bigram(random_log_probs(3)), TOKENIZER, run_config(rate=0.0), ITEMS)
    assert json.loads(json.dumps(columns)) == columns
    lines = summary(columns).splitlines()
    assert len(lines) == 1 + 2 + 2 * 3
    assert "-  bits per byte" in next(line for line in lines if "span nats_infill" in line)


def test_no_items_give_an_empty_table():
    columns = evaluate(Bigram(random_log_probs(4)), TOKENIZER, run_config(), Items([], [], []))
    assert columns["span"]["nats_infill"] == [] and "span" in summary(columns)
