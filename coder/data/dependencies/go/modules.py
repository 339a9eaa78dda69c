# SPDX-License-Identifier: Apache-2.0
"""Where a Go import path leads, as far as `go.mod`, `go.work`, `vendor` and `src` folders say.

In this order: the own module (the nearest `go.mod` around), the `vendor` folders around, the
folders that a `replace` around names, the other modules of the repository by their paths (those of
the `go.work` around first, then the nearest). Where no `go.mod` is around, the `src` folders around
count too, as each may be a GOPATH's. Paths of the standard library lead nowhere, unless the
repository is that library (`module std`).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from os.path import commonprefix
from posixpath import normpath

MAX_DEPTH = 64
"""Longest import path that is looked up, in parts."""
MAX_COPIES = 32
"""Of how many modules of one path the nearest is looked for."""

_STANDARD = frozenset(
    """archive bufio builtin bytes cmp compress container context crypto database debug embed
    encoding errors expvar flag fmt go hash html image index internal io iter log maps math mime
    net os path plugin reflect regexp runtime slices sort strconv strings structs sync syscall
    testing text time unicode unique unsafe weak""".split()
)


class Modules:
    """What the `go.mod` and `go.work` files say. Folders end with a slash; the top is empty."""

    def __init__(self) -> None:
        self._path_of: dict[str, str] = {}
        """Folder of a go.mod to its module's path."""
        self._replaced: dict[str, dict[str, str]] = {}
        """Folder of a go.mod or go.work to import path to the folder that stands for it."""
        self._in_workspace: dict[str, set[str]] = {}
        """Folder of a go.work to the folders of its modules."""
        self._around: dict[str, str | None] = {}

    @classmethod
    def read(cls, project: Mapping[str, str]) -> "Modules":
        """Reads all of them; what they say besides is passed over."""
        modules = cls()
        for path, text in sorted(project.items()):
            folder = path[: path.rfind("/") + 1]
            for verb, words in _statements(text):
                if verb == "module" and path.endswith(".mod"):
                    modules._path_of[folder] = words[0]
                elif verb == "use" and path.endswith(".work"):
                    modules._in_workspace.setdefault(folder, set()).add(_join(folder, words[0]))
                elif verb == "replace" and "=>" in words[1:-1] and words[-1].startswith("."):
                    replaced = modules._replaced.setdefault(folder, {})
                    replaced[words[0]] = _join(folder, words[-1])
        return modules

    @cached_property
    def _folders_of(self) -> dict[str, list[str]]:
        """Path to the folders of the modules that have it."""
        folders = defaultdict[str, list[str]](list)
        for folder, path in self._path_of.items():
            folders[path].append(folder)
        return dict(folders)

    def around(self, folder: str) -> str | None:
        """The folder of the nearest go.mod; None: there is none around."""
        if folder not in self._around:
            above = (outer for outer in _upwards(folder) if outer in self._path_of)
            self._around[folder] = next(above, None)
        return self._around[folder]

    def places(self, folder: str, name: str) -> Iterator[str]:
        """The folders that a path may mean when it is imported in a folder, best first."""
        if name.startswith(("./", "../")):
            yield _join(folder, name)
        if name.count("/") >= MAX_DEPTH or name.startswith((".", "/")):
            return
        own = self.around(folder)
        if own is not None:
            yield from self._inside(own, name, self._path_of[own])
        if is_standard(name):
            yield from (f"{library}{name}/" for library in self._folders_of.get("std", ()))
            return
        for outer in _upwards(folder):
            yield f"{outer}vendor/{name}/"
            if own is None:
                yield f"{outer}src/{name}/"
        for outer in _upwards(folder):
            replaced = self._replaced.get(outer, {})
            for prefix in (name, *prefixes(name)):
                if prefix in replaced:
                    yield f"{replaced[prefix]}{name[len(prefix) + 1 :]}/".removeprefix("/")
        for prefix in (name, *prefixes(name)):
            for module in self._nearest(folder, self._folders_of.get(prefix, [])):
                yield from self._inside(module, name, prefix)

    def _inside(self, module: str, name: str, path: str) -> Iterator[str]:
        """The folder of a package of a module, if it is of no module within."""
        if f"{name}/".startswith(f"{path}/"):
            place = module + f"{name}/"[len(path) + 1 :]
            if self.around(place) == module:
                yield place

    def _nearest(self, folder: str, modules: list[str]) -> list[str]:
        """Modules of one path, by preference."""
        if len(modules) < 2 or len(modules) > MAX_COPIES:
            return modules[:MAX_COPIES]
        used = next(
            (self._in_workspace[up] for up in _upwards(folder) if up in self._in_workspace), ()
        )
        return sorted(
            modules,
            key=lambda other: (other not in used, -len(commonprefix((folder, other))), other),
        )


def is_standard(name: str) -> bool:
    """Whether an import path is one of the standard library."""
    return name.partition("/")[0] in _STANDARD


def prefixes(name: str) -> Iterator[str]:
    """What stands before the slashes of a path, the longest first; nothing of an overlong path."""
    if name.count("/") < MAX_DEPTH:
        at = name.rfind("/")
        while at > 0:
            yield name[:at]
            at = name.rfind("/", 0, at)


def _statements(text: str) -> Iterator[tuple[str, list[str]]]:
    """The directives of a go.mod: verb and words, those of a block one by one."""
    verb = ""
    for line in text.splitlines():
        words = [word.strip("\"'`") for word in line.partition("//")[0].split()]
        if words == [")"]:
            verb = ""
        elif words[1:] == ["("]:
            verb = words[0]
        elif verb and words:
            yield verb, words
        elif words[1:]:
            yield words[0], words[1:]


def _join(folder: str, name: str) -> str:
    """A folder as seen from another; out of the repository it is none that exists."""
    path = normpath(folder + name)
    return "" if path == "." else f"{path}/"


def _upwards(folder: str) -> Iterator[str]:
    """A folder and those around it."""
    yield folder
    while folder:
        folder = folder[: folder.rfind("/", 0, -1) + 1]
        yield folder
