# SPDX-License-Identifier: Apache-2.0
"""Dependencies between the Rust files of a repository, through the tree of its modules.

A file needs the files of the modules that it declares (`mod x;`: `x.rs` or `x/mod.rs`, or what
`#[path]` says), those that it includes (`include!("x.rs")`), and those that its paths lead to: in
`use` declarations and in code (`crate::a::f()`), by `crate`, `self` and `super`, by names that
`use` gives, by modules in scope, and by the libraries of other packages of the repository. The file
meant is that of the last module on the path. A re-export is not followed: its own file is needed.
So a module often needs its parent (`use super::*`), which declares it: Rust allows cycles.

`#[cfg]`s all hold. The modules of a file that no crate declares, as its parent is missing or is no
crate's either, are told from where it lies.
"""

from collections.abc import Mapping

from coder.data.dependencies.rust.crates import Packages
from coder.data.dependencies.rust.modules import Module, Tree
from coder.data.dependencies.rust.sources import Path, Source, read

LANGUAGES = ("Rust",)
PROJECT_FILES = ("Cargo.toml",)

MAX_HOPS = 8
"""How often a name may stand for a path that begins with another such name."""
MAX_GLOBS = 8
"""How many `use …::*` of a module are looked through for a name."""


def build_index(files: Mapping[str, str], project: Mapping[str, str]) -> "Index":
    """Builds the trees of modules of all crates of a repository."""
    sources = {path: read(text) for path, text in files.items()}
    packages = Packages(project)
    return Index(sources, packages, Tree(sources, packages))


def targets(path: str, text: str, index: "Index") -> set[str]:
    """The files that a file declares as modules, includes, or names a part of."""
    return index.targets(path)


class Index:
    """The modules of a repository and what their names mean."""

    def __init__(self, sources: Mapping[str, Source], packages: Packages, tree: Tree) -> None:
        self._sources, self._packages, self._tree = sources, packages, tree

    def targets(self, path: str) -> set[str]:
        """The files that a file needs."""
        source, scopes = self._sources[path], self._tree.scopes[path]
        found = set(self._tree.declared[path])
        for use in (*source.uses, *source.crates):
            module = self._used(use.path, scopes[use.scope], MAX_HOPS)
            found.add(module.file if module else "")
        for scope, name in source.paths:
            module = self._named(name, scopes[scope], MAX_HOPS)
            found.add(module.file if module else "")
        return found - {""}

    def _used(self, path: Path, scope: Module, hops: int) -> Module | None:
        """The last module on a path in a `use`, which before 2018 starts at the crate's root."""
        package = self._packages.around(scope.folder)
        if package and package.edition == "2015" and path[0] not in ("crate", "self", "super"):
            return self._named(path[1:] if path[0] == "" else path, scope.root, hops)
        return self._named(path, scope, hops)

    def _named(self, path: Path, scope: Module, hops: int) -> Module | None:
        """The last module on a path that stands in a module; None: it leads out of here."""
        first, rest = path[0] if path else "self", path[1:]
        if first == "self" and rest[:1] != ("super",):
            return _descend(scope, rest)
        if first in ("self", "super"):
            module = scope.parent if first == "super" else scope
            while module and rest[:1] == ("super",):
                module, rest = module.parent, rest[1:]
            return _descend(module, rest) if module else None
        if first == "crate":
            return _descend(scope.root, rest)
        if first == "":
            return self._in_crate(rest, scope) if rest else None
        base = self._in_scope(first, scope, hops)
        return _descend(base, rest) if base else self._in_crate(path, scope)

    def _in_scope(self, name: str, scope: Module, hops: int) -> Module | None:
        """The module that a name stands for in a module, or the one whose item it is."""
        if name in scope.children:
            return scope.children[name]
        if hops == 0:
            return None
        if path := scope.names.get(name):
            if path[0] == name:  # `use serde;` is about a crate, not about itself
                return self._in_crate(path, scope)
            return self._used(path, scope, hops - 1)
        for glob in scope.globs[:MAX_GLOBS]:
            module = self._used(glob, scope, 0)
            if module and module is not scope:
                if found := self._in_scope(name, module, min(hops - 1, 1)):
                    return found
        return None

    def _in_crate(self, path: Path, scope: Module) -> Module | None:
        """The last module on a path that begins with a crate's name."""
        package = self._packages.around(scope.folder)
        found = self._packages.meant(path[0], package, scope.folder)
        library = self._tree.roots.get(found.library_file) if found else None
        return _descend(library, path[1:]) if library else None


def _descend(module: Module, path: Path) -> Module:
    """The last module on a path from a module on."""
    for name in path:
        if name not in module.children:
            break
        module = module.children[name]
    return module
