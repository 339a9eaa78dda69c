# SPDX-License-Identifier: Apache-2.0
"""Byte-level BPE with DeepSeek-Coder v1's pre-tokenization and control tokens.

Text is never a control token: it is encoded by a copy of the tokenizer that knows none, so
`<｜fim▁hole｜>` in a source file becomes the tokens of its characters. The library's own switch,
`encode_special_tokens`, protects only tokens that are marked special, and the released FIM tokens
are not. Control tokens are ids, put in by the formats.
"""

import json
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers

BOS, EOS, PAD = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<pad>"
FIM_HOLE, FIM_BEGIN, FIM_END = "<｜fim▁hole｜>", "<｜fim▁begin｜>", "<｜fim▁end｜>"
NUM_MASKS = 64
"""Sentinels of masked spans; T5 has 100. At its 15 % in spans of 3, they serve 1,280 tokens."""
MASKS = tuple(f"<｜mask▁{number}｜>" for number in range(NUM_MASKS))
EOT = "<|EOT|>"
CHAT = ("<|User|>", "<|Assistant|>", EOT)
"""Of v1's chat format: their ids must exist when a model is pre-trained, to be fine-tuned later."""
CONTROL_TOKENS = (BOS, EOS, FIM_HOLE, FIM_BEGIN, FIM_END, PAD, *CHAT, *MASKS)
"""In the order of v1's ids 32013-32021, then the masks, which v1 does not have."""

_EAST = "\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff"
_V1_PATTERNS = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", f"[{_EAST}]+")
"""What v1 isolates, each pattern within the pieces of those before it; then come single digits."""
_V1_AT_ONCE = "|".join(
    [
        r"[\r\n]",
        *(
            rf"[\s&&[^{_EAST}]]?[\p{{{kind}}}&&[^{_EAST}]]+|[\s&&[{_EAST}]]?[\p{{{kind}}}&&[{_EAST}]]+"
            rf"|\s(?=\p{{{kind}}})"
            for kind in "LP"
        ),
        rf"(?:(?!\s?[\p{{L}}\p{{P}}])[{_EAST}])+",
    ]
)
"""The same pieces in one pass, which takes half the time."""
_MIN_FREQUENCY = 2


class TokenizerError(ValueError):
    """A tokenizer that cannot be trained, read or used as asked; the message says why."""


