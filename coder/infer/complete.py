# SPDX-License-Identifier: Apache-2.0
"""`python -m coder complete`: what a trained run writes between a prefix and a suffix."""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.text import Text

from coder.checkpoint import CheckpointError
from coder.config import DataConfig
from coder.data.tokenizer import Tokenizer, TokenizerError
from coder.infer.decode import greedy
from coder.infer.load import load_run
from coder.infer.prompt import infill_prompt, trained_format


class PromptError(ValueError):
    """A request that the run cannot answer; the message says why."""


@dataclass(frozen=True)
class Options:
    """Fills in the middle between a prefix and a suffix, in the format the run was trained on."""

    run: Path
    """Folder of a trained run."""
    prefix: str
    """Text before the middle; in bash, $'a\\nb' has a line break."""
    suffix: str = ""
    """Text after the middle; a run that was trained without infilling takes none."""
    max_new_tokens: int = 64
    """Tokens to write at most; the run ends earlier where it thinks that the middle is over."""


def main(argv: list[str]) -> None:
    """Runs the command; exits with status 1 and a sentence where it cannot be answered."""
    options = tyro.cli(Options, args=argv, prog="python -m coder complete")
    try:
        middle = _complete(options)
    except (CheckpointError, PromptError, TokenizerError) as error:
        sys.exit(f"error: {error}")
    Console(highlight=False, soft_wrap=True).print(
        Text.assemble(options.prefix, (middle, "bold black on green"), options.suffix)
    )


def prompt(tokenizer: Tokenizer, prefix: str, suffix: str, data: DataConfig) -> list[int]:
    """The tokens that the middle is to follow.

    Raises:
        PromptError: there is a suffix, and the run was trained without infilling.
    """
    form = trained_format(data)
    prefix_ids, suffix_ids = tokenizer.encode_batch([prefix, suffix])
    if form:
        return infill_prompt(tokenizer, prefix_ids, suffix_ids, form)
    if suffix_ids:
        raise PromptError(
            "this run was trained without infilling and cannot see a suffix: leave out --suffix, "
            "or take a run with data.fim_rate above 0"
        )
    return [tokenizer.bos, *prefix_ids]


def _complete(options: Options) -> str:
    if options.max_new_tokens < 1:
        raise PromptError(f"--max-new-tokens {options.max_new_tokens}: must be at least 1")
    model, tokenizer, run = load_run(options.run)
    question = prompt(tokenizer, options.prefix, options.suffix, run.data)
    [answer] = greedy(model, [question], options.max_new_tokens, {tokenizer.eos})
    return tokenizer.decode(answer)
