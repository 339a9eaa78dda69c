# SPDX-License-Identifier: Apache-2.0
"""Dependencies between the Go files of a repository: imported packages, and names of the own one.

A package is a folder. A file that imports it needs those of its files that declare the names used
of it (`util.Open`). Where no such name is found (`import _`, `import .`, names of files that are no
part of the repository), it needs all of them, but no more than the first 64 by path: a package of
thousands of files that thousands of others import would make millions of edges. Importable are
neither tests nor what go ignores (`_x.go`, `//go:build ignore`), nor programs. Where packages lie
is said in `modules`.

The files of one package see each other's declarations without import. A file needs those that
declare the names it uses: names of the package's functions, types, variables and constants that
stand after no dot. Scopes are not followed: a name that the file also gives to a variable, a
parameter or a field does not count. On Go's own library, 99 % of these edges are those of its type
checker, and the other way round. Methods do not count, as their names stand after a dot. What
another platform's file declares (`_windows.go` for `_linux.go`) is not seen, nor are tests by files
that are none; other build constraints all hold. C code by `import "C"` is of another family.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping

from coder.data.dependencies.go.modules import Modules, is_standard, prefixes
from coder.data.dependencies.go.sources import Source, can_meet, mask, qualified, read, used

LANGUAGES = ("Go",)
PROJECT_FILES = ("go.mod", "go.work")

MAX_DECLARATIONS = 128
"""Of how many files that declare the same name one may be meant; more are no package."""
MAX_FILES = 64
"""How many files of an imported package are needed where it is not known which."""

_HOSTS = ("github.com/", "gitlab.com/", "bitbucket.org/")


def build_index(files: Mapping[str, str], project: Mapping[str, str]) -> "Index":
    """Notes the packages of a repository and, from its `go.mod`s, how they are imported."""
    return Index({path: read(path, text) for path, text in files.items()}, Modules.read(project))


def targets(path: str, text: str, index: "Index") -> set[str]:
    """The files of imported packages and of the own one whose names a file uses."""
    code = mask(text)
    return index.imported(path, code) | index.siblings(path, code)


class Index:
    """The packages of a repository. Folders end with a slash; the repository itself is empty."""

    def __init__(self, sources: Mapping[str, Source], modules: Modules) -> None:
        """Indexes the files that `sources` names."""
        self._sources = sources
        self._modules = modules
        self._declaring = defaultdict[tuple[str, str], defaultdict[str, list[str]]](
            lambda: defaultdict(list)
        )
        for path, source in sorted(sources.items()):
            for name in () if source.alone else source.declared:
                self._declaring[source.folder, source.package][name].append(path)
        self._members = _importable(sources)
        self._prefix = self._guess_prefix()
        self._known: dict[tuple[str, str], list[str]] = {}

    def imported(self, path: str, code: str) -> set[str]:
        """The files that a file needs of the packages it imports."""
        source = self._sources[path]
        uses = qualified(code) if source.imports else {}
        needed = set[str]()
        for alias, name in source.imports:
            if members := self._package(source.folder, name):
                package = self._sources[members[0]]
                names = uses.get(alias or package.package, set())
                declaring = self._declaring_files(source, package, names)
                found = {other for other in declaring if not self._sources[other].is_test}
                needed.update(found or members[:MAX_FILES])
        return needed

    def _package(self, folder: str, name: str) -> list[str]:
        """The files of the package that a path means when files of a folder import it."""
        key = folder, name
        if key not in self._known:
            found = (self._members.get(place) for place in self._modules.places(folder, name))
            members = next((files for files in found if files), None)
            if members is None and self._prefix and self._modules.around(folder) is None:
                place = f"{name}/".removeprefix(f"{self._prefix}/")
                members = self._members.get(place) if place != f"{name}/" else None
            self._known[key] = members or []
        return self._known[key]

    def _guess_prefix(self) -> str:
        """The path of a repository without go.mod: what most import paths have before folders.

        A path that continues it with no folder of the repository speaks against it. Hosts of
        repositories have an owner and a name after theirs.
        """
        names = {
            name
            for source in self._sources.values()
            for _, name in source.imports
            if "." in name.partition("/")[0].lstrip(".")
            and not is_standard(name)
            and self._modules.around(source.folder) is None
        }
        hits, uses = Counter[str](), Counter[str]()
        for name in names:
            for prefix in prefixes(name):
                uses[prefix] += 1
                hits[prefix] += f"{name[len(prefix) + 1 :]}/" in self._members
        likely = [
            (hits[prefix], prefix)
            for prefix, count in uses.items()
            if 2 * hits[prefix] >= count > 0
            and (prefix.count("/") > 1 or not prefix.startswith(_HOSTS))
        ]
        return max(likely, default=(0, ""))[1]

    def siblings(self, path: str, code: str) -> set[str]:
        """The files of the own package that declare names which a file uses."""
        source = self._sources[path]
        if source.alone or not self._declaring.get((source.folder, source.package)):
            return set()
        return self._declaring_files(source, source, used(code) - source.declared)

    def _declaring_files(self, user: Source, package: Source, names: set[str]) -> set[str]:
        """The files of a package, named by one of them, that declare names for a user."""
        declaring = self._declaring.get((package.folder, package.package), {})
        return {
            other
            for name in names & declaring.keys()
            if len(declaring[name]) <= MAX_DECLARATIONS
            for other in declaring[name]
            if can_meet(user, self._sources[other])
        }


def _importable(sources: Mapping[str, Source]) -> dict[str, list[str]]:
    """Folder to the files of its package: no tests; programs (`main`) cannot be imported."""
    packages = defaultdict[str, defaultdict[str, list[str]]](lambda: defaultdict(list))
    for path, source in sorted(sources.items()):
        if not (source.alone or source.is_test or source.package in ("main", "")):
            packages[source.folder][source.package].append(path)
    # Other names in a folder are documentation, or what a build constraint excludes.
    return {
        folder: max(named.values(), key=lambda files: (len(files), files))
        for folder, named in packages.items()
    }
