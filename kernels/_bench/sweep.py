# SPDX-License-Identifier: Apache-2.0
"""Tries tiles, and puts the fastest of those that are right into the table."""

import dataclasses
import importlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

from kernels import tiles
from kernels._bench import attention_cases, decode_cases, grouped_cases, measuring, report, timing
from kernels._bench.cases import Case, Program
from kernels._bench.machine import Machine

CANDIDATES = {
    ("pallas_triton", "attention"): "kernels._attention.triton",
    ("pallas_mosaic", "attention"): "kernels._attention.mosaic",
    ("pallas_triton", "decode"): "kernels._decode.triton",
    ("pallas_triton", "grouped"): "kernels._grouped_matmul.triton",
    ("pallas_mosaic", "grouped"): "kernels._grouped_matmul.mosaic",
}
"""Modules whose `candidates` names the tiles to try, by implementation and kind of operation."""

_SAMPLES = 11
_WORTH_IT = 1.01
"""A tile that is faster by less stays out: every new tile changes results in their last bits."""


def run(machine: Machine, only: str, say: Callable[[str], None] = report.say) -> int:
    """Sweeps the entries whose name has `only`; writes the table after each."""
    keys = [
        key
        for key in sorted(tiles.table(), key=dataclasses.astuple)
        if key.architecture == machine.architecture and only in name(key)
    ]
    for key in keys:
        found = times(key, (tiles.table()[key], *candidates(key)), case(key))
        say(report.sweep(name(key), [(_as_text(tile), what) for tile, what in found]))
        best = choose(found)
        if best is not None:
            tiles.write(tiles.table() | {key: best})
    if not keys:
        say(f"error: no entry for {machine.architecture} has {only!r}")
    return 0 if keys else 1


def name(key: tiles.Key) -> str:
    """As the table and `--only` have it."""
    widths = "x".join(map(str, key.widths))
    return "/".join(filter(None, (key.implementation, key.operation, key.dtype, widths)))


def candidates(key: tiles.Key) -> tuple[tiles.Tile, ...]:
    """What the kernel's author would try."""
    kind = key.operation.split("_")[0]
    module = importlib.import_module(CANDIDATES[key.implementation, kind])
    return module.candidates(key)


Found = list[tuple[tiles.Tile, float | str]]
"""Tiles with their seconds, or with what is wrong; the table's own first."""


def choose(found: Found) -> tiles.Tile | None:
    """The fastest, if it is worth a change."""
    timed = [(seconds, tile) for tile, seconds in found if isinstance(seconds, float)]
    if not timed:
        return None
    old, (seconds, best) = found[0][1], min(timed, key=lambda pair: pair[0])
    return best if not isinstance(old, float) or old >= _WORTH_IT * seconds else None


def times(key: tiles.Key, tried: Sequence[tiles.Tile], case: Case) -> Found:
    """Of each tile, once."""
    tried = list(dict.fromkeys(tried))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        ready = measuring.prepare(pool, dataclasses.replace(case, contenders=()), sets=1)
        programs = [_submitted(pool, case, key, tile) for tile in tried]
    inputs = ready.draw.result()(jax.random.key(0))
    expected = ready.expected.result()(inputs)
    problems: dict[tiles.Tile, str] = {}
    launches: dict[str, timing.Launch] = {}
    for tile, program in zip(tried, programs, strict=True):
        row, launch = measuring.tried(program, [inputs], expected)
        if launch is None:
            problems[tile] = row["failed"]
        else:
            launches[str(tile)] = launch
    seconds = timing.medians(launches, _SAMPLES)
    return [(tile, problems.get(tile) or seconds[str(tile)]) for tile in tried]


def _submitted(
    pool: ThreadPoolExecutor, case: Case, key: tiles.Key, tile: tiles.Tile
) -> Future[Program]:
    with tiles.using({key: tile}):
        return measuring.submitted(pool, case, case.contenders[0], sets=1)


def case(key: tiles.Key, small: bool = False) -> Case:
    """What the tiles of `key` are timed by."""
    if key.operation == "decode":
        return _decode(key, small)
    if key.operation.startswith("grouped"):
        return _grouped(key, small)
    return _attention(key, small)


def _attention(key: tiles.Key, small: bool) -> Case:
    """All of a forward pass, or the gradients that one kernel computes."""
    heads = (16, 16) if key.widths[1] or key.widths[0] > 128 else (32, 8)
    batch, length = (4, 4096) if key.dtype == "bfloat16" else (1, 2048)
    head_dim, rope, width = key.widths
    shape = attention_cases.Shape(
        *((1, 2, 1, 64) if small else (batch, *heads, length)),
        widths=(head_dim, rope, width),
        dtype=key.dtype,
    )
    backward = key.operation != "attention_forward"
    whole = attention_cases.case("sweep", shape, backward, [key.implementation])
    if not backward:
        return whole
    if key.operation == "attention_backward_q":
        return _only(whole, lambda found: found._replace(k_BKTH=None, v_BKTW=None, k_rope_BTP=None))
    return _only(whole, lambda found: found._replace(q_BNTH=None, q_rope_BNTP=None))


def _decode(key: tiles.Key, small: bool) -> Case:
    head_dim, rope, width = key.widths
    heads = (16, 1) if rope else (32, 8)
    batch, places = (2, 64) if small else (32, 8192)
    shape = decode_cases.Shape(batch, *heads, places, (head_dim, rope, width), key.dtype)
    return decode_cases.case("sweep", shape, [key.implementation])


def _grouped(key: tiles.Key, small: bool) -> Case:
    rows, groups, *widths = (64, 4, 32, 16) if small else (98304, 64, 2048, 1408)
    shape = grouped_cases.Shape(rows, groups, *widths, dtype=key.dtype)
    backward = key.operation == "grouped_matmul_transposed"
    whole = grouped_cases.case("sweep", shape, backward, [key.implementation], with_xla=False)
    return _only(whole, lambda found: found._replace(x_TI=None)) if backward else whole


def _only(case: Case, wanted: Callable[[Any], Any]) -> Case:
    """With some of the gradients; those that nobody wants are not computed."""
    return dataclasses.replace(
        case, wanted=wanted, expected=lambda inputs: wanted(case.expected(inputs))
    )


def _as_text(tile: tiles.Tile) -> str:
    return " ".join(f"{value}" for value in dataclasses.astuple(tile))
