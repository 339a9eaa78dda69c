# SPDX-License-Identifier: Apache-2.0
"""How kernels cut their work: a fixed table, `tiles.json`, which `kernels.bench --sweep` writes.

Nothing is tuned while a program runs: a tile decides in which order sums are taken, so that two
runs with different tiles differ in their last bits.
"""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kernels.target import architecture, pallas_implementations

PATH = Path(__file__).with_name("tiles.json")


@dataclasses.dataclass(frozen=True)
class Tile:
    """How one program of a kernel is cut.

    What rows and columns are is the operation's matter: see `OPERATIONS`.
    """

    rows: int
    columns: int
    depth: int
    """What is summed over in one step; 0 where the kernel takes it whole."""
    num_warps: int
    """Warps that compute; four are a warpgroup of Mosaic's."""
    num_stages: int
    """Steps whose loads are in flight or in use at once."""


OPERATIONS = {
    "attention_forward": "queries, keys",
    "attention_backward_q": "queries, keys",
    "attention_backward_kv": "keys, queries",
    "decode": "queries of a key head, keys",
    "grouped_matmul": "rows of a group, O, I",
    "grouped_matmul_transposed": "I, O, rows of a group",
}
"""What a tile's rows, columns and depth are, by operation."""


@dataclasses.dataclass(frozen=True)
class Key:
    """What a tile is for."""

    architecture: str
    """`sm80` or `sm90`."""
    implementation: str
    operation: str
    dtype: str
    widths: tuple[int, ...]
    """Attention and decode: key, rope (0 where there is none), value. Grouped products: none."""


def find(implementation: str, operation: str, dtype: Any, widths: tuple[int, ...] = ()) -> Tile:
    """The tile for what is being traced.

    Raises:
        ValueError: the table has none; names the types and widths that it has.
    """
    wanted = _key(implementation, operation, dtype, widths)
    tile = table().get(wanted)
    if tile is None:
        near = dataclasses.replace(wanted, dtype="", widths=())
        known = sorted(
            f"{key.dtype} {key.widths}" if key.widths else key.dtype
            for key in table()
            if dataclasses.replace(key, dtype="", widths=()) == near
        )
        with_widths = f" with widths {widths}" if widths else ""
        raise ValueError(
            f"implementation={implementation!r} has no {operation} of {wanted.dtype}{with_widths} "
            f"on {wanted.architecture}; it has {', '.join(known) or 'none at all'}"
            + (": of a key, its rope, a value" if widths else "")
        )
    return tile


def serving(operations: Sequence[str], dtype: Any, widths: tuple[int, ...] = ()) -> list[str]:
    """The Pallas implementations that have tiles for all these operations, the fastest first."""
    return [
        name
        for name in pallas_implementations()
        if all(_key(name, operation, dtype, widths) in table() for operation in operations)
    ]


_preferred: dict[Key, Tile] = {}


def table() -> dict[Key, Tile]:
    """All tiles."""
    return _written() | _preferred


@functools.cache
def _written() -> dict[Key, Tile]:
    return {
        Key(**{**entry["key"], "widths": tuple(entry["key"]["widths"])}): Tile(**entry["tile"])
        for entry in json.loads(PATH.read_text())
    }


@contextlib.contextmanager
def using(tiles: dict[Key, Tile]) -> Iterator[None]:
    """Tiles that go before those of the table in what is traced meanwhile."""
    before = dict(_preferred)
    _preferred.update(tiles)
    try:
        yield
    finally:
        _preferred.clear()
        _preferred.update(before)


def write(tiles: dict[Key, Tile]) -> None:
    """Writes the table anew, one entry a line, in order."""
    entries = [
        json.dumps({"key": dataclasses.asdict(key), "tile": dataclasses.asdict(tile)})
        for key, tile in sorted(tiles.items(), key=lambda item: dataclasses.astuple(item[0]))
    ]
    PATH.write_text("[\n" + ",\n".join(entries) + "\n]\n")
    _written.cache_clear()


def _key(implementation: str, operation: str, dtype: Any, widths: tuple[int, ...]) -> Key:
    family = _family(architecture(), implementation)
    return Key(family, implementation, operation, str(dtype), widths)


def _family(architecture: str, implementation: str) -> str:
    """The architecture whose tiles serve: newer ones run the Triton kernels of Ampere.

    So does the interpreter, whose results are then those of an A100's order of sums. Mosaic's
    kernels are Hopper's, and it interprets those.
    """
    if implementation == "pallas_mosaic":
        return "sm90" if architecture == "cpu" else architecture
    return architecture if architecture == "sm90" else "sm80"
