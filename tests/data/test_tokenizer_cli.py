# SPDX-License-Identifier: Apache-2.0
"""`python -m coder tokenizer`: learns from a sample of the training split alone."""

from pathlib import Path

import pytest

from coder.data import tokenizer_cli
from coder.data.tokenizer import Tokenizer
from tests.data.samples import CODE, document, write_corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    files = [document(f"r{n}", *CODE.split("\n\n")[n::10]) for n in range(10)]
    held_out = document("secret", "zyxwvut = 1\n" * 100, split="held_out")
    return write_corpus(tmp_path / "corpus", [*files, held_out])


def run(corpus: Path, output: Path, *more: str) -> Tokenizer:
    flags = ["--documents", str(corpus), "--output", str(output), "--vocab-size", "450", *more]
    tokenizer_cli.main(flags)
    return Tokenizer.load(output)


def test_it_learns_words_of_the_training_split_only(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    learned = run(corpus, tmp_path / "new" / "tokenizer.json")
    assert learned.vocab_size == 450
    assert len(learned.encode("return")) < 6
    assert len(learned.encode("zyxwvut")) == 7
    assert "450 tokens, learned on" in capsys.readouterr().out


def test_the_number_of_shards_and_of_runs_makes_no_difference(corpus: Path, tmp_path: Path):
    first = run(corpus, tmp_path / "a.json")
    assert run(corpus, tmp_path / "b.json").definition == first.definition


def test_about_max_bytes_are_read(corpus: Path):
    texts = list(tokenizer_cli.sample_texts(corpus, len(CODE) // 3))
    assert 0.15 < sum(map(len, texts)) / len(CODE) < 0.6
    assert set(texts) < set(tokenizer_cli.sample_texts(corpus, 10**9))


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--documents", "nowhere"], "nowhere is no finished output of beam_pipelines.corpus"),
        (["--vocab-size", "300"], "a vocabulary of 300 is too small"),
    ],
)
def test_what_cannot_be_done_is_said(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    problem: str,
):
    with pytest.raises(SystemExit) as exit_:
        run(corpus, tmp_path / "x.json", *flags)
    assert exit_.value.code == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()


def test_a_corrupt_shard_is_named(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    shard = corpus / "train-00000-of-00002.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(SystemExit):
        run(corpus, tmp_path / "x.json")
    assert "train-00000-of-00002.tfrecord: record" in capsys.readouterr().err
