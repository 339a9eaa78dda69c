# SPDX-License-Identifier: Apache-2.0
"""Data that cannot be, as documents in several pieces, are an error where calls check them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import checks
from kernels.attention import attention
from kernels.decode import decode
from kernels.grouped_matmul import grouped_matmul

X_BNTH = jnp.ones((2, 1, 6, 4))
WHOLE = jnp.asarray([[1, 1, 1, 2, 0, 0], [7, 7, 3, 3, 3, 5]])
TORN = WHOLE.at[1, 4].set(7)
MESSAGE = (
    "segment_ids: row 1 has document 7 again at position 4, after another one: "
    "the positions of a document must lie side by side"
)


def attended(segment_ids: jax.Array) -> jax.Array:
    return jnp.sum(attention(X_BNTH, X_BNTH, X_BNTH, segment_ids=segment_ids))


def slope(segment_ids: jax.Array) -> jax.Array:
    def loss(x_BNTH: jax.Array) -> jax.Array:
        return jnp.sum(attention(x_BNTH, x_BNTH, x_BNTH, segment_ids=segment_ids))

    return jax.grad(jax.checkpoint(loss))(X_BNTH)


def layers(segment_ids: jax.Array) -> jax.Array:
    def layer(x_BNTH: jax.Array, _: None) -> tuple[jax.Array, None]:
        return attention(x_BNTH, x_BNTH, x_BNTH, segment_ids=segment_ids), None

    return jax.lax.scan(layer, X_BNTH, length=2)[0]


def per_device(segment_ids: jax.Array) -> jax.Array:
    mesh = jax.make_mesh((1,), ("data",), (jax.sharding.AxisType.Auto,))
    place = jax.sharding.PartitionSpec("data")
    return jax.shard_map(
        lambda segment_ids: attention(X_BNTH, X_BNTH, X_BNTH, segment_ids=segment_ids),
        mesh=mesh,
        in_specs=place,
        out_specs=place,
        check_vma=False,
    )(segment_ids)


@pytest.mark.parametrize("function", [attended, slope, layers, per_device])
def test_a_document_in_two_pieces(function: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checks, "DEBUG", True)
    compiled = jax.jit(function)
    jax.block_until_ready(compiled(WHOLE))
    with pytest.raises(jax.errors.JaxRuntimeError, match=MESSAGE):
        jax.block_until_ready(compiled(TORN))


def test_it_is_a_plain_error_outside_of_programs():
    with pytest.raises(ValueError, match=MESSAGE):
        attended(TORN)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [([2, -1, 1], "group 1 has -1 rows"), ([3, 0, 3], "6 rows in all, x_TI has 5")],
)
def test_groups_of_rows_that_are_not_there(sizes: list[int], message: str):
    with pytest.raises(ValueError, match=f"group_sizes_E: {message}"):
        grouped_matmul(jnp.ones((5, 2)), jnp.ones((3, 2, 2)), jnp.asarray(sizes))


def test_rows_of_a_cache_without_a_place():
    k_BKSH = jnp.ones((2, 1, 3, 4))
    with pytest.raises(ValueError, match="length_B: row 1 has 0 places: should be at least 1"):
        decode(jnp.ones((2, 1, 4)), k_BKSH, k_BKSH, jnp.asarray([4, 0]))


def test_nothing_is_looked_at_otherwise(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checks, "DEBUG", False)
    assert "callback" not in str(jax.make_jaxpr(lambda: attended(TORN))())


def test_all_tests_look():
    assert checks.DEBUG


@given(st.lists(st.lists(st.integers(-1, 3), min_size=7, max_size=7), min_size=1, max_size=3))
def test_any_rows(rows: list[list[int]]):
    begins = [[b for a, b in zip([None, *row], row, strict=False) if a != b] for row in rows]
    if all(len(one) == len(set(one)) for one in begins):
        checks.documents_in_one_piece(jnp.asarray(rows))
    else:
        with pytest.raises(ValueError, match="again at position"):
            checks.documents_in_one_piece(jnp.asarray(rows))
