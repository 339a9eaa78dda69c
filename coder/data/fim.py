# SPDX-License-Identifier: Apache-2.0
"""Fill-in-the-middle: a text is cut in three, and its middle is moved to the end.

DeepSeek-Coder v1, section 3.1.2; Bavarian et al., "Efficient Training of Language Models to Fill in
the Middle" (2022), for `spm` in its joined form. Training texts and evaluation prompts come from
the same function.
"""

from collections.abc import Sequence
from random import Random

from coder.config import FimFormat
from coder.data.tokenizer import Tokenizer

CONTROL_TOKENS = 5
"""Tokens that a rearranged text has beyond those of its parts: bos, begin, hole, end, eos."""


def split(text: str, rng: Random, line_aligned: float = 0.0) -> tuple[str, str, str]:
    """Cuts a text at two uniformly random places between characters; any part may be empty.

    Args:
        text: any text; cuts fall between its characters, so each part is valid UTF-8.
        rng: draws the cuts.
        line_aligned: probability that both cuts are then moved on to the end of their lines; if
            that is the same place, the line is the middle.

    Returns:
        Prefix, middle and suffix, whose concatenation is `text`.
    """
    aligned = rng.random() < line_aligned
    start, end = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    if aligned:
        end = _line_end(text, end)
        if _line_end(text, start) < end:
            start = _line_end(text, start)
        else:
            start = text.rfind("\n", 0, max(end - 1, 0)) + 1
    return text[:start], text[start:end], text[end:]


def _line_end(text: str, place: int) -> int:
    """The first place, from `place` on, that follows a line break or ends the text."""
    if place and text[place - 1] == "\n":
        return place
    return text.find("\n", place) + 1 or len(text)


def prompt_ids(
    tokenizer: Tokenizer, prefix_ids: Sequence[int], suffix_ids: Sequence[int], format: FimFormat
) -> list[int]:
    """What stands before the middle: the prompt on which a model writes the middle, then eos.

    `psm` is prefix, then suffix; `spm` is suffix, then prefix, which the middle follows directly.
    """
    begin, hole, end = tokenizer.fim_begin, tokenizer.fim_hole, tokenizer.fim_end
    if format == "psm":
        return [tokenizer.bos, begin, *prefix_ids, hole, *suffix_ids, end]
    return [tokenizer.bos, begin, hole, *suffix_ids, end, *prefix_ids]


def format_ids(
    tokenizer: Tokenizer,
    prefix_ids: Sequence[int],
    middle_ids: Sequence[int],
    suffix_ids: Sequence[int],
    format: FimFormat,
) -> list[int]:
    """A rearranged text for training: the prompt, then its answer and eos."""
    return [*prompt_ids(tokenizer, prefix_ids, suffix_ids, format), *middle_ids, tokenizer.eos]
