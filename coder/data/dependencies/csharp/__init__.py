# SPDX-License-Identifier: Apache-2.0
"""Dependencies between C# files, by the types that they name.

A namespace has many files, so that `using` needs none of them; it says where the names of types are
looked up, as the specification has it (7.8): the namespaces around, from within, each before its
aliases and `using` directives, and `global using` for the whole project, that is for what lies in
the folder of a `.csproj`. A type with parts in several files of a project is all of them: who
names it needs every part, and so does each part. Extension methods, whose class is not named, and
types that only the compiler knows of do not count.
"""

from collections.abc import Mapping

from coder.data.dependencies.csharp.index import Index
from coder.data.dependencies.csharp.sources import parse

LANGUAGES = ("C#",)
PROJECT_FILES = ("*.csproj", "Directory.Build.props")


def build_index(files: Mapping[str, str], project: Mapping[str, str]) -> Index:
    """Reads what the files declare and name, and what the projects open for all of theirs."""
    return Index({path: parse(text) for path, text in files.items()}, project)


def targets(path: str, text: str, index: Index) -> set[str] | None:
    """The files that a file names types of; every file can be read in some way."""
    return index.targets(path)
