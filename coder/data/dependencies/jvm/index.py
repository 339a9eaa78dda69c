# SPDX-License-Identifier: Apache-2.0
"""Where the types of a repository are declared, and which of them a file names.

The languages differ in what a simple name means where several things bear it; `_Reader._heads` has
their orders: the Java language specification's (6.4.1), Kotlin's (linked scopes), and Scala's
(chapter 2: what other files of the package declare is the weakest).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from coder.data.dependencies.inheritance import nesting_ancestors
from coder.data.dependencies.jvm.units import Import, Unit, dotted, last_parts, upwards
from coder.data.dependencies.nearest import Parts, nearest, parts_of

MAX_OVERLOADS = 16
"""A function or variable that more files declare, all of them equally near, leads to none."""
MAX_SCOPES = 64
"""Packages, and imports of everything, in which a file's names are looked up."""


class Index:
    """The declarations of a repository's files, whatever their language."""

    def __init__(self, units: Mapping[str, Unit]) -> None:
        """Indexes the units by the names they declare."""
        self._units = units
        types, functions = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
        self._packages, self._members, self._nesting = set[str](), set[str](), set[str]()
        for path, unit in units.items():
            self._members |= unit.members
            for package in unit.packages:
                self._packages.update(upwards(package))
            for name in unit.types:
                types[name].append(path)
                self._nesting.add(name.rpartition(".")[0])
            for name in unit.functions:
                functions[name].append(path)
        self._types = {name: parts_of(paths) for name, paths in types.items()}
        self._functions = {name: parts_of(paths) for name, paths in functions.items()}
        self._supertypes: dict[str, list[str]] = {}

    def targets(self, path: str) -> set[str]:
        """The files that declare what a file imports and names."""
        return _Reader(self, path, self._units[path]).targets()

    def is_type(self, name: str) -> bool:
        """Whether the repository declares a type of this full name."""
        return name in self._types

    def is_package(self, name: str) -> bool:
        """Whether the repository has files in this package, or in packages below it."""
        return name in self._packages

    def is_function(self, name: str) -> bool:
        """Whether a function or variable of this full name stands in a package."""
        return name in self._functions

    def is_member(self, name: str) -> bool:
        """Whether some type declares a function or variable of this simple name."""
        return name in self._members

    def declaring(self, name: str, user: Parts) -> set[str]:
        """The files, of those nearest to `user`, that declare a type, function or variable."""
        found = set(nearest(user, self._types[name], 1)) if name in self._types else set[str]()
        if name in self._functions:
            several = nearest(user, self._functions[name], MAX_OVERLOADS + 1)
            found.update(several if len(several) <= MAX_OVERLOADS else ())
        return found

    def nesting_ancestors(self, types: list[str]) -> list[str]:
        """The supertypes, direct or not, that have types within them; nearest first."""
        return nesting_ancestors(types, self._supertypes_of, self._nesting)

    def _supertypes_of(self, name: str) -> list[str]:
        """The full names of a type's direct supertypes in the repository."""
        if name not in self._supertypes:
            path = "/".join(self._types[name][0])  # the first, so that it hangs on no file's path
            unit = self._units[path]
            reader = _Reader(self, path, unit, inherits=False)
            for declared, written in unit.types.items():
                found = [reader.type_of(chain) for chain in dict.fromkeys(written)]
                self._supertypes.setdefault(declared, [full for full in found if full])
        return self._supertypes[name]


class _Reader:
    """One file's view of the repository."""

    def __init__(self, index: Index, path: str, unit: Unit, inherits: bool = True) -> None:
        self._index, self._path, self._unit = index, tuple(path.split("/")), unit
        self._own = last_parts(unit.types)
        self._inherits = inherits  # not where supertypes are looked up, which would never end
        self._packages = unit.packages[:MAX_SCOPES]
        self._ancestors = index.nesting_ancestors(list(unit.types)) if inherits else []
        self._explicit: dict[str, list[str]] = {}
        self._everything: dict[str, frozenset[str]] = {}
        self._found = set[str]()
        for statement in unit.imports:
            self._bring_in(statement)

    def targets(self) -> set[str]:
        """The files of the imports, which are found already, and of all names."""
        for chain in self._unit.names:
            head, _, rest = chain.partition(".")
            if head not in self._unit.hidden:
                for start in self._heads(head):
                    self._follow(start, rest)
                    break
        for name in self._unit.loose - self._unit.hidden:
            if not self._index.is_member(name) and name not in self._explicit:
                self._find_function(name)
        return self._found

    def type_of(self, chain: str) -> str | None:
        """The full name of the type that a dotted name stands for."""
        head, _, rest = chain.partition(".")
        for start in self._heads(head):
            found = self._follow(start, rest)
            return found if found and self._index.is_type(found) else None
        return None

    def _bring_in(self, statement: Import) -> None:
        """Notes what an import makes visible. The files it names are needed, used or not."""
        head, _, rest = statement.path.partition(".")
        for start in self._heads(head) if self._unit.relative else (head,):
            full = self._follow(start, rest)
            if full is not None:
                break
        else:
            full = None
        if statement.name is not None:
            self._explicit.setdefault(statement.name, []).extend([full] if full else [])
        elif full is not None and len(self._everything) < MAX_SCOPES:
            self._everything[full] = statement.hides

    def _heads(self, name: str) -> Iterator[str]:
        """The full names of what a simple name may stand for, types and packages, best first.

        There are none if it stands for something outside of the repository.
        """
        if name == "_root_" and self._unit.relative:
            yield ""
        if name in self._own:
            yield self._own[name]
        for ancestor in self._ancestors:
            if self._index.is_type(f"{ancestor}.{name}"):
                yield f"{ancestor}.{name}"
        if name in self._explicit:
            yield from self._explicit[name]
            return
        for full in self._visible(name):
            if self._index.is_type(full) or (self._unit.relative and self._index.is_package(full)):
                yield full
        if self._index.is_package(name):
            yield name

    def _visible(self, name: str) -> Iterator[str]:
        """The full names that a simple one may have by the packages and imports of everything."""
        everything = (
            f"{path}.{name}" for path, hides in self._everything.items() if name not in hides
        )
        here = (f"{package}.{name}" for package in self._packages)
        yield from everything if self._unit.relative else here
        yield from here if self._unit.relative else everything

    def _find_function(self, name: str) -> None:
        for full in self._visible(name):
            if self._index.is_function(full):
                self._found |= self._index.declaring(full, self._path)
                return

    def _follow(self, start: str, rest: str) -> str | None:
        """The full name of `start.rest`; the files of all types on the way there are needed."""
        index, current = self._index, start
        self._found |= index.declaring(current, self._path)
        for part in rest.split(".") if rest else ():
            full = dotted(current, part)
            if not (index.is_type(full) or index.is_package(full) or index.is_function(full)):
                full = self._inherited(current, part)
                if full is None:
                    return None
            current = full
            self._found |= index.declaring(current, self._path)
        return current

    def _inherited(self, owner: str, name: str) -> str | None:
        """The full name of a type by that of one that inherits it."""
        if self._inherits and self._index.is_type(owner) and not name[0].islower():
            for ancestor in self._index.nesting_ancestors([owner]):
                if self._index.is_type(f"{ancestor}.{name}"):
                    return f"{ancestor}.{name}"
        return None
