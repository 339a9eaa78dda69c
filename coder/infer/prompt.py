# SPDX-License-Identifier: Apache-2.0
"""The prompt on which a model fills in a middle, in the format that its training examples had."""

import sys
from collections.abc import Sequence
from typing import Literal

from coder.config import DataConfig
from coder.data import fim, spans
from coder.data.tokenizer import Tokenizer

Format = Literal["psm", "spm", "msp"]


class PromptError(ValueError):
    """A request that the model cannot answer; the message says why and what to change."""


def trained_format(data: DataConfig) -> Format | None:
    """The infilling format that a run's examples have; None if they have none."""
    if data.fim_rate == 0:
        return None
    return "msp" if data.objective == "msp" else data.fim_format


def infill_prompt(
    tokenizer: Tokenizer, prefix_ids: Sequence[int], suffix_ids: Sequence[int], form: Format
) -> list[int]:
    """Prefix and suffix in a training format; the middle and `eos` follow."""
    if form == "msp":
        return spans.prompt_ids(tokenizer, prefix_ids, suffix_ids)
    return fim.prompt_ids(tokenizer, prefix_ids, suffix_ids, form)


def nearest_ids(tokenizer: Tokenizer, text: str, count: int, *, at_end: bool) -> list[int]:
    """All ids of a text, or those of its end, or beginning, which are at least `count`.

    Of a long text only the neighbourhood is encoded: as much as has twice the ids, since those
    near the cut may be others than in the whole.
    """
    size = 8 * max(count, 64)
    while True:
        part = text[-size:] if at_end else text[:size]
        ids = tokenizer.encode(part)
        if len(part) == len(text):
            return ids
        if len(ids) >= 2 * count:
            return ids[-count:] if at_end else ids[:count]
        size *= 2


def check_utf8(option: str, text: str) -> None:
    """Raises PromptError for an argument of the command line that is no text."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        byte, coding = ord(text[error.start]) & 0xFF, sys.getfilesystemencoding()
        raise PromptError(
            f"{option}: byte 0x{byte:02x} after {error.start} characters is not {coding}"
        ) from None


def fitted(
    prefix_ids: Sequence[int], suffix_ids: Sequence[int], room: int
) -> tuple[Sequence[int], Sequence[int]]:
    """The end of the prefix and the beginning of the suffix, which fit into `room` tokens together.

    Where both are too long, three quarters of the room are the prefix's.
    """
    suffix_ids = suffix_ids[: max(room // 4, room - len(prefix_ids))]
    cut = max(0, len(prefix_ids) + len(suffix_ids) - room)
    return prefix_ids[cut:], suffix_ids
