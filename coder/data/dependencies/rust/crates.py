# SPDX-License-Identifier: Apache-2.0
"""What the `Cargo.toml` files of a repository say: packages, their crates, and where they depend.

A dependency leads to a package of the repository by its `path`, by that of the workspace's
dependency which it inherits, or by its name alone: a package that asks crates.io for another of
its own repository means that one, if in another version.
"""

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from os.path import commonprefix
from posixpath import normpath
from typing import Any

MAX_MANIFEST = 1 << 18
"""Longest Cargo.toml, in characters, that is read."""
MAX_COPIES = 32
"""Of how many packages of one name the nearest is looked for."""

# tomllib takes quadratic time for keys of many parts.
_LONG_KEY = re.compile(r"(?<![\w\"'-])(?:[\w\"'-]++[ \t]*+\.[ \t]*+){32}")
_DEPENDENCIES = ("dependencies", "dev-dependencies", "build-dependencies")
_TARGETS = {"bin": "src/bin/", "test": "tests/", "example": "examples/", "bench": "benches/"}


@dataclass
class Package:
    """A `[package]`. Folders end with a slash; the repository itself is empty."""

    folder: str
    name: str
    library: str
    """Name of its library crate, in code."""
    library_file: str
    edition: str
    files: list[str]
    """The roots of its other crates that are named; others lie at the usual places."""
    dependencies: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """Name in code to the package's own name and its folder, where that is said."""


class Packages:
    """All packages of a repository."""

    def __init__(self, project: Mapping[str, str]) -> None:
        """Reads them; a manifest that is no TOML, or that names no package, is passed over."""
        manifests = {_folder(path): _parse(text) for path, text in sorted(project.items())}
        self._around = dict[str, Package | None]()
        self.at = {
            folder: _package(folder, manifest["package"])
            for folder, manifest in manifests.items()
            if isinstance(manifest.get("package"), dict)
        }
        self._named = defaultdict[str, list[Package]](list)
        for folder, package in self.at.items():
            manifest = manifests[folder]
            library = _table(manifest, "lib")
            package.library = _text(library, "name") or package.library
            package.library_file = _join(folder, _text(library, "path") or "src/lib.rs")
            package.files += (
                _join(folder, path)
                for kind in _TARGETS
                for target in _list(manifest, kind)
                if (path := _text(target, "path"))
            )
            shared, outer = _workspace(folder, manifests)
            if _table(manifest["package"], "edition").get("workspace") is True:
                package.edition = _text(_table(manifests[outer]["workspace"], "package"), "edition")
            package.dependencies = dict(_dependencies(folder, manifest, shared, outer))
            self._named[package.name].append(package)

    def around(self, folder: str) -> Package | None:
        """The package that a folder is in."""
        if folder not in self._around:
            found = (self.at[outer] for outer in _upwards(folder) if outer in self.at)
            self._around[folder] = next(found, None)
        return self._around[folder]

    def meant(self, name: str, by: Package | None, folder: str) -> Package | None:
        """The package whose library a crate's name means in a package's code."""
        if by is None:
            return self._nearest(name, folder) or self._nearest(name.replace("_", "-"), folder)
        if name == by.library:
            return by
        package, place = by.dependencies.get(name, ("", None))
        if place is not None:
            return self.at.get(place)
        return self._nearest(package, folder) if package else None

    def _nearest(self, name: str, folder: str) -> Package | None:
        named = self._named.get(name, [])[:MAX_COPIES]
        return max(named, key=lambda found: len(commonprefix((found.folder, folder))), default=None)


def is_root(path: str, package: Package) -> bool:
    """Whether a file is the root of a crate of its package."""
    if path == package.library_file or path in package.files:
        return True
    within = path.removeprefix(package.folder)
    if within in ("src/main.rs", "build.rs"):
        return True
    place = next((place for place in _TARGETS.values() if within.startswith(place)), None)
    rest = within.removeprefix(place) if place else "//"
    return "/" not in rest or (rest.count("/") == 1 and rest.endswith("/main.rs"))


def _package(folder: str, table: Mapping[str, Any]) -> Package:
    name = _text(table, "name")
    build = _text(table, "build")
    files = [_join(folder, build)] if build else []
    edition = _text(table, "edition") or "2015"
    return Package(folder, name, name.replace("-", "_"), "", edition, files)


def _dependencies(
    folder: str, manifest: Mapping[str, Any], shared: Mapping[str, Any], outer: str
) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """Name in code, package and folder of what a package depends on."""
    tables = [manifest, *(t for t in _table(manifest, "target").values() if isinstance(t, dict))]
    for table in tables:
        for kind in _DEPENDENCIES:
            for name, wanted in _table(table, kind).items():
                base = folder
                if isinstance(wanted, dict) and wanted.get("workspace") is True:
                    wanted, base = shared.get(name, {}), outer
                path, package = _text(wanted, "path"), _text(wanted, "package")
                place = _join(base, f"{path}/") if path else None
                yield name.replace("-", "_"), (package or name, place)


def _workspace(
    folder: str, manifests: Mapping[str, dict[str, Any]]
) -> tuple[Mapping[str, Any], str]:
    """The dependencies that the workspace around a folder shares, and its folder."""
    for outer in _upwards(folder):
        if isinstance(manifests.get(outer, {}).get("workspace"), dict):
            return _table(manifests[outer]["workspace"], "dependencies"), outer
    return {}, folder


def _parse(text: str) -> dict[str, Any]:
    """A manifest; empty if it cannot be read."""
    if len(text) > MAX_MANIFEST or _LONG_KEY.search(text):
        return {}
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return {}


def _table(table: Any, name: str) -> dict[str, Any]:
    found = table.get(name) if isinstance(table, dict) else None
    return found if isinstance(found, dict) else {}


def _list(table: Mapping[str, Any], name: str) -> list[Any]:
    found = table.get(name)
    return found if isinstance(found, list) else []


def _text(table: Any, name: str) -> str:
    found = table.get(name) if isinstance(table, dict) else None
    return found if isinstance(found, str) else ""


def _folder(path: str) -> str:
    return path[: path.rfind("/") + 1]


def _join(folder: str, path: str) -> str:
    """A path as seen from a folder; a slash at the end stays."""
    found = normpath(folder + path)
    if path.endswith("/"):
        return "" if found == "." else f"{found}/"
    return found


def _upwards(folder: str) -> Iterator[str]:
    """A folder and those around it."""
    yield folder
    while folder:
        folder = folder[: folder.rfind("/", 0, -1) + 1]
        yield folder
