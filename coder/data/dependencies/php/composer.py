# SPDX-License-Identifier: Apache-2.0
"""Where Composer's autoloader looks for classes: `autoload` and `autoload-dev` of composer.json."""

import json
import posixpath
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping
from typing import Any

from coder.data.dependencies.paths import join

MAX_PREFIXES = 200
"""Prefixes of PSR-0, of which any text may be one, that a class is compared with."""


class Autoload:
    """The rules of all composer.json files of a repository; what cannot be read is ignored."""

    def __init__(self, project: Mapping[str, str]) -> None:
        self.files = set[str]()
        """Files that are loaded in any case: what they declare is there for all others."""
        self._psr4 = defaultdict[str, list[str]](list)
        self._psr0 = list[tuple[str, str]]()
        for path in sorted(project):
            if posixpath.basename(path) == "composer.json":
                self._read(posixpath.dirname(path), project[path])
        self._deepest = max((prefix.count("\\") + 1 for prefix in self._psr4), default=0)

    def _read(self, folder: str, text: str) -> None:
        try:
            manifest = json.loads(text)
        except (ValueError, RecursionError):
            return
        for name in ("autoload", "autoload-dev"):
            rules = _object(_object(manifest).get(name))
            for prefix, place in _places(folder, _object(rules.get("psr-4"))):
                self._psr4[prefix.strip("\\")].append(place)
            for prefix, place in _places(folder, _object(rules.get("psr-0"))):
                if len(self._psr0) < MAX_PREFIXES:
                    self._psr0.append((prefix.lstrip("\\"), place))
            self.files |= {place for _, place in _places(folder, {"": rules.get("files")})}

    def locations(self, name: str) -> Iterator[str]:
        """The paths where a class should lie: by PSR-4, the longest prefix first, and by PSR-0."""
        parts = name.split("\\")
        for size in range(min(len(parts) - 1, self._deepest), -1, -1):
            for place in self._psr4.get("\\".join(parts[:size]), ()):
                yield posixpath.join(place, *parts[size:]) + ".php"
        inner = "/".join((*parts[:-1], *parts[-1].split("_")))
        for prefix, place in self._psr0:
            if name.startswith(prefix):
                yield posixpath.join(place, inner) + ".php"

    def find(self, name: str, paths: Container[str]) -> str | None:
        """The first of the locations of a class that is among the paths."""
        return next((place for place in self.locations(name) if place in paths), None)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _places(folder: str, rules: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Prefixes and the folders or files, one by one, that they are given in a composer.json."""
    for prefix, value in rules.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str) and (place := join(folder, item)) is not None:
                yield prefix, place
