# SPDX-License-Identifier: Apache-2.0
"""Supertypes, from which a class also has the types that are declared within them."""

from collections.abc import Callable, Container, Iterable, Sequence

MAX_ANCESTORS = 64
"""Supertypes that are followed from one file's types."""


def nesting_ancestors(
    types: Sequence[str], supertypes_of: Callable[[str], Iterable[str]], nesting: Container[str]
) -> list[str]:
    """The supertypes of some types, direct or not, that have types within them; nearest first.

    Args:
        types: full names.
        supertypes_of: the direct supertypes of a type in the repository.
        nesting: the types with types within them.
    """
    found, seen, queue = list[str](), set(types), list(types)
    for name in queue:  # grows while it is walked through
        for ancestor in supertypes_of(name):
            if ancestor not in seen and len(queue) < len(types) + MAX_ANCESTORS:
                seen.add(ancestor)
                queue.append(ancestor)
                if ancestor in nesting:
                    found.append(ancestor)
    return found
