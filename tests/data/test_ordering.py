# SPDX-License-Identifier: Apache-2.0
"""The order of files against algorithm 1 taken literally, and components by brute force."""

import random

from hypothesis import given
from hypothesis import strategies as st

from coder.data.ordering import ORDERS, components, dependency_order, order_files

PATHS = [f"{folder}/{name}.py" for folder in "ab" for name in "cdefg"]
Edges = dict[str, set[str]]

paths = st.sets(st.sampled_from(PATHS)).map(sorted)
edges = st.dictionaries(st.sampled_from(PATHS), st.sets(st.sampled_from(PATHS), max_size=3))


def algorithm_1(paths: list[str], edges: Edges) -> list[str]:
    """The paper's loop, quadratic, on one component; ties by path."""
    degree = {file: sum(a != file and a in edges.get(file, ()) for a in paths) for file in paths}
    results: list[str] = []
    while len(results) < len(paths):
        left = [file for file in paths if file not in results]
        first = min(left, key=lambda file: (degree[file], file))
        for file in left:
            if file != first and first in edges.get(file, ()):
                degree[file] -= 1
        results.append(first)
    return results


def components_by_merging(paths: list[str], edges: Edges) -> list[list[str]]:
    groups = [{path} for path in paths]
    for path, needed in edges.items():
        for other in needed & set(paths) if path in paths else ():
            (left,) = (group for group in groups if path in group)
            (right,) = (group for group in groups if other in group)
            if left is not right:
                groups.remove(right)
                left |= right
    return sorted(sorted(group) for group in groups)


@given(paths, edges)
def test_the_order_is_that_of_algorithm_1(paths: list[str], edges: Edges):
    assert dependency_order(paths, edges) == algorithm_1(paths, edges)


@given(paths, edges)
def test_components_are_those_of_merging(paths: list[str], edges: Edges):
    assert components(paths, edges) == components_by_merging(paths, edges)


@given(paths, edges)
def test_without_cycles_every_file_follows_what_it_needs(paths: list[str], edges: Edges):
    acyclic = {path: {other for other in needed if other < path} for path, needed in edges.items()}
    place = {path: number for number, path in enumerate(dependency_order(paths, acyclic))}
    for path in paths:
        assert all(place[other] < place[path] for other in acyclic.get(path, set()) & set(paths))


@given(paths, edges, st.sampled_from(ORDERS), st.integers(0, 3), st.randoms())
def test_every_order_has_every_file_once_and_the_same_documents(
    paths: list[str], edges: Edges, order, seed: int, rng: random.Random
):
    documents = order_files(paths, edges, order, seed, "repository")
    assert sorted(sum(documents, [])) == paths
    assert [sorted(document) for document in documents] == components(paths, edges)
    shuffled = rng.sample(paths, len(paths))
    assert order_files(shuffled, edges, order, seed, "repository") == documents


def test_orders_differ_as_they_say():
    files = [f"{number:02}.py" for number in range(20)]
    chain = {path: {needed} for path, needed in zip(files, files[1:], strict=False)}
    assert order_files(files, chain, "path", 0, "r") == [files]
    assert order_files(files, chain, "dependency", 0, "r") == [files[::-1]]
    draws = [order_files(files, chain, "random", seed, name) for seed in (0, 1) for name in "rs"]
    assert all(draws.count(draw) == 1 for draw in draws)
    assert order_files(files, chain, "random", 0, "r") == draws[0]


def test_a_cycle_is_entered_where_least_is_missing():
    edges = {"a": {"b", "c"}, "b": {"c"}, "c": {"a"}}  # b and c miss one file each, a two
    assert dependency_order("abc", edges) == ["b", "a", "c"]


def test_a_large_dense_repository_takes_no_quadratic_time():
    rng = random.Random(0)
    files = [f"{number}.py" for number in range(20_000)]
    edges = {path: set(rng.choices(files, k=4)) for path in files}
    (document,) = order_files(files, edges, "dependency", 0, "r")
    assert sorted(document) == sorted(files)