class Tokenizer:
    """A byte-level BPE: every text to ids and back, byte for byte."""

    def __init__(self, definition: str):
        """Reads a definition in the format of Hugging Face's `tokenizer.json`.

        Raises:
            TokenizerError: it is none, or its texts would not survive encoding and decoding.
        """
        self.definition = definition
        try:
            parsed = json.loads(definition)
            _check_lossless(parsed)
            self._text_encoder = tokenizers.Tokenizer.from_str(json.dumps(_without_control(parsed)))
            names = tokenizers.Tokenizer.from_str(definition).get_vocab(with_added_tokens=True)
        except TokenizerError:
            raise
        except (
            Exception
        ) as error:  # the library raises bare Exception for a definition it cannot read
            raise TokenizerError(f"not a tokenizer.json of byte-level BPE: {error}") from error
        self._ids = {token["content"]: token["id"] for token in parsed["added_tokens"]}
        self.vocab_size = max(names.values()) + 1
        """Ids are below this; control tokens included."""
        self._bytes_of_id = [b""] * self.vocab_size
        try:
            for name, id_ in names.items():
                self._bytes_of_id[id_] = name.encode() if name in self._ids else _token_bytes(name)
        except KeyError as error:
            raise TokenizerError(f"token {name!r} is not spelled in bytes: {error}") from None

    @classmethod
    def load(cls, path: Path | str) -> "Tokenizer":
        """Reads a `tokenizer.json`.

        Raises:
            OSError: the file cannot be read.
            TokenizerError: it holds no tokenizer that can be used; names the file.
        """
        try:
            return cls(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise TokenizerError(f"{path}: {error}") from error

    def save(self, path: Path | str) -> None:
        """Writes `tokenizer.json` for this class, transformers, vLLM and TGI; atomically."""
        temporary = Path(f"{os.fspath(path)}.tmp")
        temporary.write_text(self.definition, encoding="utf-8")
        temporary.replace(path)

    def encode(self, text: str) -> list[int]:
        """The ids of a text; none of them is a control token, whatever the text spells.

        Raises:
            TokenizerError: the text holds a lone surrogate, which no UTF-8 file can.
        """
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` for many texts, on all cores unless TOKENIZERS_PARALLELISM=false."""
        try:
            encoded = self._text_encoder.encode_batch_fast(list(texts), add_special_tokens=False)
        except TypeError as error:
            raise _explained(texts, error) from error
        return [encoding.ids for encoding in encoded]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; control tokens are spelled out, bytes that are no UTF-8 are U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of ids, which may be parts of characters; unknown ids are U+FFFD."""
        size, unknown = self.vocab_size, "\ufffd".encode()
        return b"".join(self._bytes_of_id[id_] if 0 <= id_ < size else unknown for id_ in ids)

    @cached_property
    def byte_lengths(self) -> np.ndarray:
        """Bytes of each id, int64 [vocab_size]."""
        return np.array([len(data) for data in self._bytes_of_id], np.int64)

    @property
    def bos(self) -> int:
        """Begins every sequence."""
        return self._control(BOS)

    @property
    def eos(self) -> int:
        """Ends a text, and the middle in infilling."""
        return self._control(EOS)

    @property
    def pad(self) -> int:
        """Fills what is left of a sequence; eos for a tokenizer that has no pad token."""
        return self._ids.get(PAD, self.eos)

    @property
    def fim_begin(self) -> int:
        """Stands before the prefix."""
        return self._control(FIM_BEGIN)

    @property
    def fim_hole(self) -> int:
        """Stands where the middle was."""
        return self._control(FIM_HOLE)

    @property
    def fim_end(self) -> int:
        """Stands after the suffix."""
        return self._control(FIM_END)

    @property
    def eot(self) -> int:
        """Ends a reply in v1's chat format."""
        return self._control(EOT)

    @property
    def control_ids(self) -> frozenset[int]:
        """All of them that there are. No text has one, so a text is over where one is written."""
        return frozenset(self._ids[name] for name in CONTROL_TOKENS if name in self._ids)

    def has(self, *names: str) -> bool:
        """Whether there are control tokens of these names."""
        return all(name in self._ids for name in names)

    def mask(self, number: int) -> int:
        """The sentinel of masked span `number`, from 0.

        Raises:
            TokenizerError: the tokenizer has no such sentinel; released ones have none at all.
        """
        if not 0 <= number < NUM_MASKS:
            raise TokenizerError(
                f"there is no mask {number}: a text can have {NUM_MASKS} masked spans"
            )
        return self._control(MASKS[number])

    def _control(self, name: str) -> int:
        try:
            return self._ids[name]
        except KeyError:
            raise TokenizerError(f"the tokenizer has no control token {name}") from None

    def __reduce__(self) -> tuple[type, tuple[str]]:
        """Pickles by definition, for worker processes."""
        return Tokenizer, (self.definition,)


def train(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Trains a tokenizer; the same texts give the same one.

    Args:
        texts: what merges are counted on.
        vocab_size: ids, the 256 bytes and the control tokens included. Fewer come out when the
            texts have no more pairs that occur twice.

    Raises:
        TokenizerError: `vocab_size` is too small for the bytes and the control tokens.
    """
    least = 256 + len(CONTROL_TOKENS)
    if vocab_size < least:
        raise TokenizerError(
            f"a vocabulary of {vocab_size} is too small: 256 bytes and "
            f"{len(CONTROL_TOKENS)} control tokens need {least}"
        )
    trained = tokenizers.Tokenizer(models.BPE())
    trained.pre_tokenizer = _pre_tokenizer(_V1_AT_ONCE)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(CONTROL_TOKENS),
        min_frequency=_MIN_FREQUENCY,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    trained.train_from_iterator(texts, trainer)
    trained.pre_tokenizer = _pre_tokenizer(*_V1_PATTERNS)
    # As in the release, only these three are `special`: skip_special_tokens leaves the FIM tokens
    # in place.
    trained.add_tokens(
        [
            AddedToken(name, special=name in (BOS, EOS, PAD), normalized=False)
            for name in CONTROL_TOKENS
        ]
    )
    return Tokenizer(trained.to_str(pretty=True))


def _pre_tokenizer(*patterns: str) -> pre_tokenizers.PreTokenizer:
    """Isolates what matches each pattern in turn, then digits; spells the rest as bytes."""
    return pre_tokenizers.Sequence(
        [
            *(pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _without_control(parsed: dict[str, Any]) -> dict[str, Any]:
    """The definition of the same tokenizer for plain text: nothing is looked for, added or cut off.

    A released tokenizer's other added tokens go as well: v1 has some that stand for bytes which
    UTF-8 does not use, but match letters like `õ`, and so garble them.
    """
    added = {token["content"] for token in parsed["added_tokens"]}
    model = parsed["model"]
    vocab = {name: id_ for name, id_ in model["vocab"].items() if name not in added}
    return parsed | {
        "added_tokens": [],
        "pre_tokenizer": _at_once(parsed["pre_tokenizer"]),
        "post_processor": None,
        "truncation": None,
        "padding": None,
        "model": model | {"vocab": vocab, "dropout": None},
    }


def _at_once(pre_tokenizer: dict[str, Any]) -> dict[str, Any]:
    """The faster equal of v1's pre-tokenizer; any other as it is."""
    steps = pre_tokenizer.get("pretokenizers", [])
    splits = [_split(pattern) for pattern in _V1_PATTERNS]
    if steps[: len(splits)] != splits:
        return pre_tokenizer
    return pre_tokenizer | {"pretokenizers": [_split(_V1_AT_ONCE), *steps[len(splits) :]]}


def _split(pattern: str) -> dict[str, Any]:
    """A step of a pre-tokenizer as `tokenizer.json` has it."""
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }


def _check_lossless(parsed: dict[str, Any]) -> None:
    """Raises TokenizerError if a part of the tokenizer could change or lose characters."""
    if parsed["model"]["type"] != "BPE":
        raise TokenizerError(f"model {parsed['model']['type']}: only byte-level BPE is supported")
    normalizer = parsed.get("normalizer")
    if normalizer and normalizer.get("normalizers") != []:
        raise TokenizerError(
            f"normalizer {normalizer['type']} changes texts before they are encoded"
        )
    pre_tokenizer = parsed["pre_tokenizer"] or {}
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    byte_level = [step for step in steps if step.get("type") == "ByteLevel"]
    if not byte_level or any(step["add_prefix_space"] for step in byte_level):
        raise TokenizerError("pre-tokenizer: ByteLevel without add_prefix_space is needed")
    missing = [
        byte for byte in _utf8_bytes() if _CHARACTER_OF_BYTE[byte] not in parsed["model"]["vocab"]
    ]
    if missing:
        raise TokenizerError(
            f"the vocabulary lacks {len(missing)} bytes, the first is 0x{missing[0]:02x}"
        )


def _utf8_bytes() -> list[int]:
    """The bytes that occur in UTF-8."""
    return [byte for byte in range(256) if byte not in (0xC0, 0xC1) and byte < 0xF5]


def _byte_characters() -> dict[int, str]:
    """How GPT-2 spells bytes: Latin-1's printable ones as themselves, others from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(0x100 + number) for number, byte in enumerate(others)
    }


_CHARACTER_OF_BYTE = _byte_characters()
_BYTE_OF_CHARACTER = {character: byte for byte, character in _CHARACTER_OF_BYTE.items()}


def _token_bytes(name: str) -> bytes:
    return bytes(_BYTE_OF_CHARACTER[character] for character in name)


def _explained(texts: Sequence[str], error: TypeError) -> Exception:
    """Why the library refused `texts`: it calls a str with a lone surrogate "not a str"."""
    for number, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as wrong:
            return TokenizerError(
                f"text {number} has a lone surrogate {text[wrong.start]!a} at character "
                f"{wrong.start}: it was not decoded from valid UTF-8"
            )
    return error
