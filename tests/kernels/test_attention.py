# SPDX-License-Identifier: Apache-2.0
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.attention import attention

FAST = ("xla",)


def draw(
    seed: int,
    batch: int,
    heads: int,
    kv_heads: int,
    length: int,
    width: int,
    value_width: int | None = None,
):
    """Queries, keys, values, segments with padding at the end, and a cotangent of the output."""
    rng = np.random.default_rng(seed)
    value_width = value_width or width
    shapes = ((heads, width), (kv_heads, width), (kv_heads, value_width), (heads, value_width))
    query, key, value, weights = (
        jnp.asarray(rng.normal(size=(batch, count, length, size)), jnp.float32)
        for count, size in shapes
    )
    lengths = np.sort(rng.integers(0, length + 1, size=(batch, 3)), axis=1)
    places = np.arange(length)
    segments = 1 + (places[None, :, None] >= lengths[:, None, :-1]).sum(-1)
    segments[places >= lengths[:, -1:]] = 0
    return query, key, value, jnp.asarray(segments, jnp.int32), weights


def with_gradients(implementation: str, query, key, value, segments, weights, scale=None):
    def loss(query, key, value):
        out = attention(
            query, key, value, segment_ids=segments, scale=scale, implementation=implementation
        )
        return jnp.sum(out.astype(jnp.float32) * weights), out

    (_, out), gradients = jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(query, key, value)
    return [out, *gradients]


@pytest.mark.parametrize("implementation", FAST)
@pytest.mark.parametrize(
    ("heads", "kv_heads", "value_width"), [(4, 4, 8), (6, 2, 8), (3, 1, 8), (4, 4, 5), (4, 2, 12)]
)
def test_output_and_gradients_are_the_references(implementation, heads, kv_heads, value_width):
    arrays = draw(0, 2, heads, kv_heads, 37, 8, value_width)
    found = COMPILED[implementation](*arrays)
    expected = COMPILED["reference"](*arrays)
    assert found[0].shape == (2, heads, 37, value_width)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)


def test_a_length_of_several_blocks():
    arrays = draw(6, 1, 4, 2, 300, 8)
    for one, other in zip(COMPILED["xla"](*arrays), COMPILED["reference"](*arrays), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


COMPILED = {name: jax.jit(partial(with_gradients, name)) for name in ("reference", "xla")}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000))
def test_any_segments(seed):
    arrays = draw(seed, 2, 2, 1, 12, 4)
    expected = COMPILED["reference"](*arrays)
    for name in FAST:
        for one, other in zip(COMPILED[name](*arrays), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=5e-6)


@pytest.mark.parametrize("implementation", FAST)
def test_bfloat16_is_off_by_its_rounding_only(implementation):
    query, key, value, segments, weights = draw(1, 2, 4, 2, 64, 16)
    query, key, value = (x.astype(jnp.bfloat16) for x in (query, key, value))
    found = with_gradients(implementation, query, key, value, segments, weights)
    expected = with_gradients("reference", query, key, value, segments, weights)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == jnp.bfloat16
        difference = one.astype(jnp.float32) - other.astype(jnp.float32)
        assert jnp.linalg.norm(difference) < 0.01 * jnp.linalg.norm(other.astype(jnp.float32))


@pytest.mark.parametrize("implementation", ("reference", "xla"))
def test_without_segments_a_row_is_one_document(implementation):
    query, key, value, _, weights = draw(2, 2, 4, 2, 16, 8)
    compiled = COMPILED[implementation]
    one = compiled(query, key, value, None, weights)
    other = compiled(query, key, value, jnp.ones((2, 16), jnp.int32), weights)
    for left, right in zip(one, other, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("implementation", ("reference", "xla"))
def test_packed_documents_are_computed_as_if_alone(implementation):
    query, key, value, segments, _ = draw(3, 1, 2, 2, 24, 8)
    packed = attention(query, key, value, segment_ids=segments, implementation=implementation)
    for number in np.unique(segments):
        places = np.flatnonzero(np.asarray(segments[0]) == number)
        alone = attention(
            *(x[:, :, places] for x in (query, key, value)), implementation=implementation
        )
        np.testing.assert_allclose(packed[:, :, places], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("implementation", FAST)
def test_scale(implementation):
    arrays = draw(4, 1, 2, 1, 9, 4)
    found, expected = (
        jax.jit(partial(with_gradients, name, scale=0.1))(*arrays)
        for name in (implementation, "reference")
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("implementation", FAST)
def test_huge_scores_stay_finite(implementation):
    query, key, value, segments, weights = draw(5, 1, 2, 2, 12, 4)
    found = COMPILED[implementation](1e4 * query, 1e4 * key, value, segments, weights)
    assert all(np.isfinite(x).all() for x in found)


def test_an_unknown_implementation_is_refused():
    query, key, value, segments, _ = draw(0, 1, 2, 2, 4, 4)
    with pytest.raises(ValueError, match="implementation='triton': choose one of reference, xla"):
        attention(query, key, value, segment_ids=segments, implementation="triton")


@pytest.mark.parametrize("scale", [-1.0, 0.0, float("nan"), float("inf")])
def test_a_scale_that_is_not_positive_is_refused(scale):
    query, key, value, segments, _ = draw(0, 1, 2, 2, 4, 4)
    with pytest.raises(ValueError, match=f"scale={scale}: should be positive"):
        attention(query, key, value, segment_ids=segments, scale=scale)


def test_a_scale_that_is_not_known_when_it_is_traced_is_refused():
    x_BNTH = jnp.ones((1, 2, 4, 4))
    with pytest.raises(ValueError, match="should be positive, finite, and a number, not an array"):
        jax.jit(lambda scale: attention(x_BNTH, x_BNTH, x_BNTH, scale=scale))(0.5)


def test_integers_are_refused():
    x_BNTH = jnp.ones((1, 2, 4, 4), int)
    with pytest.raises(ValueError, match="q_BNTH is int32, not floating point"):
        attention(x_BNTH, x_BNTH, x_BNTH)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": (1, 3, 4, 4), "value": (1, 3, 4, 4)}, "3 key heads do not divide 4"),
        ({"key": (1, 2, 5, 4), "value": (1, 2, 5, 4)}, r"should be \(1, K, 4, 4\)"),
        ({"key": (1, 0, 4, 4)}, "k_BKTH .* no axis may be empty"),
        ({"value": (1, 1, 4, 8)}, "only the last dimension may differ"),
        ({"segments": (1, 5)}, "segment_ids"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(change, message):
    shapes = {"query": (1, 4, 4, 4), "key": (1, 2, 4, 4), "value": (1, 2, 4, 4), "segments": (1, 4)}
    query, key, value, segments = (jnp.ones(shape) for shape in (shapes | change).values())
    with pytest.raises(ValueError, match=message):
        attention(query, key, value, segment_ids=segments)
