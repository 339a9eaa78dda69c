# SPDX-License-Identifier: Apache-2.0
"""Which file of a repository a specifier leads to.

Relative specifiers: the file itself, with another ending (`./x`; `./x.js` for `x.ts`), or the entry
of a folder. Others: `paths` and `baseUrl` of the nearest tsconfig.json; then the
packages of the repository by name. Packages lead to what they publish, `dist/index.js`, which is
built and seldom there: then it is looked for among the sources, `src/index.ts`.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping

from coder.data.dependencies.javascript.exports import Exports
from coder.data.dependencies.javascript.packages import read_packages
from coder.data.dependencies.javascript.tsconfig import Aliases
from coder.data.dependencies.paths import join

_TYPED = (".ts", ".tsx", ".d.ts")
_PLAIN = (".js", ".jsx", ".mjs", ".cjs")
_RARE = (".mts", ".cts", ".d.mts", ".d.cts", ".vue", ".svelte", ".json")
_FROM_TYPESCRIPT = (*_TYPED, *_PLAIN, *_RARE)
_FROM_JAVASCRIPT = (*_PLAIN, *_TYPED, *_RARE)
# Sources name what they will be compiled to.
_COMPILED_FROM = {
    ".js": (".ts", ".tsx", ".d.ts", ".jsx"),
    ".jsx": (".tsx", ".d.ts"),
    ".mjs": (".mts", ".d.mts"),
    ".cjs": (".cts", ".d.cts"),
}
_DECLARATION = re.compile(r"\.d\.[mc]?ts$")
_CODE_ENDING = re.compile(r"(?:\.d)?\.[mc]?[jt]sx?$")
_BUILT = re.compile(
    r"_?(?:dist|build|lib|out|output|es|esm|cjs|umd|types|typings|dts|module|commonjs)(?:[-_.\d].*)?"
)
_ENTRIES = ("src/index", "index", "src/main", "lib/index")


class Index:
    """The files of a repository, its packages and its aliases."""

    def __init__(self, files: Iterable[str], project: Mapping[str, str]) -> None:
        """Indexes the files, by the settings in `project`."""
        self._files = frozenset(files)
        self._packages = read_packages(project)
        self._aliases = Aliases(project)
        self._exports = dict[tuple[str, str], Exports]()

    def target(self, path: str, specifier: str) -> str | None:
        """The file that a specifier in `path` leads to; None if it is none of the repository."""
        typed = not path.endswith(_PLAIN)
        folder = posixpath.dirname(path)
        specifier = specifier.partition("?")[0]  # bundlers take options there
        if not specifier or "\0" in specifier:
            return None
        if specifier in (".", "..") or specifier.startswith(("./", "../")):
            place = join(folder, specifier)
            only_folder = specifier.endswith(("/", "/.", "..")) or specifier == "."
            return None if place is None else self._at(place, typed, only_folder)
        return self._aliased(folder, specifier, typed) or self._of_package(folder, specifier, typed)

    def _at(self, place: str, typed: bool, only_folder: bool = False) -> str | None:
        """The file that a path without ending, or a folder, stands for."""
        if not only_folder and (found := self._file(place, typed)):
            return found
        if place in self._packages.manifests and (found := self._main(place, typed)):
            return found
        return self._index(place, typed)

    def _file(self, place: str, typed: bool) -> str | None:
        """The file of a path with or without ending."""
        stem, ending = posixpath.splitext(place)
        sources = [stem + other for other in _COMPILED_FROM.get(ending, ())]
        names = (*sources, place) if typed else (place, *sources)
        for name in names:
            if name in self._files:
                return name
        endings = _FROM_TYPESCRIPT if typed else _FROM_JAVASCRIPT
        return next((place + ending for ending in endings if place + ending in self._files), None)

    def _index(self, folder: str, typed: bool) -> str | None:
        return self._file(posixpath.join(folder, "index"), typed)

    def _aliased(self, folder: str, specifier: str, typed: bool) -> str | None:
        """By `paths` and `baseUrl`."""
        for paths in self._aliases.of(folder):
            for place in paths.candidates(specifier):
                if found := self._at(place, typed):
                    return found
        return None

    def _of_package(self, folder: str, specifier: str, typed: bool) -> str | None:
        """By `imports` of the package around, or by the name of a package."""
        if specifier.startswith("#"):
            around = self._packages.around(folder)
            return None if around is None else self._published(around, "imports", specifier, typed)
        parts = specifier.split("/")
        size = 2 if specifier.startswith("@") else 1
        package = self._packages.find(folder, "/".join(parts[:size]))
        if package is None:
            return None
        inner = "/".join(parts[size:])
        if found := self._published(package, "exports", f"./{inner}" if inner else ".", typed):
            return found
        if not inner:
            return self._main(package, typed)
        place = join(package, inner)
        if place is None:
            return None
        return self._at(place, typed) or self._source(package, place, typed)

    def _published(self, package: str, table: str, key: str, typed: bool) -> str | None:
        """What `exports` or `imports` of a package.json say of a key."""
        if (package, table) not in self._exports:
            value = self._packages.manifests[package].get(table)
            self._exports[package, table] = Exports(value)
        leaves = self._exports[package, table].paths(key)
        if not typed:
            leaves.sort(key=lambda leaf: bool(_DECLARATION.search(leaf)))
        return self._first(package, [leaf for leaf in leaves if leaf.startswith(".")], typed)

    def _main(self, package: str, typed: bool) -> str | None:
        """The entry of a package, or of a folder with a package.json, without `exports`."""
        types, code = ("types", "typings"), ("module", "main")
        names = ("source", *types, *code) if typed else ("source", *code, *types)
        values = [self._packages.manifests[package].get(name) for name in names]
        if found := self._first(package, [name for name in values if isinstance(name, str)], typed):
            return found
        entries = (self._file(posixpath.join(package, name), typed) for name in _ENTRIES)
        return next(filter(None, entries), None)

    def _first(self, package: str, paths: list[str], typed: bool) -> str | None:
        """The first path of a package with a file; if there is none, the first with a source."""
        places = [place for path in paths if (place := join(package, path)) is not None]
        for place in places:
            if found := self._file(place, typed) or self._index(place, typed):
                return found
        for place in places:
            if found := self._source(package, place, typed):
                return found
        return None

    def _source(self, package: str, place: str, typed: bool) -> str | None:
        """The source of what would be built at a place: `dist/esm/a.js` from `src/a.ts`."""
        around = package if place.startswith(f"{package}/") or not package else ""
        names = place[len(around) :].strip("/").split("/")
        built = next((at for at, name in enumerate(names) if _BUILT.fullmatch(name)), 0)
        above, below = names[:built], names[built:]
        while len(below) > 1 and _BUILT.fullmatch(below[0]):
            below = below[1:]
        inner = _CODE_ENDING.sub("", "/".join(below))
        for root in (posixpath.join(around, *above, "src"), posixpath.join(around, *above)):
            candidate = posixpath.join(root, inner)
            if found := self._file(candidate, typed) or self._index(candidate, typed):
                return found
        return None
