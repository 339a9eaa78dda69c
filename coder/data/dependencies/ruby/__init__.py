# SPDX-License-Identifier: Apache-2.0
"""Which Ruby files require which: `require_relative`, `require`, `load` and `autoload`.

Paths count if they are written out. What `require` looks for is looked up below `lib`, `test` and
`spec` of the folders around the file, and what their gemspecs name; then in the other gems of the
repository, and in folders that some file puts on `$LOAD_PATH`. Paths that begin with a dot, and
those of `load`, start from the working directory: the file's folder or one above it is taken.
"""

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from coder.data.dependencies.nearest import Parts, nearest
from coder.data.dependencies.paths import join, upwards
from coder.data.dependencies.ruby.source import Source, read

LANGUAGES = ("Ruby",)
PROJECT_FILES = ("*.gemspec",)

_USUAL_ROOTS = ("lib", "test", "spec")
_REQUIRE_PATHS = re.compile(
    r"\brequire_paths?\s*+=\s*+(\[[^\]]*+\]|%w.[^)\]}>|/!]*+|[\"'][^\"']*+)"
)
_FOLDER = re.compile(r"[\w.][\w./-]*+")


def build_index(files: Mapping[str, str], project: Mapping[str, str]) -> "Index":
    """Reads the Ruby files of a repository and notes what `require` may find where."""
    return Index({path: read(path, text) for path, text in files.items()}, project)


def targets(path: str, text: str, index: "Index") -> set[str]:
    """The files that a file requires."""
    return index.targets(path)


class Index:
    """The files of a repository by the names that `require` gives them."""

    def __init__(self, sources: Mapping[str, Source], project: Mapping[str, str]) -> None:
        """Indexes the files that `sources` names, by the gemspecs in `project`."""
        self._sources = sources
        gems = defaultdict[str, set[str]](set)  # folder to its roots
        for path, text in project.items():
            folder = posixpath.dirname(path)
            gems[folder].update(_gem_roots(folder, text))
        everywhere = {root for roots in gems.values() for root in roots}
        for source in sources.values():
            everywhere |= source.load_path
        self._of_folder = defaultdict[tuple[str, str], list[Parts]](list)
        self._everywhere = defaultdict[str, list[Parts]](list)
        for parts in sorted(tuple(path.split("/")) for path in sources):
            path = "/".join(parts)
            for root in upwards(posixpath.dirname(path)):
                name = path[len(root) :].lstrip("/")
                if posixpath.basename(root) in _USUAL_ROOTS:
                    self._of_folder[posixpath.dirname(root), name].append(parts)
                if root in everywhere:
                    self._everywhere[name].append(parts)

    def targets(self, path: str) -> set[str]:
        """The files of the repository that a file requires."""
        source = self._sources[path]
        found = {self._file(place) for place in source.needed}
        found |= {self._required(path, verb, name) for verb, name in source.required}
        return {target for target in found if target is not None}

    def _required(self, path: str, verb: str, name: str) -> str | None:
        """The file of a path that is no place in the repository yet."""
        folder = posixpath.dirname(path)
        if verb == "require_relative":
            return self._below(folder, name)
        if verb == "load" or name.startswith(("./", "../")):
            for above in upwards(folder):
                if found := self._below(above, name):
                    return found
        clean = posixpath.normpath(name)
        return self._on_load_path(path, clean) or self._on_load_path(path, f"{clean}.rb")

    def _below(self, folder: str, name: str) -> str | None:
        place = join(folder, name)
        return None if place is None else self._file(place)

    def _file(self, place: str) -> str | None:
        """The file of a path with or without ending."""
        return next((name for name in (f"{place}.rb", place) if name in self._sources), None)

    def _on_load_path(self, path: str, name: str) -> str | None:
        """The file of a name below the roots around a file, or below those that all files see."""
        for folder in upwards(posixpath.dirname(path)):
            if found := self._of_folder.get((folder, name)):
                return nearest(tuple(path.split("/")), found, 1)[0]
        if found := self._everywhere.get(name):
            return nearest(tuple(path.split("/")), found, 1)[0]
        return None


def _gem_roots(folder: str, gemspec: str) -> Iterator[str]:
    """The folders that a gemspec puts on the load path: `lib`, unless it says which."""
    named = [root for found in _REQUIRE_PATHS.findall(gemspec) for root in _folders(found)]
    for root in named or ["lib"]:
        if (place := join(folder, root)) is not None:
            yield place


def _folders(listed: str) -> list[str]:
    return _FOLDER.findall(listed[3:] if listed.startswith("%w") else listed)
