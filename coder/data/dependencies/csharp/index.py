# SPDX-License-Identifier: Apache-2.0
"""Where the types of a repository's C# files are declared, and which of them a file names."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from coder.data.dependencies.csharp.sources import ATTRIBUTE, Scope, Source, tidy
from coder.data.dependencies.inheritance import MAX_ANCESTORS, nesting_ancestors
from coder.data.dependencies.nearest import Parts, nearest, parts_of

MAX_PARTS = 16
"""Files that a use of a partial type leads to: the nearest ones, if there are more."""
MAX_USINGS = 256
"""Using directives of a file, or of a project, that names are looked up in."""

_USING = re.compile(r"<Using\s([^<>]*+)>")
_SETTING = re.compile(r'(\w++)\s*+=\s*+"([^"]*+)"')


class Index:
    """The declarations of a repository's C# files, and what its projects open for all of theirs."""

    def __init__(self, sources: Mapping[str, Source], project: Mapping[str, str]) -> None:
        """Indexes the sources by the types they declare."""
        self._sources = sources
        self._roots = {_folder(path) for path in project if path.endswith(".csproj")}
        self._simple, self._nesting, self._partial = set[str](), set[str](), set[str]()
        self._namespaces = set[str]()
        self._shared = defaultdict[str, list[Scope]](list)
        places = defaultdict[str, list[str]](list)
        for path, text in project.items():
            self._shared[_folder(path) if path.endswith(".csproj") else path].append(
                _settings(text)
            )
        for path, source in sources.items():
            self._partial |= source.partial
            self._shared[self.root(path)].append(source.shared)
            for namespace in {scope.namespace for scope in source.scopes}:
                self._namespaces.update(_upwards(namespace))
            for scope in source.scopes:
                self._simple.update(scope.aliases)
            self._simple.update(source.shared.aliases)
            for name in source.types:
                places[name].append(path)
                self._nesting.add(name.rpartition(".")[0])
        self._types = {name: parts_of(paths) for name, paths in places.items()}
        for name in (*self._types, *self._namespaces):
            self._simple.add(name.rpartition(".")[2])
        self._parts = {name: self._by_root(name) for name in self._partial}
        self._supertypes: dict[str, list[str]] = {}
        self._readers: dict[str, _Reader] = {}
        self._merged: dict[str, Scope] = {}

    def targets(self, path: str) -> set[str]:
        """The files that declare what a file names."""
        return _Reader(self, path, self._sources[path]).targets()

    def is_known(self, name: str) -> bool:
        """Whether the repository has a type or namespace of this full name."""
        return name in self._types or name in self._namespaces

    def is_type(self, name: str) -> bool:
        """Whether the repository declares a type of this full name."""
        return name in self._types

    def is_partial(self, name: str) -> bool:
        """Whether a type may have parts in several files."""
        return name in self._partial

    def may_be_known(self, name: str) -> bool:
        """Whether anything in the repository has this simple name, so that it is worth a search."""
        return name in self._simple

    def declaring(self, name: str, user: Parts) -> list[str]:
        """The file that declares a type, the nearest to `user`; all parts of a partial type."""
        if name not in self._types:
            return []
        found = nearest(user, self._types[name], 1)
        if name not in self._parts:
            return found
        own = self.root("/".join(user))
        parts = self._parts[name].get(own) or self._parts[name][self.root(found[0])]
        if len(parts) <= MAX_PARTS:
            return ["/".join(part) for part in parts]
        return nearest(user, parts, MAX_PARTS)

    def root(self, path: str) -> str:
        """The folder of the project that a file is part of; the repository's if none is known."""
        folder = _folder(path)
        while folder and folder not in self._roots:
            folder = _folder(folder)
        return folder

    def shared(self, path: str) -> Scope:
        """What is open in all files of a file's project."""
        root = self.root(path)
        if root not in self._merged:
            scopes = [*self._shared.get(root, ())]
            for folder in (root, *_above(root)):
                scopes += self._shared.get(f"{folder}/Directory.Build.props".lstrip("/"), ())
            merged = self._merged[root] = Scope()
            for scope in scopes:
                merged.usings += scope.usings
                merged.aliases |= scope.aliases
            merged.usings = list(filter(self.is_known, dict.fromkeys(merged.usings)))
        return self._merged[root]

    def nesting_ancestors(self, types: list[str]) -> list[str]:
        """The supertypes, direct or not, that have types within them; nearest first."""
        return nesting_ancestors(types, self._supertypes_of, self._nesting)

    def nesting_parts(self, types: list[str]) -> list[str]:
        """Those of the types that other files may add types to."""
        return [name for name in types if name in self._partial and name in self._nesting]

    def _supertypes_of(self, name: str) -> list[str]:
        """The full names of a type's direct supertypes in the repository, by any of its parts."""
        if name not in self._supertypes:
            found = self._supertypes[name] = list[str]()
            for parts in self._types[name][:MAX_PARTS]:
                path = "/".join(parts)
                source = self._sources[path]
                scope, written = source.types[name]
                if path not in self._readers:
                    self._readers[path] = _Reader(self, path, source, inherits=False)
                reader = self._readers[path]
                found += filter(
                    None, (reader.resolve(scope, chain) for chain in dict.fromkeys(written))
                )
        return self._supertypes[name]

    def _by_root(self, name: str) -> dict[str, list[Parts]]:
        """The files of a partial type, by project."""
        found = defaultdict[str, list[Parts]](list)
        for parts in self._types[name]:
            found[self.root("/".join(parts))].append(parts)
        return dict(found)


