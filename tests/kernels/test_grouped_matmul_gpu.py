# SPDX-License-Identifier: Apache-2.0
"""The Triton kernels of the grouped product, interpreted, in blocks so small that groups have many.

Mosaic's: `mosaic_grouped_matmul.py`, which takes from here.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import grouped_matmul as public
from kernels import tiles
from kernels._grouped_matmul import work
from kernels._grouped_matmul.choice import OPERATIONS

pytestmark = pytest.mark.usefixtures("compiled_at_once")


class Case(NamedTuple):
    """A kernel, and the sizes at which it is tried."""

    implementation: str
    dtype: Any
    tile: tiles.Tile
    num_rows: int
    widths: tuple[int, int]
    """I and O."""


class Results(NamedTuple):
    out_TO: Any
    d_x_TI: Any
    d_weight_EIO: Any


SMALL = tiles.Tile(rows=16, columns=32, depth=16, num_warps=4, num_stages=2)
CASES = {
    "triton-float32": Case("pallas_triton", jnp.float32, SMALL, 100, (24, 40)),
    "triton-float32-whole": Case("pallas_triton", jnp.float32, SMALL, 96, (32, 64)),
    "triton-bfloat16": Case("pallas_triton", jnp.bfloat16, SMALL, 100, (24, 40)),
}
NUM_GROUPS = 5

# In blocks of `rows` and more, of T in all.
SIZES: dict[str, Callable[[int, int], list[int]]] = {
    "empty groups": lambda rows, total: [0, 2 * rows + 3, 0, 0, total - 2 * rows - 3],
    "all in one": lambda rows, total: [0, 0, total, 0, 0],
    "all in the last": lambda rows, total: [0, 0, 0, 0, total],
    "none in any": lambda rows, total: [0, 0, 0, 0, 0],
    "smaller than a block": lambda rows, total: [3, 1, rows - 1, 2, 1],
    "edges on blocks": lambda rows, total: [rows, 2 * rows, 0, rows, rows],
    "edges off blocks": lambda rows, total: [rows - 1, 1, rows + 1, 2 * rows - 3, 7],
}


def operands(case: Case) -> tuple[jax.Array, jax.Array, jax.Array]:
    """x, weight, d_out; weight in float32."""
    keys, (width, out_width) = jax.random.split(jax.random.key(0), 3), case.widths
    x_TI = jax.random.normal(keys[0], (case.num_rows, width), case.dtype)
    weight_EIO = jax.random.normal(keys[1], (NUM_GROUPS, width, out_width))
    return x_TI, weight_EIO, jax.random.normal(keys[2], (case.num_rows, out_width), case.dtype)


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def kernels(case: Case) -> Iterator[Callable[..., Results]]:
    """(x, weight, d_out, sizes) -> results, cut into the case's tiles."""
    with cut(case):
        yield jax.jit(partial(results, case.implementation))


def cut(case: Case) -> AbstractContextManager[None]:
    """Has kernels that are traced meanwhile cut their work into the case's tiles."""
    family = "sm90" if case.implementation == "pallas_mosaic" else "sm80"
    name = jnp.dtype(case.dtype).name
    keys = (tiles.Key(family, case.implementation, kernel, name, ()) for kernel in OPERATIONS)
    return tiles.using(dict.fromkeys(keys, case.tile))


def results(
    implementation: str, x_TI: Any, weight_EIO: Any, d_out_TO: Any, sizes_E: Any
) -> Results:
    def product(x_TI: jax.Array, weight_EIO: jax.Array) -> jax.Array:
        return public.grouped_matmul(x_TI, weight_EIO, sizes_E, implementation=implementation)

    out_TO, pull = jax.vjp(product, x_TI, weight_EIO)
    return Results(out_TO, *pull(d_out_TO))


def expected(x_TI: Any, weight_EIO: Any, d_out_TO: Any, sizes: list[int]) -> Results:
    """A loop over groups in float64."""
    x_TI, weight_EIO, d_out_TO = (np.asarray(a, np.float64) for a in (x_TI, weight_EIO, d_out_TO))
    out_TO, d_x_TI = np.zeros_like(d_out_TO), np.zeros_like(x_TI)
    d_weight_EIO, start = np.zeros_like(weight_EIO), 0
    for group, size in enumerate(sizes):
        mine = slice(start, start + size)
        out_TO[mine] = x_TI[mine] @ weight_EIO[group]
        d_x_TI[mine] = d_out_TO[mine] @ weight_EIO[group].T
        d_weight_EIO[group] = x_TI[mine].T @ d_out_TO[mine]
        start += size
    return Results(out_TO, d_x_TI, d_weight_EIO)


