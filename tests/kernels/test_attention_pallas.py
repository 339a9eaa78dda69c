# SPDX-License-Identifier: Apache-2.0
"""The Pallas kernels of attention, interpreted, against the float32 reference."""

from collections.abc import Iterator
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from kernels import tiles
from kernels._attention.operands import Operands
from kernels._bench import matrix
from kernels._bench.matrix import Heads, Results, Towards, draw, packings, segments

HEADS = [name for name in matrix.HEADS if name != "width_256"]
TYPES = ("float32", "bfloat16")
# Rows and columns differ, so that neither can stand for the other.
TILES = {
    "pallas_triton": {
        "forward": tiles.Tile(32, 16, 0, 4, 2),
        "backward_q": tiles.Tile(16, 32, 0, 4, 2),
        "backward_kv": tiles.Tile(32, 16, 0, 4, 2),
    },
}
BLOCK = {"pallas_triton": 32}
"""The most rows or columns of a tile: lengths are in proportion."""

with_gradients = partial(jax.jit, static_argnames=("implementation", "scale"))(
    matrix.with_gradients
)

pytestmark = pytest.mark.usefixtures("compiled_at_once")
every_implementation = pytest.mark.parametrize("implementation", TILES)


@pytest.fixture(autouse=True, scope="module")
def _small_tiles() -> Iterator[None]:
    cuts = {
        tiles.Key("sm80", name, f"attention_{kernel}", dtype, heads.widths): tile
        for name, kernels in TILES.items()
        for kernel, tile in kernels.items()
        for dtype in TYPES
        for heads in matrix.HEADS.values()
    }
    with tiles.using(cuts):
        yield


@cache
def drawn(heads: str, block: int, dtype: str) -> tuple[Operands, Towards]:
    return draw(matrix.HEADS[heads], sum(packings(block)["one_document"]), dtype)


@cache
def exact(heads: str, block: int, dtype: str, packing: str) -> tuple[Results, Results]:
    operands, towards = drawn(heads, block, dtype)
    return matrix.exact(operands, segments(packings(block)[packing]), towards)


def norm(x: Array) -> float:
    return float(jnp.linalg.norm(x.astype(jnp.float32)))


def assert_float32(found: Results, expected: Results) -> None:
    """Sums of some hundred products in another order: some units in the last place."""
    for name, x in found.items():
        error = np.abs(x - expected[name]).max()
        assert error < 2**-20 * np.abs(expected[name]).max(), (name, error)


@every_implementation
@pytest.mark.parametrize("packing", packings(32))
@pytest.mark.parametrize("heads", HEADS)
def test_float32_is_off_by_the_order_of_its_sums_only(implementation, heads, packing):
    block = BLOCK[implementation]
    operands, towards = drawn(heads, block, "float32")
    segment_ids = segments(packings(block)[packing])
    found = with_gradients(implementation, operands, segment_ids, towards)
    assert_float32(found, exact(heads, block, "float32", packing)[0])


@every_implementation
@pytest.mark.parametrize("packing", packings(32))
@pytest.mark.parametrize("heads", HEADS)
def test_bfloat16_is_off_by_little_more_than_what_is_written(implementation, heads, packing):
    """By the norm: the largest of the errors alone says more of one number than of the kernel.

    The rest is that products take weights and their gradients as bfloat16 too.
    """
    assert_bfloat16(implementation, heads, packing)


@every_implementation
def test_wide_heads(implementation):
    assert_bfloat16(implementation, "width_256", "ragged")


def assert_bfloat16(implementation: str, heads: str, packing: str) -> None:
    block = BLOCK[implementation]
    operands, towards = drawn(heads, block, "bfloat16")
    segment_ids = segments(packings(block)[packing])
    found = with_gradients(implementation, operands, segment_ids, towards)
    expected, rounded = exact(heads, block, "bfloat16", packing)
    assert_float32({"logsumexp": found.pop("logsumexp")}, expected)
    for name, x in found.items():
        assert x.dtype == jnp.bfloat16
        ratio = norm(x.astype(jnp.float32) - expected[name]) / norm(rounded[name] - expected[name])
        assert ratio < 1.5, name


@every_implementation
def test_nothing_of_a_document_reaches_another(implementation):
    """To the bit, and however large it is."""
    block = BLOCK[implementation]
    operands, (d_out, d_logsumexp) = drawn("mla_192_128", block, "float32")
    segment_ids = segments(packings(block)["edges_on_and_off_a_block"])
    before = with_gradients(implementation, operands, segment_ids, (d_out, d_logsumexp))
    changed_BT = segment_ids == 2

    def huge(x: Array) -> Array:
        shape = (2,) + (1,) * (x.ndim - 3) + (-1, 1)
        return jnp.where(changed_BT.reshape(shape), 1e4 * x, x)

    towards = huge(d_out), huge(d_logsumexp[..., None])[..., 0]
    after = with_gradients(implementation, jax.tree.map(huge, operands), segment_ids, towards)
    for name in before:
        axis = 1 if name == "d_k_rope_BTP" else 2
        one, other = (np.moveaxis(np.asarray(x[name]), axis, 1) for x in (before, after))
        np.testing.assert_array_equal(one[~changed_BT], other[~changed_BT], err_msg=name)
        assert np.isfinite(other).all() and (one[changed_BT] != other[changed_BT]).any(), name


@every_implementation
def test_equal_inputs_give_equal_bits(implementation):
    block = BLOCK[implementation]
    operands, towards = drawn("gqa_7_to_1", block, "bfloat16")
    segment_ids = segments(packings(block)["ragged"])
    one, other = (with_gradients(implementation, operands, segment_ids, towards) for _ in "12")
    jax.tree.map(np.testing.assert_array_equal, one, other)


@every_implementation
def test_gradients_of_the_logarithms_alone(implementation):
    block = BLOCK[implementation]
    operands, (d_out, d_logsumexp) = drawn("mqa", block, "float32")
    segment_ids = segments(packings(block)["ragged"])
    arguments = operands, segment_ids, (jnp.zeros_like(d_out), d_logsumexp)
    found = with_gradients(implementation, *arguments)
    assert not found.pop("d_v_BKTW").any()
    assert_float32(found, with_gradients("reference", *arguments))


@every_implementation
def test_a_short_row_without_segments_and_with_another_scale(implementation):
    operands, towards = draw(matrix.HEADS["mha"], 5, "float32")
    found, expected = (
        with_gradients(name, operands, None, towards, scale=0.3)
        for name in (implementation, "reference")
    )
    assert_float32(found, expected)


@every_implementation
def test_widths_without_tiles_are_refused(implementation):
    operands, towards = draw(Heads(2, 1, (48, 0, 48)), 4, "float32")
    message = rf"implementation='{implementation}' has no attention_forward of float32 with widths"
    with pytest.raises(ValueError, match=message):
        with_gradients(implementation, operands, None, towards)
