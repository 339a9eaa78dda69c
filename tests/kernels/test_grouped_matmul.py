# SPDX-License-Identifier: Apache-2.0
"""Every implementation of the grouped product against a loop over groups."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.grouped_matmul import grouped_matmul, implementations

ROWS, GROUPS, IN, OUT = 37, 5, 6, 7
X_TI = jax.random.normal(jax.random.key(0), (ROWS, IN))
WEIGHT_EIO = jax.random.normal(jax.random.key(1), (GROUPS, IN, OUT))
TOWARDS_TO = jax.random.normal(jax.random.key(2), (ROWS, OUT))

EXACT = [name for name in implementations() if name != "pallas_mosaic"]
"""Those that can multiply in float32."""

# The rows between cuts, and those behind the last cut in no group.
group_sizes = st.one_of(
    st.lists(st.integers(0, ROWS), min_size=GROUPS, max_size=GROUPS).map(
        lambda cuts: np.diff([0, *sorted(cuts)]).tolist()
    ),
    st.integers(0, GROUPS - 1).map(lambda all_in: [ROWS * (g == all_in) for g in range(GROUPS)]),
)


def by_group(x: Any, weight: Any, sizes: list[int]) -> np.ndarray:
    out, start = np.zeros((len(x), weight.shape[2])), 0
    for group, size in enumerate(sizes):
        out[start : start + size] = x[start : start + size] @ weight[group]
        start += size
    return out


@pytest.fixture(scope="module", params=EXACT)
def value_and_gradients(request: pytest.FixtureRequest) -> Any:
    def loss(x: jax.Array, weight: jax.Array, sizes: jax.Array) -> tuple[jax.Array, jax.Array]:
        out = grouped_matmul(x, weight, sizes, implementation=request.param)
        return jnp.sum(out * TOWARDS_TO), out

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))


@settings(max_examples=25, deadline=None)
@given(group_sizes)
def test_values_and_gradients_of_groups_of_any_size(value_and_gradients: Any, sizes: list[int]):
    x, weight, towards = (np.asarray(a, np.float64) for a in (X_TI, WEIGHT_EIO, TOWARDS_TO))
    (_, out), (d_x, d_weight) = value_and_gradients(X_TI, WEIGHT_EIO, jnp.asarray(sizes, jnp.int32))
    np.testing.assert_allclose(out, by_group(x, weight, sizes), atol=1e-5)
    np.testing.assert_allclose(d_x, by_group(towards, weight.transpose(0, 2, 1), sizes), atol=1e-5)
    ends = np.cumsum(sizes)
    expected = [
        x[end - size : end].T @ towards[end - size : end]
        for end, size in zip(ends, sizes, strict=True)
    ]
    np.testing.assert_allclose(d_weight, np.stack(expected), atol=2e-5)


@pytest.mark.parametrize("implementation", EXACT)
def test_the_result_has_the_type_of_the_rows(implementation: str):
    sizes = jnp.asarray([8] * 4 + [0], jnp.int32)
    half = grouped_matmul(
        X_TI.astype(jnp.bfloat16), WEIGHT_EIO, sizes, implementation=implementation
    )
    assert half.dtype == jnp.bfloat16
    expected = by_group(np.asarray(X_TI), np.asarray(WEIGHT_EIO), [8] * 4 + [0])
    np.testing.assert_allclose(half.astype(jnp.float32), expected, atol=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_TI": jnp.ones((3, 7))}, r"x_TI \(3, 7\) does not fit weight_EIO \(5, 6, 7\)"),
        ({"x_TI": jnp.ones((0, 6))}, r"x_TI \(0, 6\): no axis may be empty"),
        ({"x_TI": jnp.ones(6)}, r"x_TI \(6,\) does not fit weight_EIO \(5, 6, 7\)"),
        ({"x_TI": jnp.ones((3, 6), int)}, "x_TI is int32, not floating point"),
        ({"weight_EIO": jnp.ones((6, 7))}, r"weight_EIO \(6, 7\) should have three axes: E, I, O"),
        ({"weight_EIO": jnp.ones((5, 6, 7), int)}, "weight_EIO is int32, not floating point"),
        ({"group_sizes_E": jnp.ones(4, jnp.int32)}, r"group_sizes_E \(4,\) should be \(5,\)"),
        ({"group_sizes_E": jnp.ones(5)}, "group_sizes_E is float32, not integers"),
        ({"implementation": "fast"}, "implementation='fast': choose one of"),
        (
            {"implementation": "pallas_mosaic"},
            "'pallas_mosaic' has no grouped_matmul of float32 .* it has bfloat16",
        ),
        (
            {"implementation": "pallas_triton", "x_TI": X_TI.astype(jnp.float16)},
            "'pallas_triton' has no grouped_matmul of float16 .* it has bfloat16, float32",
        ),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str):
    arguments: dict[str, Any] = {
        "x_TI": X_TI,
        "weight_EIO": WEIGHT_EIO,
        "group_sizes_E": jnp.ones(5, jnp.int32),
    }
    with pytest.raises(ValueError, match=message):
        grouped_matmul(**(arguments | change))
