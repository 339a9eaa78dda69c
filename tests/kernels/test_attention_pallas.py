# SPDX-License-Identifier: Apache-2.0
"""The Pallas kernels of attention, interpreted, against the float32 reference."""

from collections.abc import Iterator
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from kernels import tiles
from kernels._attention.operands import Operands
from tests.kernels.attention_cases import (
    HEADS,
    WIDER,
    Heads,
    draw,
    packings,
    segments,
    small_tiles,
    with_gradients,
)

# Rows and columns differ, so that neither can stand for the other.
TILES = {
    "pallas_triton": small_tiles(
        "sm80",
        "pallas_triton",
        {
            "forward": tiles.Tile(32, 16, 0, 4, 2),
            "backward_q": tiles.Tile(16, 32, 0, 4, 2),
            "backward_kv": tiles.Tile(32, 16, 0, 4, 2),
        },
    ),
}
BLOCK = {"pallas_triton": 32}
"""The most rows or columns of a tile: lengths are in proportion."""

pytestmark = pytest.mark.usefixtures("compiled_at_once")
every_implementation = pytest.mark.parametrize("implementation", TILES)


@pytest.fixture(autouse=True, scope="module")
def _small_tiles() -> Iterator[None]:
    with tiles.using({key: tile for entries in TILES.values() for key, tile in entries.items()}):
        yield


@cache
def drawn(heads: Heads, block: int, dtype: str) -> tuple[Operands, tuple[Array, Array]]:
    return draw(heads, sum(packings(block)["one_document"]), dtype)


@cache
def exact(
    heads: Heads, block: int, dtype: str, packing: str
) -> tuple[dict[str, Array], dict[str, Array]]:
    """What the reference finds in float32 from the same inputs, without and with rounded outputs.

    The second is what would be found if everything were exact but what is written to memory in
    `dtype`: the output, which the backward pass reads again, and the gradients. In it, output and
    cotangent determine the mean of the weights' gradients. An error of that mean is to the scores
    what a cotangent of the logarithms is.
    """
    operands, (d_out, d_logsumexp) = drawn(heads, block, dtype)
    wide = jax.tree.map(lambda x: x.astype(jnp.float32), operands)
    segment_ids = segments(packings(block)[packing])
    d_out = d_out.astype(jnp.float32)
    found = with_gradients("reference", wide, segment_ids, (d_out, d_logsumexp))
    error = found["out"].astype(dtype).astype(jnp.float32) - found["out"]
    towards = d_out, d_logsumexp - jnp.sum(error * d_out, axis=-1)
    rounded = with_gradients("reference", wide, segment_ids, towards)
    rounded = {name: x.astype(dtype).astype(jnp.float32) for name, x in rounded.items()}
    return found, rounded


def norm(x: Array) -> float:
    return float(jnp.linalg.norm(x.astype(jnp.float32)))


def assert_float32(found: dict[str, Array], expected: dict[str, Array]) -> None:
    """Sums of some hundred products in another order: some units in the last place."""
    for name, x in found.items():
        error = np.abs(x - expected[name]).max()
        assert error < 2**-20 * np.abs(expected[name]).max(), (name, error)


@every_implementation
@pytest.mark.parametrize("packing", packings(32))
@pytest.mark.parametrize("heads", HEADS)
def test_float32_is_off_by_the_order_of_its_sums_only(implementation, heads, packing):
    block = BLOCK[implementation]
    operands, towards = drawn(HEADS[heads], block, "float32")
    segment_ids = segments(packings(block)[packing])
    found = with_gradients(implementation, operands, segment_ids, towards)
    assert_float32(found, exact(HEADS[heads], block, "float32", packing)[0])


@every_implementation
@pytest.mark.parametrize("packing", packings(32))
@pytest.mark.parametrize("heads", HEADS)
def test_bfloat16_is_off_by_little_more_than_what_is_written(implementation, heads, packing):
    """By the norm: the largest of the errors alone says more of one number than of the kernel.

    The rest is that products take weights and their gradients as bfloat16 too.
    """
    assert_bfloat16(implementation, HEADS[heads], packing)


@every_implementation
@pytest.mark.parametrize("heads", WIDER)
def test_other_widths(implementation, heads):
    assert_bfloat16(implementation, WIDER[heads], "ragged")


def assert_bfloat16(implementation: str, heads: Heads, packing: str) -> None:
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
    operands, (d_out, d_logsumexp) = drawn(HEADS["mla_192_128"], block, "float32")
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
    operands, towards = drawn(HEADS["gqa_7_to_1"], block, "bfloat16")
    segment_ids = segments(packings(block)["ragged"])
    one, other = (with_gradients(implementation, operands, segment_ids, towards) for _ in "12")
    jax.tree.map(np.testing.assert_array_equal, one, other)


@every_implementation
def test_gradients_of_the_logarithms_alone(implementation):
    block = BLOCK[implementation]
    operands, (d_out, d_logsumexp) = drawn(HEADS["mqa"], block, "float32")
    segment_ids = segments(packings(block)["ragged"])
    arguments = operands, segment_ids, (jnp.zeros_like(d_out), d_logsumexp)
    found = with_gradients(implementation, *arguments)
    assert not found.pop("d_v_BKTW").any()
    assert_float32(found, with_gradients("reference", *arguments))


@every_implementation
def test_a_short_row_without_segments_and_with_another_scale(implementation):
    operands, towards = draw(HEADS["mha"], 5, "float32")
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
