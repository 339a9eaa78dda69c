# SPDX-License-Identifier: Apache-2.0
"""Spans of documents, and the blocks that kernels visit because of them, against slow loops."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels._attention.operands import spans, visits

LENGTH = 32
numbers_of_documents = st.sets(st.integers(1, LENGTH - 1)).map(
    lambda cuts: np.searchsorted(sorted(cuts), np.arange(LENGTH), side="right").astype(np.int32)
)
sizes = st.sampled_from((1, 2, 4, 8, 16))


def spans_of(numbers: np.ndarray) -> tuple[list[int], list[int]]:
    found = spans(jnp.asarray(numbers)[None], 1, LENGTH)
    return found.first_BT[0].tolist(), found.last_BT[0].tolist()


def visible(numbers: np.ndarray) -> np.ndarray:
    """Whether each row sees each key, by the definition."""
    return (numbers[:, None] == numbers) & np.tri(LENGTH, dtype=bool)


@settings(deadline=None)
@given(numbers_of_documents)
def test_spans_are_what_each_position_sees_and_what_sees_it(numbers):
    first, last = spans_of(numbers)
    sees = visible(numbers)
    for position in range(LENGTH):
        keys, rows = np.flatnonzero(sees[position]), np.flatnonzero(sees[:, position])
        assert keys.tolist() == [*range(first[position], position + 1)]
        assert rows.tolist() == [*range(position, last[position] + 1)]


def test_without_segments_the_spans_are_those_of_one_document():
    for one, other in zip(spans(None, 2, 5), spans(jnp.ones((2, 5), jnp.int32), 2, 5), strict=True):
        np.testing.assert_array_equal(one, other)


@settings(deadline=None)
@given(numbers_of_documents, sizes, sizes)
def test_exactly_the_blocks_with_a_visible_pair_are_visited(numbers, own, other):
    first, last = spans_of(numbers)
    sees = visible(numbers)
    for t in range(0, LENGTH, own):
        u = t + own - 1
        as_queries = visits((first[t], u), (first[u], t), other)
        assert_visits(as_queries, sees[t : u + 1].T, other)
        as_keys = visits((t, last[u]), (u, last[t]), other)
        assert_visits(as_keys, sees[:, t : u + 1], other)


def assert_visits(found, pairs: np.ndarray, size: int) -> None:
    """`pairs`: whether each position sees, or is seen by, each of a program's own."""
    blocks = pairs.reshape(-1, size * pairs.shape[1])
    assert found.begin <= found.whole <= found.broken <= found.end
    assert [*range(found.begin, found.end)] == np.flatnonzero(blocks.any(axis=1)).tolist()
    assert [*range(found.whole, found.broken)] == np.flatnonzero(blocks.all(axis=1)).tolist()
