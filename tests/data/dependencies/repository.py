# SPDX-License-Identifier: Apache-2.0
"""Made-up repositories for the resolvers: which language a name stands for, and what comes out."""

from collections.abc import Mapping

from coder.data import dependencies
from coder.data.dependencies import Dependencies

# By ending, so that these tests do not hang on how languages are told apart.
LANGUAGE_OF = {
    "py": "Python",
    "pyi": "Python",
    "c": "C",
    "h": "C",
    "cc": "C++",
    "cpp": "C++",
    "hpp": "C++",
    "m": "Objective-C",
    "mm": "Objective-C++",
    "cu": "Cuda",
    "cuh": "Cuda",
    "go": "Go",
    "rs": "Rust",
    "js": "JavaScript",
    "jsx": "JavaScript",
    "mjs": "JavaScript",
    "cjs": "JavaScript",
    "ts": "TypeScript",
    "mts": "TypeScript",
    "cts": "TypeScript",
    "tsx": "TSX",
    "vue": "Vue",
    "svelte": "Svelte",
    "php": "PHP",
    "rb": "Ruby",
    "java": "Java",
    "kt": "Kotlin",
    "kts": "Kotlin",
    "scala": "Scala",
    "cs": "C#",
}


def resolve(files: Mapping[str, str]) -> Dependencies:
    """The dependencies of a repository whose names tell their languages."""
    languages = {path: LANGUAGE_OF.get(path.rpartition(".")[2], "Text") for path in files}
    project = {path: text for path, text in files.items() if dependencies.is_project_file(path)}
    return dependencies.resolve(files, languages, project)


def needs(files: Mapping[str, str], path: str) -> set[str]:
    """What one file of a repository depends on, all of whose files can be read."""
    graph = resolve(files)
    assert not graph.unparsed
    return graph.edges.get(path, set())
