# SPDX-License-Identifier: Apache-2.0
"""Which files of a repository depend on which others: a resolver for each family of languages.

A resolver is a module: what it needs to know of the whole repository goes into an index, built once
and from texts alone, and the dependencies of a file are a pure function of its path, its text and
that index. `RESOLVERS` lists them: a new language is one module, a line here, and its fixtures.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Protocol

from coder.data.dependencies import c, csharp, go, javascript, jvm, php, python, ruby, rust


class Resolver(Protocol):
    """What a module of this package offers."""

    @property
    def LANGUAGES(self) -> tuple[str, ...]:
        """Names of the family's languages, as `coder.data.languages` has them."""
        ...

    @property
    def PROJECT_FILES(self) -> tuple[str, ...]:
        """File names, with `*`, of settings that say where imports lead (`go.mod`).

        They are read even where they are no part of the corpus.
        """
        ...

    @staticmethod
    def build_index(files: Mapping[str, str], project: Mapping[str, str]) -> Any:
        """What is to be known of a repository, in time linear in its size.

        Args:
            files: path to text of all files of the family.
            project: path to text of the repository's `PROJECT_FILES`.
        """
        ...

    @staticmethod
    def targets(path: str, text: str, index: Any) -> set[str] | None:
        """The paths of the family's files that a file depends on; None if it cannot be read."""
        ...


RESOLVERS: tuple[Resolver, ...] = (c, csharp, go, javascript, jvm, php, python, ruby, rust)


@dataclass(frozen=True)
class Dependencies:
    """The dependency graph of a repository."""

    edges: dict[str, set[str]] = field(default_factory=dict)
    """File to the files of the repository that it depends on; files that need none are left out."""
    unparsed: set[str] = field(default_factory=set)
    """Files that the resolver of their language cannot read: they stay, without dependencies."""


def resolve(
    files: Mapping[str, str], languages: Mapping[str, str], project: Mapping[str, str] | None = None
) -> Dependencies:
    """The dependencies between the files of one repository.

    Args:
        files: path to text; all files, of any language.
        languages: path to language of the same files; one without a resolver has no dependencies.
        project: path to text of the files for which `is_project_file` holds.
    """
    found = Dependencies()
    for resolver in RESOLVERS:
        members = {path: files[path] for path, name in languages.items() if is_of(resolver, name)}
        if not members:
            continue
        settings = {path: text for path, text in (project or {}).items() if sets(resolver, path)}
        index = resolver.build_index(members, settings)
        for path, text in members.items():
            needed = resolver.targets(path, text, index)
            if needed is None:
                found.unparsed.add(path)
            elif needed := needed - {path}:
                found.edges[path] = needed
    return found


@dataclass(frozen=True)
class Needs:
    """What one file depends on, directly or not."""

    hops: dict[str, int]
    """File to the least number of dependencies that lead to it; the first file itself has 0."""
    edges: dict[str, set[str]]
    """Each of these files that can be read to those that it depends on."""


def needed_by(
    path: str,
    files: Mapping[str, str],
    languages: Mapping[str, str],
    project: Mapping[str, str] | None = None,
) -> Needs:
    """The part of `resolve` that can be reached from one file; other files are not resolved.

    Args:
        path: one of `files`.
        files: as for `resolve`, like the others; those of other families are not needed.
        languages: of the files.
        project: the project files.
    """
    needs = Needs({path: 0}, {})
    resolver = next((one for one in RESOLVERS if is_of(one, languages[path])), None)
    if resolver is None:
        return needs
    members = {other: files[other] for other, name in languages.items() if is_of(resolver, name)}
    settings = {other: text for other, text in (project or {}).items() if sets(resolver, other)}
    index = resolver.build_index(members, settings)
    reached = [path]
    for one in reached:  # grows while it is walked through
        needed = resolver.targets(one, members[one], index)
        if needed is not None:
            needs.edges[one] = needed - {one}
            fresh = sorted(needed - needs.hops.keys())
            needs.hops.update(dict.fromkeys(fresh, needs.hops[one] + 1))
            reached += fresh
    return needs


def relatives(language: str) -> frozenset[str]:
    """The languages whose files a file of this one may depend on; none without a resolver."""
    return frozenset(
        name for resolver in RESOLVERS if is_of(resolver, language) for name in resolver.LANGUAGES
    )


def is_of(resolver: Resolver, language: str) -> bool:
    """Whether a resolver is for a language."""
    return language in resolver.LANGUAGES


def sets(resolver: Resolver, path: str) -> bool:
    """Whether a file, in any folder, is one of a resolver's project files."""
    name = path.rpartition("/")[2]
    return any(fnmatchcase(name, pattern) for pattern in resolver.PROJECT_FILES)


def is_project_file(path: str) -> bool:
    """Whether some resolver wants to read this file, in the corpus or not."""
    return any(sets(resolver, path) for resolver in RESOLVERS)