def check(got: Results, exact: Results) -> None:
    """At most 1.5 times as far off as the exact result, rounded; float32: sums' own error too."""
    for name, one, other in zip(Results._fields, got, exact, strict=True):
        rounded = np.asarray(jnp.asarray(other, one.dtype), np.float64)
        allowed = 1.5 * np.abs(rounded - other).max()
        allowed = max(allowed, 2e-5) if one.dtype == jnp.float32 else allowed
        error = np.abs(np.asarray(one, np.float64) - other).max()
        assert error <= allowed, (name, error, allowed)


@pytest.mark.parametrize("shape", SIZES)
def test_groups_of_all_shapes(case: Case, kernels: Any, shape: str):
    x_TI, weight_EIO, d_out_TO = operands(case)
    sizes = SIZES[shape](case.tile.rows, case.num_rows)
    got = kernels(x_TI, weight_EIO, d_out_TO, jnp.asarray(sizes))
    assert (got.out_TO.dtype, got.d_weight_EIO.dtype) == (case.dtype, jnp.float32)
    used_EIO = weight_EIO.astype(case.dtype)
    check(got, expected(x_TI, used_EIO, d_out_TO, sizes))


@settings(max_examples=5, deadline=None)
@given(st.data())
def test_groups_of_any_size(case: Case, kernels: Any, data: st.DataObject):
    cuts = st.lists(st.integers(0, case.num_rows), min_size=NUM_GROUPS, max_size=NUM_GROUPS)
    sizes = np.diff([0, *sorted(data.draw(cuts))]).tolist()
    x_TI, weight_EIO, d_out_TO = operands(case)
    got = kernels(x_TI, weight_EIO, d_out_TO, jnp.asarray(sizes))
    check(got, expected(x_TI, weight_EIO.astype(case.dtype), d_out_TO, sizes))


def test_rows_of_no_group_neither_count_nor_leak(case: Case, kernels: Any):
    x_TI, weight_EIO, d_out_TO = operands(case)
    sizes = [case.tile.rows + 1, 0, 5, 3, 0]
    first = sum(sizes)
    clean = kernels(x_TI, weight_EIO, d_out_TO, jnp.asarray(sizes))
    poisoned = kernels(
        x_TI.at[first:].set(jnp.nan),
        weight_EIO,
        d_out_TO.at[first:].set(jnp.inf),
        jnp.asarray(sizes),
    )
    assert not poisoned.out_TO[first:].any() and not poisoned.d_x_TI[first:].any()
    jax.tree.map(np.testing.assert_array_equal, poisoned, clean)


def test_a_groups_results_do_not_see_other_groups(case: Case, kernels: Any):
    x_TI, weight_EIO, d_out_TO = operands(case)
    sizes = [7, case.tile.rows + 2, case.tile.rows - 5, 0, 2]
    mine = slice(sizes[0], sizes[0] + sizes[1])
    others = np.r_[: mine.start, mine.stop : case.num_rows]
    clean = kernels(x_TI, weight_EIO, d_out_TO, jnp.asarray(sizes))
    poisoned = kernels(
        x_TI.at[others].set(jnp.nan),
        weight_EIO.at[np.r_[0, 2:NUM_GROUPS]].set(jnp.nan),
        d_out_TO.at[others].set(jnp.nan),
        jnp.asarray(sizes),
    )
    np.testing.assert_array_equal(poisoned.out_TO[mine], clean.out_TO[mine])
    np.testing.assert_array_equal(poisoned.d_x_TI[mine], clean.d_x_TI[mine])
    np.testing.assert_array_equal(poisoned.d_weight_EIO[1], clean.d_weight_EIO[1])


def test_equal_inputs_give_equal_bits(case: Case, kernels: Any):
    sizes = jnp.asarray([3, 0, case.tile.rows + 9, 20, 1])
    first, again = (kernels(*operands(case), sizes) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, again)


ITEMS = jax.jit(work.items, static_argnums=(0, 2, 3))


@pytest.mark.parametrize(
    ("num_rows", "size", "multiple"), [(50, 4, 1), (48, 16, 1), (5, 8, 1), (50, 8, 4), (48, 16, 8)]
)
@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.sampled_from([0, 1, 3, 4, 8, 17, 60]), min_size=4, max_size=4))
def test_every_row_is_in_one_work_item(num_rows: int, size: int, multiple: int, sizes: list[int]):
    # Even where the sizes are wrong and sum up to more than there are rows.
    items_4W = np.asarray(ITEMS(num_rows, jnp.asarray(sizes), size, multiple))
    assert not (items_4W[1] % multiple).any()
    group_of_row = np.repeat(np.arange(len(sizes) + 1), [*sizes, num_rows])[:num_rows]
    seen = np.zeros(num_rows, int)
    for group, first, start, end in items_4W.T:
        begin = max(first, start)
        mine = slice(begin, max(begin, min(first + size, end)))
        assert mine.stop <= num_rows or mine.start == mine.stop
        assert (group_of_row[mine] == group).all()
        seen[mine] += 1
    assert (seen == 1).all()
