# SPDX-License-Identifier: Apache-2.0
"""Decoding, each implementation beside the reference. Letters as in `kernels.decode`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import Array

from kernels import tiles
from kernels._decode import choice
from kernels._decode.operands import Operands
from kernels.decode import decode, implementations
from tests.kernels.test_target import compiling_for

pytestmark = pytest.mark.usefixtures("compiled_at_once")

FAST = ("xla", "pallas_triton")
HEADS = {"mha": (2, 2, 0), "gqa 7:1": (14, 2, 0), "mqa": (5, 1, 0), "mla": (20, 1, 16)}
"""N, K and P; with P the keys are the values."""
WIDTH, PLACES = 32, 75
SMALL = tiles.Tile(rows=16, columns=16, depth=32, num_warps=4, num_stages=2)
LENGTHS = [1, 16, 17, 32, 33, 64, PLACES]
"""The first, at and behind an edge of a step, and of a split, and all; the last step is cut off."""


@pytest.fixture(autouse=True, scope="module")
def small_tiles():
    with tiles.using(
        {
            tiles.Key("sm80", "pallas_triton", "decode", dtype, (WIDTH, rope, WIDTH)): SMALL
            for dtype in ("float32", "bfloat16")
            for rope in (0, 16)
        }
    ):
        yield


def draw(kind: str, batch: int, dtype: Any = "float32", places: int = PLACES) -> Operands:
    num_heads, num_kv_heads, rope = HEADS[kind]
    rng = np.random.default_rng(0)

    def array(*shape: int) -> Array:
        return jnp.asarray(rng.normal(size=shape), dtype)

    q_BNH, k_BKSH = array(batch, num_heads, WIDTH), array(batch, num_kv_heads, places, WIDTH)
    if rope:
        rotated = array(batch, num_heads, rope), array(batch, places, rope)
        return Operands(q_BNH, k_BKSH, None, *rotated)
    return Operands(q_BNH, k_BKSH, array(batch, num_kv_heads, places, WIDTH))


def compute(implementation: str, operands: Operands, lengths: Any, **options: Any) -> Array:
    q_BNH, k_BKSH, v_BKSW, q_rope_BNP, k_rope_BSP = operands
    return decode(
        q_BNH,
        k_BKSH,
        v_BKSW,
        jnp.asarray(lengths, jnp.int32),
        q_rope_BNP=q_rope_BNP,
        k_rope_BSP=k_rope_BSP,
        implementation=implementation,
        **options,
    )


def compiled(implementation: str, **options: Any) -> Callable[..., Array]:
    return jax.jit(partial(compute, implementation, **options))


def with_behind(operands: Operands, lengths: Any, value: float) -> Operands:
    """The cache with a number in every place that is not filled."""
    empty_BS = np.arange(operands.k_BKSH.shape[2]) >= np.asarray(lengths)[:, None]

    def filled(x: Array | None, axes: tuple[int, ...]) -> Array | None:
        if x is None:
            return None
        return jnp.where(np.expand_dims(empty_BS, axes), jnp.asarray(value, x.dtype), x)

    return operands._replace(
        k_BKSH=filled(operands.k_BKSH, (1, 3)),
        v_BKSW=filled(operands.v_BKSW, (1, 3)),
        k_rope_BSP=filled(operands.k_rope_BSP, (2,)),
    )


def row(operands: Operands, number: int) -> Operands:
    return jax.tree.map(lambda x: x[number : number + 1], operands)


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("implementation", FAST)
def test_it_is_the_reference(implementation, kind):
    operands = draw(kind, len(LENGTHS))
    found = compiled(implementation, scale=0.3)(operands, LENGTHS)
    expected = compute("reference", operands, LENGTHS, scale=0.3)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", HEADS)
def test_bfloat16_is_off_by_little_more_than_its_rounding(kind):
    operands = draw(kind, len(LENGTHS), "bfloat16")
    exact = compute("reference", jax.tree.map(lambda x: x.astype("float32"), operands), LENGTHS)
    rounding = jnp.max(jnp.abs(exact.astype("bfloat16").astype("float32") - exact))
    found = compiled("pallas_triton")(operands, LENGTHS)
    assert found.dtype == jnp.bfloat16
    assert jnp.max(jnp.abs(found.astype("float32") - exact)) <= 1.5 * rounding
    # XLA rounds the weights after it has divided them by their sum.
    other = compiled("xla")(operands, LENGTHS)
    assert other.dtype == jnp.bfloat16
    assert jnp.linalg.norm(other.astype("float32") - exact) < 0.01 * jnp.linalg.norm(exact)


def test_more_splits_than_are_put_together_at_once():
    operands, lengths = draw("gqa 7:1", 4, places=287), [240, 256, 257, 287]
    tile = tiles.Tile(rows=16, columns=16, depth=16, num_warps=4, num_stages=2)
    with tiles.using(
        {tiles.Key("sm80", "pallas_triton", "decode", "float32", (WIDTH, 0, WIDTH)): tile}
    ):
        found = compiled("pallas_triton")(operands, lengths)
    expected = compute("reference", operands, lengths)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


IN_PART = compiled("pallas_triton", places=40)


@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(1, 50), min_size=3, max_size=3), behind=st.floats(-3e38, 3e38))
def test_a_row_knows_nothing_of_the_others_or_of_what_lies_behind_it(lengths, behind):
    operands = draw("mla", 3)
    # What is looked at has an end, too, whatever the length.
    found = IN_PART(with_behind(operands, np.minimum(lengths, 40), behind), lengths)
    expected = compute("reference", operands, lengths, places=40)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    for number, length in enumerate(lengths):
        alone = IN_PART(row(operands, number), [length])
        np.testing.assert_array_equal(alone[0], found[number])


@pytest.mark.parametrize("implementation", FAST)
@pytest.mark.parametrize("kind", ["gqa 7:1", "mla"])
def test_what_lies_behind_a_text_is_never_seen(implementation, kind):
    operands, function = draw(kind, 3), compiled(implementation)
    lengths = [1, 32, 70]
    expected = function(operands, lengths)
    for value in (3e38, -3e38):
        found = function(with_behind(operands, lengths, value), lengths)
        np.testing.assert_array_equal(found, expected)


def test_the_size_of_the_cache_changes_no_bit():
    operands = draw("gqa 7:1", 2)
    cut = operands._replace(
        k_BKSH=operands.k_BKSH[:, :, :35], v_BKSW=operands.values_BKSW[:, :, :35]
    )
    function = compiled("pallas_triton")
    np.testing.assert_array_equal(function(cut, [33, 7]), function(operands, [33, 7]))


def test_equal_inputs_give_equal_bits():
    operands = draw("mha", 2, "bfloat16")
    function = compiled("pallas_triton")
    one, other = (function(operands, [75, 20]) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("implementation", FAST)
def test_huge_scores_stay_finite(implementation):
    operands = draw("mha", 2)
    huge = operands._replace(q_BNH=1e4 * operands.q_BNH, k_BKSH=1e4 * operands.k_BKSH)
    assert np.isfinite(compiled(implementation)(huge, [75, 20])).all()


@pytest.mark.parametrize(
    ("kind", "widths", "dtype", "name"),
    [
        ("NVIDIA A100-SXM4-40GB", (128, 0, 128), "bfloat16", "pallas_triton"),
        ("NVIDIA H200", (512, 64, 512), "bfloat16", "pallas_triton"),
        ("NVIDIA H200", (256, 0, 256), "float32", "pallas_triton"),
        ("NVIDIA H200", (80, 0, 80), "bfloat16", "xla"),
        ("NVIDIA H200", (128, 0, 128), "float16", "xla"),
        ("Tesla T4", (128, 0, 128), "bfloat16", "xla"),
    ],
)
def test_the_fastest_that_can_do_it(kind, widths, dtype, name):
    head_dim, rope, value_dim = widths

    def shape(*sizes: int) -> Any:
        return jax.ShapeDtypeStruct(sizes, jnp.dtype(dtype))

    operands = Operands(
        shape(2, 4, head_dim), shape(2, 1, 16, head_dim), shape(2, 1, 16, value_dim)
    )
    if rope:
        operands = operands._replace(
            v_BKSW=None, q_rope_BNP=shape(2, 4, rope), k_rope_BSP=shape(2, 16, rope)
        )
    with compiling_for(kind):
        assert choice.pick(operands) == name


def test_a_cpu_takes_xla():
    assert choice.pick(draw("mla", 1)) == "xla"


def test_an_unknown_implementation_is_refused():
    assert set(FAST) < set(implementations())
    with pytest.raises(ValueError, match="implementation='triton': choose one of reference, xla"):
        compute("triton", draw("mha", 1), [3])


def test_widths_that_it_has_no_tile_for_are_refused():
    operands = jax.tree.map(lambda x: x[..., :24], draw("mha", 1))
    with pytest.raises(ValueError, match=r"no decode of float32 with widths \(24, 0, 24\) on sm80"):
        compute("pallas_triton", operands, [3])


def test_gradients_are_refused():
    operands = draw("mha", 1)

    def loss(q_BNH: Array) -> Array:
        return jnp.sum(compute("pallas_triton", operands._replace(q_BNH=q_BNH), [3]))

    with pytest.raises(ValueError, match="'pallas_triton' of decode has no gradients: take 'xla'"):
        jax.grad(loss)(operands.q_BNH)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"places": 4.0}, "places=4.0: should be an int"),
        ({"places": jnp.asarray(4)}, "places=4: should be an int, not an array"),
        ({"places": 10}, "places=10: must be from 1 to k_BKSH's 9"),
        ({"scale": -1}, "scale=-1: should be positive"),
    ],
)
def test_numbers_that_cannot_be_are_refused(change: dict[str, Any], message: str):
    q_BNH, k_BKSH = jnp.ones((1, 4, 8)), jnp.ones((1, 2, 9, 8))
    with pytest.raises(ValueError, match=message):
        decode(q_BNH, k_BKSH, None, jnp.ones(1, int), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k_BKSH": (1, 3, 9, 8), "v_BKSW": (1, 3, 9, 8)}, "k_BKSH: 3 key heads do not divide 4"),
        ({"q_BNH": (1, 4, 1, 8)}, "q_BNH .* should have three axes"),
        ({"k_BKSH": (1, 0, 9, 8)}, "k_BKSH .* no axis may be empty"),
        ({"q_BNH": (2, 4, 8)}, "k_BKSH .* does not fit q_BNH"),
        ({"k_BKSH": (1, 2, 9, 6)}, "k_BKSH .* does not fit q_BNH"),
        ({"v_BKSW": (1, 2, 8, 8)}, "v_BKSW .* only the last dimension may differ"),
        ({"q_rope_BNP": None}, "q_rope_BNP and k_rope_BSP: give both or none"),
        ({"q_rope_BNP": (1, 3, 2)}, "q_rope_BNP .* does not fit q_BNH"),
        ({"k_rope_BSP": (1, 9, 3)}, "k_rope_BSP .* should be"),
        ({"length_B": (2,)}, "length_B .* should be"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(change, message):
    shapes = {
        "q_BNH": (1, 4, 8),
        "k_BKSH": (1, 2, 9, 8),
        "v_BKSW": (1, 2, 9, 8),
        "length_B": (1,),
        "q_rope_BNP": (1, 4, 2),
        "k_rope_BSP": (1, 9, 2),
    }
    arrays: dict[str, Any] = {
        name: None if shape is None else jnp.ones(shape, "int32" if name == "length_B" else None)
        for name, shape in (shapes | change).items()
    }
    with pytest.raises(ValueError, match=message):
        decode(**arrays)


def test_types_that_do_not_fit_are_refused():
    operands = draw("mla", 1)
    mixed = operands._replace(k_rope_BSP=operands.q_BNH.astype("bfloat16"))
    with pytest.raises(ValueError, match="k_rope_BSP is bfloat16, q_BNH is float32"):
        compute("xla", mixed, [3])
    with pytest.raises(ValueError, match="length_B is float32, not integers"):
        decode(*operands[:2], None, jnp.ones(1))


@pytest.mark.parametrize("places", [0, 76])
def test_places_that_there_are_not_are_refused(places):
    with pytest.raises(ValueError, match=f"places={places}: must be from 1 to k_BKSH's 75"):
        compute("xla", draw("mha", 1), [3], places=places)
