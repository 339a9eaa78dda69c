# SPDX-License-Identifier: Apache-2.0
"""Grouped products and their gradients, groups of all shapes; letters as in the public module."""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from kernels import tiles
from kernels._bench import checks
from kernels._bench.checks import Check, Finding, Subject
from kernels._grouped_matmul.choice import OPERATIONS
from kernels.grouped_matmul import grouped_matmul

BLOCK = 128
"""About what the tiles are; numbers of rows are in proportion."""

TYPES = ("float32", "bfloat16")
WIDTHS = (136, 1408)
"""I and O: neither a multiple of every tile."""


class Results(NamedTuple):
    """Product and gradients."""

    out_TO: Any
    d_x_TI: Any
    d_weight_EIO: Any


class Arguments(NamedTuple):
    """Of one call, but for the sizes."""

    x_TI: Any
    weight_EIO: Any
    d_out_TO: Any


def sizes(block: int) -> dict[str, list[int]]:
    """Of five groups, by name; some leave rows in no group."""
    total = 5 * block + 20
    return {
        "empty groups": [0, 2 * block + 3, 0, 0, total - 2 * block - 3],
        "all in one": [0, 0, total, 0, 0],
        "all in the last": [0, 0, 0, 0, total],
        "none in any": [0, 0, 0, 0, 0],
        "smaller than a block": [3, 1, block - 1, 2, 1],
        "edges on blocks": [block, 2 * block, 0, block, block],
        "edges off blocks": [block - 1, 1, block + 1, 2 * block - 3, 7],
    }


def subjects(block: int = BLOCK, widths: tuple[int, int] = WIDTHS) -> Iterator[Subject]:
    """One for each type."""
    for dtype in TYPES:
        arguments = _draw(block, widths, dtype)
        found = tuple(
            _check(f"grouped_matmul/{implementation}/{dtype}", implementation, arguments, block)
            for implementation in tiles.serving(OPERATIONS, dtype)
        )
        yield Subject(partial(_expected, arguments, block), found)


def _draw(block: int, widths: tuple[int, int], dtype: str) -> Arguments:
    rng, rows, (width, out_width) = np.random.default_rng(0), 5 * block + 20, widths

    def normal(*shape: int) -> Array:
        return jnp.asarray(rng.normal(size=shape), dtype)

    return Arguments(normal(rows, width), normal(5, width, out_width), normal(rows, out_width))


def _product(implementation: str, arguments: Arguments, sizes_E: Array) -> Results:
    x_TI, weight_EIO, d_out_TO = arguments
    out_TO, pull = jax.vjp(
        lambda x, w: grouped_matmul(x, w, sizes_E, implementation=implementation), x_TI, weight_EIO
    )
    return Results(out_TO, *pull(d_out_TO))


def _expected(arguments: Arguments, block: int) -> dict[str, Results]:
    """By name of the sizes: a loop over groups in float64."""
    wide = Arguments(*(np.asarray(x.astype(jnp.float32), np.float64) for x in arguments))
    return {name: _loop(wide, one) for name, one in sizes(block).items()}


def _loop(arguments: Arguments, sizes: list[int]) -> Results:
    x_TI, weight_EIO, d_out_TO = arguments
    found = Results(np.zeros_like(d_out_TO), np.zeros_like(x_TI), np.zeros_like(weight_EIO))
    start = 0
    for group, size in enumerate(sizes):
        mine = slice(start, start + size)
        found.out_TO[mine] = x_TI[mine] @ weight_EIO[group]
        found.d_x_TI[mine] = d_out_TO[mine] @ weight_EIO[group].T
        found.d_weight_EIO[group] = x_TI[mine].T @ d_out_TO[mine]
        start += size
    return found


def _check(name: str, implementation: str, arguments: Arguments, block: int) -> Check:
    cuts = {one: jnp.asarray(two, jnp.int32) for one, two in sizes(block).items()}

    def judge(compiled: Any, expected: dict[str, Results]) -> Iterator[Finding]:
        for cut, sizes_E in cuts.items():
            found = compiled(arguments, sizes_E)
            for field, x, exact in zip(Results._fields, found, expected[cut], strict=True):
                yield _error(f"{cut}, {field}", x, exact)
        some = cuts["smaller than a block"]
        found = compiled(arguments, some)
        yield checks.different("rerun", found, compiled(arguments, some))
        poisoned = compiled(_with_no_numbers(arguments, int(some.sum())), some)
        yield checks.different("rows of no group", found, poisoned)

    example = arguments, cuts["all in one"]
    return Check(name, partial(_product, implementation), example, judge)


def _error(of: str, found: Array, exact: np.ndarray) -> Finding:
    """bfloat16: in units of what rounding the results alone gives."""
    if found.dtype == jnp.float32:
        return checks.float32(of, found, exact)
    rounded = np.asarray(jnp.asarray(exact, found.dtype).astype(jnp.float32), np.float64)
    rounding = float(np.abs(rounded - exact).max())
    error = float(np.abs(np.asarray(found.astype(jnp.float32), np.float64) - exact).max())
    return Finding(of, error, 1.5 * rounding)


def _with_no_numbers(arguments: Arguments, first: int) -> Arguments:
    """In the rows from `first` on."""
    x_TI, weight_EIO, d_out_TO = arguments
    return Arguments(x_TI.at[first:].set(jnp.nan), weight_EIO, d_out_TO.at[first:].set(jnp.nan))
