# SPDX-License-Identifier: Apache-2.0
"""`python -m coder presets`: the model shapes that have a name, and how large they are."""

from dataclasses import dataclass

import tyro
from rich.console import Console
from rich.table import Table

from coder.config import ModelConfig
from coder.model.counts import cache_bytes_per_token, parameter_counts
from coder.model.presets import PRESETS

_WIDTH = 96
"""Columns of the table; in a narrower terminal lines wrap, and no digit is cut off."""


@dataclass(frozen=True)
class Options:
    """Lists the model shapes that have a name; no memory is allocated for them."""


def main(argv: list[str]) -> None:
    """Prints the table."""
    tyro.cli(Options, args=argv, prog="python -m coder presets")
    Console(width=_WIDTH).print(_table())


def _table() -> Table:
    table = Table(box=None, pad_edge=False, caption_justify="left")
    table.caption = (
        "active: parameters that a token meets, token tables included. "
        "cache: bytes per token, bfloat16\n"
        "to train one: python -m coder train --preset NAME --model.vocab-size SIZE ...\n"
        "where SIZE is at least the number of the tokenizer's tokens"
    )
    table.add_column("preset", no_wrap=True)
    for heading in ("layers", "width", "total", "active", "cache", "context"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, config in PRESETS.items():
        table.add_row(name, *_row(config))
    return table


def _row(config: ModelConfig) -> tuple[str, ...]:
    counts = parameter_counts(config)
    numbers = (config.num_layers, config.d_model, counts.total, counts.active)
    context = f"{config.max_positions:,}" if config.max_positions else "as trained"
    return (*(f"{n:,}" for n in numbers), f"{cache_bytes_per_token(config):,}", context)
