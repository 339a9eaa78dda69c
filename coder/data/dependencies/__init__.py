# SPDX-License-Identifier: Apache-2.0
"""Which files of a repository depend on which others: a resolver for each family of languages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from coder.data.dependencies import python
from coder.data.languages import language_of


@dataclass(frozen=True)
class Dependencies:
    """The dependency graph of a repository."""

    edges: dict[str, set[str]] = field(default_factory=dict)
    """File to the files of the repository that it depends on; files that need none are left out."""
    unparsed: set[str] = field(default_factory=set)
    """Files that the resolver of their language cannot read: they stay, without dependencies."""


Resolver = Callable[[Mapping[str, str]], tuple[dict[str, set[str]], set[str]]]
"""From the texts of a family's files, by path, to their edges and to those that cannot be read."""

RESOLVERS: dict[tuple[str, ...], Resolver] = {
    ("Python",): python.resolve,
}


def resolve(files: Mapping[str, str]) -> Dependencies:
    """The dependencies between the files of one repository.

    Args:
        files: path to text; all files, of any language.
    """
    found = Dependencies()
    for family, resolver in RESOLVERS.items():
        members = {path: text for path, text in files.items() if language_of(path) in family}
        edges, unparsed = resolver(members)
        found.edges.update(edges)
        found.unparsed.update(unparsed)
    return found
