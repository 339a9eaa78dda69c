# SPDX-License-Identifier: Apache-2.0
"""What `make aot` compiles: the tile table's entries, or the tiles that a sweep would try."""

import dataclasses
from collections.abc import Callable
from importlib import import_module
from typing import Any

from kernels import tiles


@dataclasses.dataclass(frozen=True)
class Entry:
    """A kernel and how it is cut."""

    key: tiles.Key
    tile: tiles.Tile

    @property
    def name(self) -> str:
        """As it is printed."""
        return name_of(self.key)

    @property
    def cut(self) -> str:
        """The tile as it is printed: rows x columns x depth, warps, stages."""
        tile = self.tile
        size = f"{tile.rows}x{tile.columns}" + (f"x{tile.depth}" if tile.depth else "")
        return f"{size}/{tile.num_warps}/{tile.num_stages}"

    def question(self) -> dict[str, Any]:
        """What a worker is asked."""
        return {"key": dataclasses.asdict(self.key), "tile": dataclasses.asdict(self.tile)}


def name_of(key: tiles.Key) -> str:
    """`sm90/pallas_triton/attention_forward/bfloat16/128-0-128`."""
    widths = "-".join(map(str, key.widths)) or "any"
    return "/".join((key.architecture, key.implementation, key.operation, key.dtype, widths))


def table() -> list[Entry]:
    """Of the tile table."""
    return [Entry(key, tile) for key, tile in tiles.table().items()]


def candidates() -> list[Entry]:
    """What a sweep would try in place of each of the table's tiles, and those tiles."""
    return [
        Entry(key, tile)
        for key, chosen in tiles.table().items()
        for tile in dict.fromkeys((chosen, *_candidates_of(key)(key)))
    ]


def _candidates_of(key: tiles.Key) -> Callable[[tiles.Key], tuple[tiles.Tile, ...]]:
    operation = next(
        name for name in ("attention", "decode", "grouped_matmul") if key.operation.startswith(name)
    )
    module = key.implementation.removeprefix("pallas_")
    return import_module(f"kernels._{operation}.{module}").candidates
