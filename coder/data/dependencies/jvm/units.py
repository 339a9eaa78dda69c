# SPDX-License-Identifier: Apache-2.0
"""What a source file of the JVM's languages declares, imports and names, whichever language it is.

Names are dotted and full: `a.b.Outer.Inner`. What lies in no package is seen from its own folder
and those below, so that such a folder takes the place of a package: `/src.Main`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from coder.data.dependencies.tokens import MAX_PARTS, tidy


@dataclass(frozen=True)
class Import:
    """An import of `path`, or of everything in it."""

    path: str
    name: str | None
    """The name it goes by in the file; None: everything in `path` by its own name."""
    hides: frozenset[str] = frozenset()
    """Names that an import of everything leaves out."""


@dataclass
class Unit:
    """A source file."""

    packages: list[str] = field(default_factory=list)
    """Packages whose members the file sees without an import, innermost first."""
    relative: bool = False
    """Scala's ways: names of packages, in imports too, begin at the packages around, and imports of
    everything come before the other files of the package."""
    imports: list[Import] = field(default_factory=list)
    types: dict[str, list[str]] = field(default_factory=dict)
    """Full name of each type to its supertypes, as they are written. Objects are types, too."""
    functions: set[str] = field(default_factory=set)
    """Full names of functions and variables that stand in a package."""
    members: set[str] = field(default_factory=set)
    """Names of functions and variables that stand in types."""
    hidden: set[str] = field(default_factory=set)
    """Names that stand for something in the file itself: variables, local types, parameters."""
    names: set[str] = field(default_factory=set)
    """Dotted names that may begin with a type's."""
    loose: set[str] = field(default_factory=set)
    """Names that may be those of functions or variables of a package."""

    def tidied(self) -> "Unit":
        """The unit with its names as they are compared."""
        self.names = set(map(tidy, self.names))
        self.loose = {tidy(name) for name in self.loose} - self.hidden
        return self


def folders(path: str) -> list[str]:
    """What takes the place of packages for a file in none: its folder and those around it."""
    parts = path.split("/")[:-1]
    first = max(0, len(parts) - MAX_PARTS)
    return ["/" + "/".join(parts[:length]) for length in range(len(parts), first - 1, -1)]


def dotted(*parts: str) -> str:
    """Joins names, some of which may be empty."""
    return ".".join(part for part in parts if part)


def upwards(name: str) -> Iterator[str]:
    """A dotted name and the names it begins with, shortest last."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def last_parts(chains: Iterable[str]) -> dict[str, str]:
    """Dotted names by their last parts; the first of several counts."""
    found: dict[str, str] = {}
    for chain in chains:
        found.setdefault(chain.rpartition(".")[2], chain)
    return found
