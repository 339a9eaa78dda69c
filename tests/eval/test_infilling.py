# SPDX-License-Identifier: Apache-2.0
"""The columns of eval.json, against a bigram model whose every likelihood is known."""

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest

from coder.config import DataConfig, EvalConfig, RunConfig
from coder.data import tokenizer
from coder.eval.holes import Hole, Items, Source, Window
from coder.eval.infilling import bits_per_byte, evaluate, summary
from tests.eval.bigram import Bigram

TOKENIZER = tokenizer.train([], 256 + len(tokenizer.CONTROL_TOKENS))
"""One token for each byte."""
VOCAB = TOKENIZER.vocab_size


def make_window(text: str) -> Window:
    return Window(Source("repo", "a.py", text), 0, text, tuple(TOKENIZER.encode(text)))


def make_hole(prefix: str, middle: str, suffix: str) -> Hole:
    ids = (tuple(TOKENIZER.encode(part)) for part in (prefix, middle, suffix))
    return Hole("repo", f"a.py@{len(prefix)}", middle, *ids)


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
DATA = {
    "psm": DataConfig(sequence_length=40),
    "spm": DataConfig(sequence_length=40, fim_rate=1.0, fim_format="spm"),
    "msp": DataConfig(sequence_length=40, objective="msp"),
    None: DataConfig(sequence_length=40, fim_rate=0.0),
}


def run_config(form: str | None = "psm") -> RunConfig:
    return RunConfig(data=DATA[form], eval=EvalConfig(batch_size=3))


def random_probs(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(VOCAB), VOCAB)


def chain(probs_VV: np.ndarray, before: int, ids: Sequence[int]) -> list[float]:
    return [-math.log(probs_VV[a, b]) for a, b in zip([before, *ids], ids, strict=False)]


def test_left_to_right_counts_the_text_alone_in_both_frames():
    probs_VV = random_probs(0)
    columns = evaluate(Bigram(probs_VV), TOKENIZER, run_config(), ITEMS)["left_to_right"]
    assert columns["bytes"] == [9, 11]
    for row, window in enumerate(ITEMS.left_to_right):
        plain = sum(chain(probs_VV, TOKENIZER.bos, window.ids))
        framed = sum(chain(probs_VV, TOKENIZER.fim_end, window.ids))
        assert columns["nats"][row] == pytest.approx(plain, rel=1e-5)
        assert columns["nats_empty_psm"][row] == pytest.approx(framed, rel=1e-5)


@pytest.mark.parametrize("form", ["psm", "spm", "msp"])
def test_infilling_scores_the_middle_alone(form):
    probs_VV = random_probs(1)
    columns = evaluate(Bigram(probs_VV), TOKENIZER, run_config(form), ITEMS)["span"]
    assert columns["tokens"] == [1, 2, 3, 2] and columns["bytes"] == [1, 2, 3, 2]
    for row, hole in enumerate(ITEMS.span):
        prefix_end = [TOKENIZER.bos, *hole.prefix_ids][-1]
        before = {
            "psm": TOKENIZER.fim_end,
            "spm": [TOKENIZER.fim_end, *hole.prefix_ids][-1],
            "msp": TOKENIZER.mask(0),
        }
        infill = chain(probs_VV, before[form], hole.middle_ids)
        prefix_only = chain(probs_VV, prefix_end, hole.middle_ids)
        assert columns["nats_infill"][row] == pytest.approx(sum(infill), rel=1e-5)
        assert columns["first_token_nats"][row] == pytest.approx(infill[0], rel=1e-5)
        assert columns["nats_prefix"][row] == pytest.approx(sum(prefix_only), rel=1e-5)


def test_exact_needs_every_token_and_the_end():
    counts_VV = np.ones((VOCAB, VOCAB))
    a, b, c, d = TOKENIZER.encode("abcd")
    for before, after in ((TOKENIZER.fim_end, a), (a, b), (b, TOKENIZER.eos), (c, d), (d, a)):
        counts_VV[before, after] = 1000
    columns = evaluate(Bigram(counts_VV), TOKENIZER, run_config(), ITEMS)["span"]
    # b: wrong first token; ab: right and ended; abc: should have ended; cd: wrong first token
    assert columns["exact"] == [0, 1, 0, 0]


@pytest.mark.parametrize("form", ["psm", "spm", "msp", None])
def test_columns_a_run_was_not_trained_for_are_null(form):
    columns = evaluate(Bigram(random_probs(2)), TOKENIZER, run_config(form), ITEMS)
    assert (columns["left_to_right"]["nats_empty_psm"] is None) == (form in ("msp", None))
    for kind in ("single_line", "span"):
        assert len(columns[kind]["nats_prefix"]) == len(columns[kind]["bytes"])
        for name in ("nats_infill", "exact", "first_token_nats"):
            assert (columns[kind][name] is None) == (form is None)


def test_uniform_model_needs_log2_of_the_vocabulary_per_byte():
    columns = evaluate(Bigram(np.ones((VOCAB, VOCAB))), TOKENIZER, run_config(), ITEMS)
    for kind, names in {
        "left_to_right": ("nats", "nats_empty_psm"),
        "span": ("nats_infill", "nats_prefix"),
    }.items():
        for name in names:
            found = bits_per_byte(columns[kind][name], columns[kind]["bytes"])
            assert found == pytest.approx(math.log2(VOCAB), rel=1e-5)


def test_columns_are_json_and_their_summary_has_a_line_each():
    columns = evaluate(Bigram(random_probs(3)), TOKENIZER, run_config(None), ITEMS)
    assert json.loads(json.dumps(columns)) == columns
    lines = summary(columns).splitlines()
    assert len(lines) == 1 + 2 + 2 * 3
    assert "-  bits per byte" in next(line for line in lines if "span nats_infill" in line)


def test_no_items_give_an_empty_table():
    columns = evaluate(Bigram(random_probs(4)), TOKENIZER, run_config(), Items([], [], []))
    assert columns["span"]["nats_infill"] == [] and "span" in summary(columns)
