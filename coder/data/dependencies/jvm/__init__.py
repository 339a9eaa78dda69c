# SPDX-License-Identifier: Apache-2.0
"""Dependencies between Java, Kotlin and Scala files, which see each other's classes.

A file needs the files of the types that it imports, used or not, and of those that it names without
an import: in its own package, through `import a.b.*`, or by their full names. Types that only the
compiler knows of, such as what a method returns that is called at once, do not count. Of several
files that declare one type (`src/main` and `src/test`) the nearest counts, by common folders.
"""

from collections.abc import Callable, Mapping

from coder.data.dependencies.jvm import java, kotlin, scala
from coder.data.dependencies.jvm.index import Index
from coder.data.dependencies.jvm.units import Unit

LANGUAGES = ("Java", "Kotlin", "Scala")
PROJECT_FILES = ()

_PARSERS: dict[str, Callable[[str, str], Unit]] = dict.fromkeys(("kt", "ktm", "kts"), kotlin.parse)
_PARSERS |= dict.fromkeys(("kojo", "sbt", "sc", "scala"), scala.parse)


def build_index(files: Mapping[str, str], project: Mapping[str, str]) -> Index:
    """Reads what the files declare, import and name."""
    return Index({path: _parser(path)(path, text) for path, text in files.items()})


def targets(path: str, text: str, index: Index) -> set[str] | None:
    """The files that a file imports or names; every file can be read in some way."""
    return index.targets(path)


def _parser(path: str) -> Callable[[str, str], Unit]:
    """The parser for a file, by its ending; Java's for those that have another."""
    return _PARSERS.get(path.rpartition(".")[2].lower(), java.parse)
