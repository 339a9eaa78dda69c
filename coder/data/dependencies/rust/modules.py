# SPDX-License-Identifier: Apache-2.0
"""The trees of modules of a repository's Rust crates, by the Rust reference's rules for files."""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from posixpath import normpath

from coder.data.dependencies.rust.crates import Packages, is_root
from coder.data.dependencies.rust.sources import Declaration, Path, Source

MAX_PATH = 4096
"""Longest path of a folder; modules nested a million deep would take forever to name."""


@dataclass(eq=False)
class Module:
    """A module: a file, or part of one. Folders end with a slash; the repository is empty."""

    file: str
    """Empty if it must exist for the modules within, but does not."""
    folder: str
    """Where the files of the modules within lie."""
    parent: "Module | None" = None
    children: dict[str, "Module"] = field(default_factory=dict)
    names: dict[str, Path] = field(default_factory=dict)
    """What `use` declarations name."""
    globs: list[Path] = field(default_factory=list)
    """What they take in as a whole."""
    root: "Module" = field(init=False)
    """That of the crate."""

    def __post_init__(self) -> None:
        """The crate is the parent's; without one, this is its root."""
        self.root = self.parent.root if self.parent else self


class Tree:
    """The modules of all files. A file is a module of the first crate that declares it."""

    def __init__(self, sources: Mapping[str, Source], packages: Packages) -> None:
        """Builds the tree, from the roots of crates, libraries first, and then from the rest."""
        self._sources = sources
        self.roots: dict[str, Module] = {}
        """File to module, of the roots of crates."""
        self.scopes: dict[str, list[Module]] = {}
        """File to the modules that are its scopes."""
        self.declared = defaultdict[str, set[str]](set)
        """File to the files that it declares or includes."""
        libraries = {package.library_file for package in packages.at.values()}
        around = {path: packages.around(_folder(path)) for path in sources}
        roots = [path for path, package in around.items() if package and is_root(path, package)]
        for path in sorted(roots, key=lambda path: (path not in libraries, path)):
            self._add_root(path)
        for path in sorted(sources.keys() - self.scopes.keys(), key=_outer_first):
            if path not in self.scopes:
                self._add_stray(path)

    def _add_root(self, path: str) -> None:
        if path not in self.scopes:
            self.roots[path] = Module(path, _folder(path))
            self._add(self.roots[path])

    def _add_stray(self, path: str) -> None:
        """A file that nothing declares: a module of the one that should, judging by its place."""
        folder, name = _own_folder(path), path.rpartition("/")[2]
        if name in ("lib.rs", "main.rs"):
            self._add_root(path)
            return
        missing = list[str]()
        while folder and name != "build.rs":
            outer = folder[: folder.rfind("/", 0, -1) + 1]
            missing.append(folder[len(outer) : -1])
            places = (f"{outer}mod.rs", f"{outer[:-1]}.rs", f"{outer}lib.rs", f"{outer}main.rs")
            parent = next((self.scopes[place][0] for place in places if place in self.scopes), None)
            if parent is not None:
                break
            folder = outer
        else:
            self._add_root(path)
            return
        for inner in reversed(missing[1:]):
            inside = Module("", f"{parent.folder}{inner}/", parent)
            parent = parent.children.setdefault(inner, inside)
        module = Module(path, _own_folder(path), parent)
        parent.children.setdefault(missing[0], module)
        self._add(module)

    def _add(self, module: Module) -> None:
        """Adds the modules that a file declares, and those that they do."""
        waiting = deque([module])
        self._set_scopes(module)
        while waiting:
            path = waiting.popleft().file
            source, scopes = self._sources[path], self.scopes[path]
            for declaration in source.declarations:
                scope = scopes[declaration.scope]
                for file, folder in _places(declaration, path, scope):
                    if file not in self._sources:
                        continue
                    self.declared[path].add(file)
                    if file not in self.scopes:
                        inner = Module(file, folder, scope)
                        self._set_scopes(inner)
                        waiting.append(inner)
                    scope.children.setdefault(declaration.name, self.scopes[file][0])
                    if not declaration.conditional:
                        break
            for at, name in source.includes:
                file = _join(_folder(path), name)
                if file in self._sources:
                    self.declared[path].add(file)
                    if file not in self.scopes:  # its code stands in the including module
                        self._set_scopes(scopes[at], file)
                        waiting.append(Module(file, _folder(file)))

    def _set_scopes(self, module: Module, path: str = "") -> None:
        """The modules written out in a file, and the names that each gives."""
        path = path or module.file
        scopes = self.scopes[path] = [module]
        for parent, name in self._sources[path].scopes[1:]:
            outer = scopes[parent]
            inner = outer.children.get(name)
            if inner is None or inner.file != module.file:
                inner = Module(module.file, _inside(outer.folder, name), outer)
                outer.children.setdefault(name, inner)
            scopes.append(inner)
        for use in (*self._sources[path].uses, *self._sources[path].crates):
            if use.name == "*":
                scopes[use.scope].globs.append(use.path)
            else:
                scopes[use.scope].names.setdefault(use.name, use.path)


def _places(declaration: Declaration, path: str, scope: Module) -> Iterator[tuple[str, str]]:
    """The files that `mod name;` may mean, and where the modules within each lie."""
    base = scope.folder if declaration.scope else _folder(path)
    for name in declaration.files:
        file = _join(base, name)
        yield file, _folder(file)
    if declaration.conditional or not declaration.files:
        inner = f"{scope.folder}{declaration.name}"
        yield f"{inner}.rs", f"{inner}/"
        yield f"{inner}/mod.rs", f"{inner}/"


def _inside(folder: str, name: str) -> str:
    """The folder of a module that is written out; below a depth that no file lies in, the same."""
    return f"{folder}{name}/" if len(folder) + len(name) < MAX_PATH else folder


def _own_folder(path: str) -> str:
    """The folder of the modules within a file that is not the root of a crate."""
    return _folder(path) if path.endswith("/mod.rs") else f"{path.removesuffix('.rs')}/"


def _outer_first(path: str) -> tuple[int, bool, str]:
    name = path.rpartition("/")[2]
    return path.count("/"), name not in ("lib.rs", "main.rs", "mod.rs"), path


def _folder(path: str) -> str:
    return path[: path.rfind("/") + 1]


def _join(folder: str, name: str) -> str:
    return normpath(folder + name) if name else ""
