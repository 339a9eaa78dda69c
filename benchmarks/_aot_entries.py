# SPDX-License-Identifier: Apache-2.0
"""What `make aot` compiles: the tile table's entries, or the tiles that a sweep would try."""

import dataclasses
import re
from typing import Any

from kernels import tiles
from kernels._bench import sweep


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


def table(only: str) -> list[Entry]:
    """Of the tile table, with a match of `only` in their names."""
    return [
        Entry(key, tile) for key, tile in tiles.table().items() if re.search(only, name_of(key))
    ]


def candidates(only: str) -> list[Entry]:
    """What a sweep would try for each of these: the table's tile, and others."""
    return [
        Entry(entry.key, tile)
        for entry in table(only)
        for tile in dict.fromkeys((entry.tile, *sweep.candidates(entry.key)))
    ]
