# SPDX-License-Identifier: Apache-2.0
"""Of several files that declare one name, those that lie nearest to the file that uses it."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

Parts = tuple[str, ...]
"""A path, split at its slashes."""

_LAST = "\U0010ffff"


def parts_of(paths: Iterable[str]) -> list[Parts]:
    """Paths as `nearest` wants them."""
    return sorted({tuple(path.split("/")) for path in paths})


def nearest(path: Parts, candidates: list[Parts], most: int) -> list[str]:
    """The candidates that share the most folders with a path, itself above all; logarithmic time.

    Args:
        path: the file that looks for the others.
        candidates: sorted.
        most: how many to return, the first ones.
    """
    if len(candidates) == 1:
        return ["/".join(candidates[0])]
    at = bisect_left(candidates, path)
    around = candidates[max(0, at - 1) : at + 1]  # one of the two shares the most
    shared = path[: max(_shared(path, other) for other in around)]
    start = bisect_left(candidates, shared)
    end = bisect_right(candidates, (*shared, _LAST))
    return ["/".join(candidate) for candidate in candidates[start : min(end, start + most)]]


def _shared(path: Parts, other: Parts) -> int:
    """How many parts, from the first on, are the same."""
    for count, (ours, theirs) in enumerate(zip(path, other, strict=False)):
        if ours != theirs:
            return count
    return min(len(path), len(other))
