# SPDX-License-Identifier: Apache-2.0
"""`exports` and `imports` of a package.json: keys, patterns with `*`, conditions, alternatives."""

from collections.abc import Iterator
from typing import Any

MAX_PATTERNS = 200
"""Patterns of one table that are compared with a specifier."""

# Conditions that hold on one platform only: what holds everywhere comes first.
_PLATFORMS = frozenset(
    "browser bun deno edge-light electron production react-native react-server worker".split()
)


class Exports:
    """A table from what importers write to where the files are."""

    def __init__(self, value: Any) -> None:
        """Reads a table, or the value of its only key `.`."""
        is_table = isinstance(value, dict) and any(name.startswith((".", "#")) for name in value)
        self._table: dict[str, Any] = value if is_table else {".": value}
        patterns = [key for key in self._table if "*" in key or key.endswith("/")]
        patterns.sort(key=lambda key: -len(key.partition("*")[0]))
        self._patterns = patterns[:MAX_PATTERNS]

    def paths(self, key: str) -> list[str]:
        """The paths of a key, relative to the package; the most general conditions first."""
        if key in self._table:
            return _leaves(self._table[key])
        for pattern in self._patterns:  # the one with the longest text before the `*` counts
            prefix, star, suffix = pattern.partition("*")
            if len(key) >= len(pattern) and key.startswith(prefix) and key.endswith(suffix):
                matched = key[len(prefix) : len(key) - len(suffix)]
                paths = _leaves(self._table[pattern])
                return [path.replace("*", matched) if star else path + matched for path in paths]
        return []


def _leaves(value: Any) -> list[str]:
    """The strings in nested conditions and lists, in their order, those of one platform last."""
    return [leaf for _, leaf in sorted(_ranked(value), key=lambda ranked: ranked[0])]


def _ranked(value: Any) -> Iterator[tuple[bool, str]]:
    stack = [(False, value)]
    while stack:
        platform, current = stack.pop()
        if isinstance(current, str):
            yield platform, current
        elif isinstance(current, list):
            stack += [(platform, item) for item in reversed(current)]
        elif isinstance(current, dict):
            for condition in reversed(current):
                stack.append((platform or condition in _PLATFORMS, current[condition]))
