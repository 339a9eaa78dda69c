# SPDX-License-Identifier: Apache-2.0
"""From a unit of text to the tokens a model is trained on: rearranged, masked or plain."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random

import numpy as np

from coder.config import DataConfig
from coder.data import fim, packing, spans
from coder.data.records import stable_rng
from coder.data.tokenizer import Tokenizer
from coder.data.units import Unit, halves, reserved_tokens


@dataclass(frozen=True)
class Text:
    """A formatted unit, or a part of one that had to be cut."""

    ids: np.ndarray
    """[tokens], of the stored type."""
    reserved: int
    """Tokens to set aside for it in packing, if more than its own."""
    bytes: int
    """UTF-8 bytes of source text in it."""
    infilling: bool
    """Whether it was rearranged or masked."""
    part: bool
    """Whether it is a part of a unit that was too long when formatted."""


@dataclass(frozen=True)
class _Draft:
    """A unit whose draws are made, up to its encoding."""

    unit: Unit
    rng: Random
    infilling: bool
    parts: tuple[str, ...]


def format_units(
    units: Sequence[Unit], tokenizer: Tokenizer, data: DataConfig, seed: int
) -> list[Text]:
    """Formats units as `data` says, all draws from `seed` and the unit's id.

    `data.fim_rate` is the share of units that are rearranged or, with objective=msp, masked: the
    same units for both. A plain unit is `<bos>text`, then eos where its document or file ends. A
    window that does not fit a sequence is cut in two, and each half is formatted anew.
    """
    drafts = [_draft(unit, data, seed) for unit in units]
    encoded = iter(tokenizer.encode_batch([part for draft in drafts for part in draft.parts]))
    texts: list[Text] = []
    for draft in drafts:
        part_ids = list(islice(encoded, len(draft.parts)))
        if draft.infilling and data.objective == "msp":
            texts += _masked(draft, part_ids[0], tokenizer, data)
            continue
        text = _text(draft, _arrange(draft, part_ids, tokenizer, data), part_ids, tokenizer, data)
        if data.granularity == "window" and len(text.ids) > data.sequence_length:
            parts = format_units(halves(draft.unit), tokenizer, data, seed)
            texts += [dataclasses.replace(part, part=True) for part in parts]
        else:
            texts.append(text)
    return texts


def _draft(unit: Unit, data: DataConfig, seed: int) -> _Draft:
    rng = stable_rng(seed, "format", unit.id)
    infilling = rng.random() < data.fim_rate
    if infilling and data.objective == "causal":
        return _Draft(unit, rng, True, fim.split(unit.text, rng, data.line_aligned))
    return _Draft(unit, rng, infilling, (unit.text,))


def _arrange(
    draft: _Draft, part_ids: list[list[int]], tokenizer: Tokenizer, data: DataConfig
) -> list[int]:
    if draft.infilling:
        prefix_ids, middle_ids, suffix_ids = part_ids
        return fim.format_ids(tokenizer, prefix_ids, middle_ids, suffix_ids, data.fim_format)
    return [tokenizer.bos, *part_ids[0], *([tokenizer.eos] if draft.unit.ends else [])]


def _masked(draft: _Draft, ids: list[int], tokenizer: Tokenizer, data: DataConfig) -> list[Text]:
    """Masks spans; cuts first what would not fit, as a span must be in a sequence with its hole."""
    rate, mean_length = data.mask_rate, data.mean_span_length
    longest = spans.longest_maskable(data.sequence_length, rate, mean_length)
    texts = []
    for start in range(0, len(ids), longest):
        piece = ids[start : start + longest]
        masked = spans.mask(piece, draft.rng, rate, mean_length, tokenizer)
        text = _text(draft, masked, [piece], tokenizer, data)
        texts.append(dataclasses.replace(text, part=len(ids) > longest))
    return texts


def _text(
    draft: _Draft,
    ids: list[int],
    part_ids: list[list[int]],
    tokenizer: Tokenizer,
    data: DataConfig,
) -> Text:
    return Text(
        ids=np.array(ids, packing.token_type(tokenizer.vocab_size)),
        reserved=reserved_tokens(draft.unit.tokens, data) if draft.unit.tokens else 0,
        bytes=sum(int(tokenizer.byte_lengths[part].sum()) for part in part_ids),
        infilling=draft.infilling,
        part=False,
    )
