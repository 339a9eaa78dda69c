# SPDX-License-Identifier: Apache-2.0
"""The files that share the most folders with another."""

from os.path import commonprefix

from hypothesis import given, settings
from hypothesis import strategies as st

from coder.data.dependencies.nearest import nearest, parts_of

paths = st.lists(st.sampled_from(["a", "b", "ab", "a.", "é"]), min_size=1, max_size=4).map("/".join)


def shared(path: str, other: str) -> int:
    return len(commonprefix([path.split("/"), other.split("/")]))


@settings(deadline=None)
@given(paths, st.sets(paths, min_size=1, max_size=12), st.integers(1, 5))
def test_they_are_those_that_a_search_through_all_finds(path: str, others: set[str], most: int):
    best = max(shared(path, other) for other in others)
    wanted = [other for other in others if shared(path, other) == best]
    wanted.sort(key=lambda other: other.split("/"))
    assert nearest(tuple(path.split("/")), parts_of(others), most) == wanted[:most]
