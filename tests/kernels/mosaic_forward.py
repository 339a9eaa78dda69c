# SPDX-License-Identifier: Apache-2.0
"""The forward kernel in Mosaic GPU, interpreted, against the float32 reference.

Run by `test_mosaic`, which says why not by itself.
"""

from functools import cache, partial

import jax
import jax.experimental.pallas.mosaic_gpu as plgpu
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax._src.pallas.mosaic_gpu.interpret import gpu_callbacks

from kernels import tiles
from kernels._attention import mosaic, mosaic_forward, reference
from kernels._attention.operands import Operands, spans
from kernels._bench.matrix import Heads, draw
from kernels.attention import attention

HEADS = {
    "mha": Heads(2, 2),
    "gqa_7_to_1": Heads(14, 2),
    "mqa": Heads(2, 1),
    "mla_192_128": Heads(2, 2, (128, 64, 128)),
}
LENGTH = 256
# Of two blocks of 128 queries and four of 64 keys.
PACKINGS = {
    "one_document": [256],
    "ragged": [61, 2, 130, 63],
    "single_positions": [1] * 66 + [61] + [1] * 129,
    "edges_on_and_off_a_block": [64, 63, 1, 1, 65, 62],
}
TILE = tiles.Tile(128, 64, 0, 8, 2)


@partial(jax.jit, static_argnames=("scale", "tile"))
def found(
    operands: Operands, segment_ids: Array, scale: float, tile: tiles.Tile
) -> tuple[Array, Array]:
    return mosaic_forward.forward(operands, spans(segment_ids, *segment_ids.shape), scale, tile)


@cache
def drawn(heads: Heads) -> Operands:
    """One row of a batch."""
    operands, _ = draw(heads, LENGTH, jnp.bfloat16)
    return jax.tree.map(lambda x: x[:1], operands)


def numbered(documents: list[int]) -> Array:
    return jnp.asarray(np.repeat(np.arange(len(documents)), documents)[None], jnp.int32)


def assert_forward(heads: Heads, documents: list[int], tile: tiles.Tile = TILE) -> list[Array]:
    """The output, by the norm, is little more off than what is written; the logarithms are not."""
    operands, segment_ids = drawn(heads), numbered(documents)
    scale = 0.7 * sum(heads.widths[:2]) ** -0.5
    out, logsumexp = found(operands, segment_ids, scale, tile)
    wide = jax.tree.map(lambda x: x.astype(jnp.float32), operands)
    exact, exact_logsumexp = reference.attention(wide, segment_ids, scale)
    assert out.dtype == jnp.bfloat16
    errors = [x.astype(jnp.float32) - exact for x in (out, exact.astype(jnp.bfloat16))]
    assert jnp.linalg.norm(errors[0]) < 1.5 * jnp.linalg.norm(errors[1])
    assert jnp.abs(logsumexp - exact_logsumexp).max() < 2**-20 * jnp.abs(exact_logsumexp).max()
    return [out, logsumexp]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("heads", HEADS)
def test_forward(heads, packing):
    assert_forward(HEADS[heads], PACKINGS[packing])


@pytest.mark.parametrize(
    ("widths", "tile"),
    [
        pytest.param((128, 64, 128), TILE, id="two_warpgroups"),
        pytest.param((64, 0, 64), tiles.Tile(256, 64, 0, 8, 3), id="of_128_rows"),
        pytest.param((64, 0, 64), tiles.Tile(256, 128, 0, 16, 2), id="four_warpgroups"),
        pytest.param((256, 0, 256), tiles.Tile(128, 64, 0, 8, 2), id="wide_heads"),
    ],
)
def test_other_tiles_without_races_and_to_the_bit(widths, tile):
    """Also where a warpgroup's rows see less than its program's: 129 is in the second block."""
    heads, documents = Heads(1, 1, widths), [129, 40, 87]
    with plgpu.force_gpu_interpret_mode(plgpu.InterpretGPUParams(detect_races=True)):
        one = assert_forward(heads, documents, tile)
        assert not gpu_callbacks.get_races().races_found
    other = assert_forward(heads, documents, tile)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_nothing_of_a_document_reaches_another():
    """To the bit, and however large it is."""
    heads, documents = HEADS["mqa"], [70, 60, 126]
    operands, segment_ids = drawn(heads), numbered(documents)
    changed_T = np.asarray(segment_ids[0] == 1)

    def huge(x: Array) -> Array:
        return jnp.where(changed_T[:, None], 1e4 * x, x)

    before, _ = found(operands, segment_ids, 0.1, TILE)
    after, _ = found(jax.tree.map(huge, operands), segment_ids, 0.1, TILE)
    np.testing.assert_array_equal(before[:, :, ~changed_T], after[:, :, ~changed_T])
    assert np.isfinite(np.asarray(after, np.float32)).all()


def test_float32_is_refused():
    operands, _ = draw(HEADS["mha"], 4, jnp.float32)
    with pytest.raises(ValueError, match=r"no attention_forward of float32 .* it has bfloat16"):
        attention(*operands[:3], implementation="pallas_mosaic")


def test_candidates_are_whole_warpgroups_of_64_rows_or_128():
    for key in tiles.table():
        if key.implementation == "pallas_mosaic" and key.operation == "attention_forward":
            for tile in (tiles.table()[key], *mosaic.candidates(key)):
                assert tile.rows // (tile.num_warps // 4) in (64, 128)
                assert LENGTH % tile.rows == 0 and LENGTH % tile.columns == 0
