# SPDX-License-Identifier: Apache-2.0
"""The prompt on which a model fills in a middle, in the format that its training examples had."""

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


def fitted(
    prefix_ids: Sequence[int], suffix_ids: Sequence[int], room: int
) -> tuple[Sequence[int], Sequence[int]]:
    """The end of the prefix and the beginning of the suffix, which fit into `room` tokens together.

    Where both are too long, three quarters of the room are the prefix's.
    """
    suffix_ids = suffix_ids[: max(room // 4, room - len(prefix_ids))]
    cut = max(0, len(prefix_ids) + len(suffix_ids) - room)
    return prefix_ids[cut:], suffix_ids
