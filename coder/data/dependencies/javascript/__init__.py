# SPDX-License-Identifier: Apache-2.0
"""Imports between the JavaScript and TypeScript files of a repository, components included.

`import`, `export … from`, `import type`, `require`, `require.resolve`, `import(…)` and
`/// <reference path>` count, wherever they stand, if what they name is written out. What a
specifier leads to follows Node.js, TypeScript and the bundlers: `resolution.py` says how.
"""

from collections.abc import Mapping

from coder.data.dependencies.javascript import packages, tsconfig
from coder.data.dependencies.javascript.resolution import Index
from coder.data.dependencies.javascript.specifiers import specifiers_of

LANGUAGES = ("JavaScript", "JSX", "TypeScript", "TSX", "Vue", "Svelte")
PROJECT_FILES = (*packages.PROJECT_FILES, *tsconfig.PROJECT_FILES)


def build_index(files: Mapping[str, str], project: Mapping[str, str]) -> Index:
    """Notes which files there are, and what the settings say of packages and aliases."""
    return Index(files, project)


def targets(path: str, text: str, index: Index) -> set[str]:
    """The files that a file imports; a source with errors is read as far as it goes."""
    found = (index.target(path, specifier) for specifier in specifiers_of(path, text))
    return {target for target in found if target is not None}
