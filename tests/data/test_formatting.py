# SPDX-License-Identifier: Apache-2.0
"""Formatted units: nothing is lost, variants rearrange the same texts, draws are stable."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder.config import DataConfig
from coder.data import formatting, units
from coder.data.formatting import Text, format_units
from coder.data.units import Unit
from tests.data.samples import CODE, SENTINELS, TEXTS, TOKENIZER
from tests.data.test_fim import restore as restore_fim
from tests.data.test_spans import restore as restore_spans

WINDOWED = DataConfig(granularity="window", window_tokens=32, sequence_length=48, line_aligned=0.5)
VARIANTS = {
    "no_fim": dataclasses.replace(WINDOWED, fim_rate=0.0),
    "psm_50": WINDOWED,
    "spm_100": dataclasses.replace(WINDOWED, fim_rate=1.0, fim_format="spm"),
    "msp_50": dataclasses.replace(WINDOWED, objective="msp"),
}
CODE_UNITS = units.windows(Unit("code", CODE, ends=True), TOKENIZER, 32)


def source(text: Text, data: DataConfig) -> bytes:
    """The bytes that a text was made from."""
    ids = text.ids.tolist()
    if not text.infilling:
        return TOKENIZER.decode_bytes(id_ for id_ in ids if id_ not in SENTINELS)
    if data.objective == "msp":
        return TOKENIZER.decode_bytes(restore_spans(ids)[0])
    return restore_fim(ids, data.fim_format)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_holds_all_of_the_source(name: str):
    data = VARIANTS[name]
    texts = format_units(CODE_UNITS, TOKENIZER, data, seed=0)
    assert b"".join(source(text, data) for text in texts).decode() == CODE
    assert sum(text.bytes for text in texts) == len(CODE.encode())
    assert all(len(text.ids) <= 48 for text in texts)


@given(TEXTS.filter(bool), st.sampled_from(sorted(VARIANTS)), st.integers(0, 3))
def test_any_text_fits_whole_or_in_parts(text: str, name: str, seed: int):
    """Here the unit has no fixed length, so that most are cut again, perhaps more than once."""
    data = VARIANTS[name]
    texts = format_units([Unit("x", text, ends=True)], TOKENIZER, data, seed)
    assert all(len(part.ids) <= data.sequence_length for part in texts)
    assert all(part.part for part in texts) == (len(texts) > 1)
    if data.objective == "causal":
        assert b"".join(source(part, data) for part in texts) == text.encode()
    assert sum(part.bytes for part in texts) == len(text.encode())


def test_variants_rearrange_the_same_units():
    chosen = {
        name: [text.infilling for text in format_units(CODE_UNITS, TOKENIZER, data, seed=0)]
        for name, data in VARIANTS.items()
    }
    assert chosen["psm_50"] == chosen["msp_50"]
    assert 0.3 < sum(chosen["psm_50"]) / len(CODE_UNITS) < 0.7
    assert not any(chosen["no_fim"])
    assert all(chosen["spm_100"])


def test_variants_reserve_the_same_room():
    reserved = {
        name: [text.reserved for text in format_units(CODE_UNITS, TOKENIZER, data, seed=0)]
        for name, data in VARIANTS.items()
    }
    assert reserved["no_fim"] == reserved["psm_50"] == reserved["spm_100"] == reserved["msp_50"]


def test_hardly_a_text_is_longer_than_its_reserve():
    for data in VARIANTS.values():
        texts = format_units(CODE_UNITS, TOKENIZER, data, seed=0)
        assert sum(len(text.ids) > text.reserved for text in texts) < 0.05 * len(texts)


def ids(data: DataConfig, seed: int, chosen: list[Unit]) -> list[list[int]]:
    return [text.ids.tolist() for text in format_units(chosen, TOKENIZER, data, seed)]


def test_draws_depend_on_the_seed_and_the_unit_alone():
    together = ids(WINDOWED, 0, CODE_UNITS)
    assert together == [i for unit in CODE_UNITS for i in ids(WINDOWED, 0, [unit])]
    assert together != ids(WINDOWED, 1, CODE_UNITS)


def test_plain_text_ends_where_its_document_does():
    plain = DataConfig(fim_rate=0.0)
    (whole,) = ids(plain, 0, [Unit("x", "a b", ends=True)])
    assert whole == [TOKENIZER.bos, *TOKENIZER.encode("a b"), TOKENIZER.eos]
    (cut,) = ids(plain, 0, [Unit("x", "a b", ends=False)])
    assert cut == whole[:-1]


def test_documents_are_rearranged_whole_however_long():
    data = DataConfig(fim_rate=1.0, sequence_length=32)
    (text,) = format_units([Unit("x", CODE, ends=True)], TOKENIZER, data, seed=0)
    assert restore_fim(text.ids.tolist(), "psm").decode() == CODE
    assert not text.part and text.reserved == 0


def test_long_documents_are_masked_in_pieces_that_fit():
    data = DataConfig(fim_rate=1.0, objective="msp", sequence_length=64)
    texts = format_units([Unit("x", CODE, ends=True)], TOKENIZER, data, seed=0)
    assert all(len(text.ids) <= 64 and text.part for text in texts)
    assert b"".join(source(text, data) for text in texts).decode() == CODE


def test_ids_have_the_stored_type():
    assert formatting.packing.token_type(TOKENIZER.vocab_size).itemsize == 2
    (text,) = format_units([Unit("x", "a", ends=True)], TOKENIZER, DataConfig(), seed=0)
    assert text.ids.dtype.itemsize == 2
