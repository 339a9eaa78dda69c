# SPDX-License-Identifier: Apache-2.0
"""The order of a repository's files: algorithm 1 of DeepSeek-Coder (section 2.2), or another."""

import heapq
from collections.abc import Iterable, Mapping, Set
from typing import Literal, get_args

from coder.data.records import stable_rng

Order = Literal["dependency", "random", "path"]
ORDERS: tuple[Order, ...] = get_args(Order)


def components(paths: Iterable[str], edges: Mapping[str, Set[str]]) -> list[list[str]]:
    """The connected components of the dependency graph, whatever the direction of its edges.

    Args:
        paths: the files.
        edges: file to the files that it depends on; edges to or from other files are ignored.

    Returns:
        Each component sorted, and the components by their smallest path.
    """
    neighbours: dict[str, list[str]] = {path: [] for path in sorted(paths)}
    for path, needed in edges.items():
        for other in needed:
            if path in neighbours and other in neighbours:
                neighbours[path].append(other)
                neighbours[other].append(path)
    found, seen = [], set[str]()
    for start in neighbours:
        if start in seen:
            continue
        seen.add(start)
        component = [start]
        for path in component:  # grows while it is walked through
            fresh = [other for other in dict.fromkeys(neighbours[path]) if other not in seen]
            seen.update(fresh)
            component += fresh
        found.append(sorted(component))
    return found


def dependency_order(paths: Iterable[str], edges: Mapping[str, Set[str]]) -> list[str]:
    """Files after the files that they depend on, as far as cycles allow.

    Repeatedly takes, of the files not yet taken, one with the fewest dependencies not yet taken
    (the paper's minimal in-degree: minimal, not zero, so that cycles end); of several, the one
    with the smallest path. The paper breaks ties at random. A heap of (in-degree, path), in which
    outdated entries stay and are skipped, makes it O((files + edges) log files).

    Args:
        paths: the files of one component, or of several.
        edges: file to the files that it depends on; itself and files outside `paths` are ignored.
    """
    paths = set(paths)
    missing = {path: len((edges.get(path, set()) & paths) - {path}) for path in paths}
    dependents: dict[str, list[str]] = {path: [] for path in paths}
    for path in paths:
        for needed in edges.get(path, ()):
            if needed in paths and needed != path:
                dependents[needed].append(path)
    heap = [(degree, path) for path, degree in missing.items()]
    heapq.heapify(heap)
    ordered: list[str] = []
    while heap:
        degree, path = heapq.heappop(heap)
        if missing.get(path) != degree:
            continue
        ordered.append(path)
        del missing[path]
        for dependent in dependents[path]:
            if dependent in missing:
                missing[dependent] -= 1
                heapq.heappush(heap, (missing[dependent], dependent))
    return ordered


def order_files(
    paths: Iterable[str], edges: Mapping[str, Set[str]], order: Order, seed: int, repository: str
) -> list[list[str]]:
    """The documents of a repository: its components, smallest path first, each in `order`.

    Args:
        paths: all files of the repository.
        edges: file to the files that it depends on. They make the components whatever the order,
            so that orders differ in nothing else.
        order: `dependency`, `random` (DeepSeek-Coder-V2) or `path`.
        seed: of `random`, with the repository's name and the component's smallest path.
        repository: its name.
    """
    documents = components(paths, edges)
    for document in documents:
        if order == "random":
            stable_rng(seed, "order", repository, document[0]).shuffle(document)
        elif order == "dependency":
            document[:] = dependency_order(document, edges)
    return documents
