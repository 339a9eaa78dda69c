# SPDX-License-Identifier: Apache-2.0
"""Aliases of TypeScript's modules: `paths`, `baseUrl` and `extends` of tsconfig.json."""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from coder.data.dependencies.javascript.settings import part, read_json, strings
from coder.data.dependencies.paths import join, upwards

PROJECT_FILES = ("tsconfig*.json", "jsconfig*.json", "*.tsconfig.json")

MAX_EXTENDED = 64
"""Settings that one tsconfig.json may extend, one through another."""
MAX_PATTERNS = 100
"""Patterns with one text before the `*` that are compared with a specifier."""


class Paths:
    """`compilerOptions.paths` and `baseUrl` of one tsconfig.json, what it extends included."""

    def __init__(self, paths: Mapping[str, list[str]], base: str | None) -> None:
        """Takes patterns and their paths, relative to the repository, and the folder of baseUrl."""
        self._base = base
        self._exact = {pattern: paths[pattern] for pattern in paths if "*" not in pattern}
        self._patterns = dict[str, list[tuple[str, list[str]]]]()
        with_star = paths.keys() - self._exact.keys()
        for pattern in sorted(with_star, key=lambda name: (-len(name), name)):
            prefix, _, suffix = pattern.partition("*")
            if len(same := self._patterns.setdefault(prefix, [])) < MAX_PATTERNS:
                same.append((suffix, paths[pattern]))
        self._lengths = sorted({len(prefix) for prefix in self._patterns}, reverse=True)

    def candidates(self, specifier: str) -> Iterator[str]:
        """The paths, without ending, that a specifier may stand for, by preference."""
        yield from self._listed(specifier)
        if self._base is not None and (path := join(self._base, specifier)) is not None:
            yield path

    def _listed(self, specifier: str) -> Iterable[str]:
        """Those of `paths`: the pattern with the longest text before the `*` counts."""
        if specifier in self._exact:
            return self._exact[specifier]
        for length in self._lengths:
            for suffix, paths in self._patterns.get(specifier[:length], ()):
                if len(specifier) >= length + len(suffix) and specifier.endswith(suffix):
                    matched = specifier[length : len(specifier) - len(suffix)]
                    return [posixpath.normpath(path.replace("*", matched, 1)) for path in paths]
        return ()


class Aliases:
    """What the tsconfig.json, jsconfig.json and their variants of a repository say."""

    def __init__(self, project: Mapping[str, str]) -> None:
        """Reads them from the texts of the repository's settings."""
        texts = {path: read_json(text) for path, text in project.items() if _is_config(path)}
        self._of_folder = dict[str, list[Paths]]()
        self._nearest = set[str]()  # folders whose files no configuration further up concerns
        for path in sorted(texts, key=lambda path: (not path.endswith("tsconfig.json"), path)):
            folder, name = posixpath.split(path)
            self._of_folder.setdefault(folder, []).append(_effective_paths(path, texts))
            if name in ("tsconfig.json", "jsconfig.json"):
                self._nearest.add(folder)
        self._above = dict[str, list[Paths]]()

    def of(self, folder: str) -> list[Paths]:
        """What holds in a folder; variants such as tsconfig.app.json say it as well as the rest."""
        if folder not in self._above:
            found = self._above[folder] = list[Paths]()
            for above in upwards(folder):
                found += self._of_folder.get(above, ())
                if above in self._nearest:
                    break
        return self._above[folder]


def _is_config(path: str) -> bool:
    name = posixpath.basename(path)
    return name.endswith(".json") and ("tsconfig" in name or name.startswith("jsconfig"))


def _effective_paths(path: str, texts: Mapping[str, dict[str, Any]]) -> Paths:
    """The nearest `paths` and `baseUrl` on the way from a tsconfig.json to those it extends."""
    folder, base, listed = posixpath.dirname(path), None, None
    for other in _extended(path, texts):
        here = posixpath.dirname(other)
        options = part(texts[other], "compilerOptions")
        url = options.get("baseUrl")
        if base is None and isinstance(url, str):
            base = _place(here, url, folder)
        if listed is None and isinstance(options.get("paths"), dict):
            listed = (here, options["paths"])
    if listed is None:
        return Paths({}, base)
    here, values = listed
    here = here if base is None else base
    places = {
        pattern: [_place(here, value, folder) for value in strings(values[pattern])]
        for pattern in values
    }
    return Paths({key: [path for path in places[key] if path is not None] for key in places}, base)


def _place(here: str, path: str, folder: str) -> str | None:
    """A path of a tsconfig.json in `here`; `${configDir}` is the folder of the one extending it."""
    if path.startswith("${configDir}"):
        return join(folder, "." + path.removeprefix("${configDir}"))
    return join(here, path)


def _extended(path: str, texts: Mapping[str, dict[str, Any]]) -> list[str]:
    """A tsconfig.json and those it extends, those that count more first."""
    order, waiting = list[str](), [path]
    while waiting and len(order) < MAX_EXTENDED:
        current = waiting.pop()
        if current in order:
            continue
        order.append(current)
        bases = texts[current].get("extends")
        for base in [bases] if isinstance(bases, str) else strings(bases):
            target = join(posixpath.dirname(current), base) if base.startswith(".") else None
            if target is not None:
                waiting += [name for name in (target, f"{target}.json") if name in texts][:1]
    return order