class _Reader:
    """One file's view of the repository."""

    def __init__(self, index: Index, path: str, source: Source, inherits: bool = True) -> None:
        self._index, self._user, self._source = index, tuple(path.split("/")), source
        self._inherits = inherits  # not where supertypes are looked up, which would never end
        self._shared = index.shared(path)
        types = list(source.types)
        self._own = {name.rpartition(".")[2]: name for name in reversed(types)}
        self._holders = index.nesting_parts(types)[:MAX_ANCESTORS]
        self._holders += index.nesting_ancestors(types) if inherits else []
        self._usings = [self._opened(scope) for scope in source.scopes]
        self._found = set[str]()

    def targets(self) -> set[str]:
        """The files of all names, and the other parts of the file's own types."""
        for scope, name in self._source.names:
            if not name.startswith(ATTRIBUTE):
                self.resolve(scope, name)
                continue
            plain, tick, arity = name.removeprefix(ATTRIBUTE).partition("`")
            if not self.resolve(scope, f"{plain}Attribute{tick}{arity}"):
                self.resolve(scope, plain + tick + arity)
        for name in self._source.partial:
            self._found.update(self._index.declaring(name, self._user))
        return self._found

    def resolve(self, scope: int, chain: str) -> str | None:
        """The full name of a type by a dotted name; the files on the way to it are needed."""
        head, _, rest = chain.partition(".")
        for start in self._heads(scope, head):
            current = start
            self._found.update(self._index.declaring(current, self._user))
            for part in rest.split(".") if rest else ():
                inner = self._within(current, part)
                if inner is None:
                    return None
                current = inner
                self._found.update(self._index.declaring(current, self._user))
            return current if self._index.is_type(current) else None
        return None

    def _within(self, owner: str, name: str) -> str | None:
        """The full name of a member of a namespace or type, inherited ones included."""
        full = f"{owner}.{name}" if owner else name
        if self._index.is_known(full):
            return full
        if self._inherits and self._index.may_be_known(name) and self._index.is_type(owner):
            for ancestor in self._index.nesting_ancestors([owner]):
                if self._index.is_type(f"{ancestor}.{name}"):
                    return f"{ancestor}.{name}"
        return None

    def _heads(self, at: int | None, name: str) -> Iterator[str]:
        """The full names that a simple one may stand for, innermost scope first."""
        index = self._index
        if name == "global":
            yield ""
        if not index.may_be_known(name) and name not in self._shared.aliases:
            return
        if name in self._own:
            yield self._own[name]
        yield from (f"{base}.{name}" for base in self._holders if index.is_type(f"{base}.{name}"))
        while at is not None:
            scope, usings = self._source.scopes[at], self._usings[at]
            around = "" if scope.parent is None else self._source.scopes[scope.parent].namespace
            for namespace in _between(scope.namespace, around) or [""]:
                full = f"{namespace}.{name}" if namespace else name
                if index.is_known(full):
                    yield full
                if namespace == scope.namespace:
                    yield from self._imported(scope, usings, name)
            at = scope.parent
        yield from self._imported(self._shared, self._shared.usings[:MAX_USINGS], name)

    def _imported(self, scope: Scope, usings: list[str], name: str) -> Iterator[str]:
        """What a scope's directives let a simple name stand for."""
        if name in scope.aliases:
            yield from self._absolute(scope.namespace, scope.aliases[name])
        for using in usings:
            if self._index.is_type(f"{using}.{name}"):
                yield f"{using}.{name}"

    def _opened(self, scope: Scope) -> list[str]:
        """The full names of the namespaces and types that a scope's directives open."""
        found = [full for using in scope.usings for full in self._absolute(scope.namespace, using)]
        return list(dict.fromkeys(found))[:MAX_USINGS]

    def _absolute(self, namespace: str, name: str) -> list[str]:
        """The full name that a directive in a namespace means, if the repository has it."""
        name = name.removeprefix("global.")
        for base in _upwards(namespace):
            if self._index.is_known(f"{base}.{name}"):
                return [f"{base}.{name}"]
        return [name] if self._index.is_known(name) else []


def _settings(text: str) -> Scope:
    """What the `Using` items of a project file open."""
    scope = Scope()
    for found in _USING.finditer(text):
        settings = {name.lower(): value for name, value in _SETTING.findall(found[1])}
        name, alias = tidy(settings.get("include", "")), settings.get("alias")
        if alias:
            scope.aliases[alias] = name
        elif name:
            scope.usings.append(name)
    return scope


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _above(folder: str) -> Iterator[str]:
    """The folders around a folder, the repository last."""
    while folder:
        folder = _folder(folder)
        yield folder


def _upwards(name: str) -> Iterator[str]:
    """A dotted name and the names it begins with, shortest last."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _between(inner: str, outer: str) -> list[str]:
    """A namespace and those around it, as far as they lie within another."""
    return [name for name in _upwards(inner) if len(name) > len(outer)]
