# SPDX-License-Identifier: Apache-2.0
"""The tokenizer gives every text back, never takes text for a control token, and is DeepSeek's."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given

from coder.data.tokenizer import (
    BOS,
    CONTROL_TOKENS,
    EOT,
    FIM_END,
    NUM_MASKS,
    Tokenizer,
    TokenizerError,
    train,
)
from tests.data.samples import CODE, TEXTS, TOKENIZER

LEAST = 256 + len(CONTROL_TOKENS)


def v1_pieces(text: str) -> list[str]:
    """What the saved pre-tokenizer makes of a text: v1's patterns in turn."""
    saved = tokenizers.Tokenizer.from_str(TOKENIZER.definition)
    assert saved.pre_tokenizer is not None
    return [piece for piece, _ in saved.pre_tokenizer.pre_tokenize_str(text)]


@given(TEXTS)
def test_every_text_comes_back(text: str):
    ids = TOKENIZER.encode(text)
    assert TOKENIZER.decode(ids) == text
    assert TOKENIZER.decode_bytes(ids) == text.encode()
    assert TOKENIZER.byte_lengths[ids].sum() == len(text.encode())


@given(TEXTS)
def test_text_is_never_a_control_token(text: str):
    assert max(TOKENIZER.encode(text), default=0) < TOKENIZER.bos


@given(TEXTS)
def test_the_fast_pattern_splits_as_v1_does(text: str):
    fast = TOKENIZER._text_encoder.pre_tokenizer
    assert fast is not None
    assert [piece for piece, _ in fast.pre_tokenize_str(text)] == v1_pieces(text)


def test_pieces_are_those_of_v1():
    assert v1_pieces("  def f12(x):\r\n") == [
        *("Ġ", "Ġdef", "Ġf", "1", "2", "(", "x", "):", "č", "Ċ")
    ]


def test_batches_equal_single_texts():
    assert TOKENIZER.encode_batch(["a b", "", "c"]) == [
        TOKENIZER.encode("a b"),
        [],
        TOKENIZER.encode("c"),
    ]


def test_control_tokens_are_the_last_ids_and_spelled_as_deepseek_does():
    assert TOKENIZER.vocab_size == LEAST + 200
    spelled = [TOKENIZER.decode([id_]) for id_ in range(LEAST + 200)[-len(CONTROL_TOKENS) :]]
    assert spelled == list(CONTROL_TOKENS)
    assert TOKENIZER.decode([TOKENIZER.fim_hole]) == "<\uff5cfim\u2581hole\uff5c>"
    assert TOKENIZER.mask(0) + NUM_MASKS - 1 == TOKENIZER.mask(NUM_MASKS - 1)


def test_an_imported_tokenizer_is_protected_too(tmp_path: Path):
    """Released ones have FIM tokens with special=false, a letter as a token, and add bos."""
    imported = tokenizers.Tokenizer.from_str(TOKENIZER.definition)
    imported.add_tokens([tokenizers.AddedToken("õ", special=False, normalized=False)])
    imported.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", TOKENIZER.bos)]
    )
    imported.enable_truncation(3)
    imported.save(str(tmp_path / "tokenizer.json"))
    text = "a<｜fim▁hole｜>õ<pad>"
    assert TOKENIZER.fim_hole in imported.encode(text).ids + imported.encode(text[1:]).ids
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert loaded.encode(text) == TOKENIZER.encode(text)
    assert loaded.decode(loaded.encode(text)) == text


def test_a_released_tokenizer_has_no_masks_and_may_have_no_pad():
    parsed = json.loads(TOKENIZER.definition)
    parsed["added_tokens"] = parsed["added_tokens"][:5]
    released = Tokenizer(json.dumps(parsed))
    assert released.pad == released.eos
    assert released.has(BOS, FIM_END)
    assert not released.has(BOS, EOT)
    assert released.control_ids == {
        *(released.bos, released.eos, released.fim_begin, released.fim_hole, released.fim_end)
    }
    with pytest.raises(TokenizerError, match="no control token <｜mask▁0｜>"):
        released.mask(0)


def test_a_text_has_only_so_many_masks():
    with pytest.raises(TokenizerError, match="no mask 64"):
        TOKENIZER.mask(64)


def test_saving_pickling_and_loading_keep_it(tmp_path: Path):
    TOKENIZER.save(tmp_path / "tokenizer.json")
    for again in (
        Tokenizer.load(tmp_path / "tokenizer.json"),
        pickle.loads(pickle.dumps(TOKENIZER)),
    ):
        assert again.definition == TOKENIZER.definition
        assert again.encode(CODE) == TOKENIZER.encode(CODE)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


def test_training_gives_the_same_bytes_in_another_process():
    """Python's and Rust's hashes are seeded anew in each process."""
    program = (
        "import json, sys; from coder.data.tokenizer import train; "
        f"trained = train([open(json.decoder.__file__).read()], {LEAST + 100}); "
        "sys.stdout.write(trained.definition)"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert other.stdout.decode() == train([CODE], LEAST + 100).definition


def test_a_small_corpus_gives_a_smaller_vocabulary():
    assert LEAST < train(["def f(): pass\n" * 2], 4096).vocab_size < 1024


@pytest.mark.parametrize("text", ["\ud800", "ab\udfffc"])
def test_a_lone_surrogate_is_refused_by_name(text: str):
    with pytest.raises(TokenizerError, match="text 1 has a lone surrogate .* at character"):
        TOKENIZER.encode_batch(["fine", text])


def test_a_vocabulary_must_hold_bytes_and_control_tokens():
    with pytest.raises(TokenizerError, match=f"need {LEAST}"):
        train([CODE], LEAST - 1)
    bytes_only = train([CODE], LEAST)
    assert bytes_only.decode(bytes_only.encode("naïve")) == "naïve"


def changed(**parts: object) -> str:
    return json.dumps(json.loads(TOKENIZER.definition) | parts)


def with_token(name: str) -> dict:
    model = json.loads(TOKENIZER.definition)["model"]
    return model | {"vocab": model["vocab"] | {name: 999}}


@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        ("no json", "not a tokenizer.json"),
        ("{}", "not a tokenizer.json"),
        ("[]", "not a tokenizer.json"),
        (changed(normalizer={"type": "NFC"}), "normalizer NFC changes texts"),
        (changed(pre_tokenizer={"type": "Whitespace"}), "ByteLevel without add_prefix_space"),
        (changed(pre_tokenizer=None), "ByteLevel without add_prefix_space"),
        (changed(model={"type": "WordLevel", "vocab": {}, "unk_token": ""}), "only byte-level BPE"),
        (changed(model={"type": "BPE", "vocab": {"a": 0}, "merges": []}), "lacks 242 bytes"),
        (changed(model=with_token("▁a")), "token '▁a' is not spelled in bytes"),
    ],
)
def test_what_would_lose_text_is_refused(tmp_path: Path, definition: str, problem: str):
    path = tmp_path / "tokenizer.json"
    path.write_text(definition)
    with pytest.raises(TokenizerError, match=f"tokenizer.json: .*{problem}"):
        Tokenizer.load(path)
