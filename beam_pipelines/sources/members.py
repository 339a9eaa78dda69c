# SPDX-License-Identifier: Apache-2.0
"""What readers of archives give: entries one after the other, each with a way to its bytes."""

from collections.abc import Callable
from dataclasses import dataclass


class MemberError(ValueError):
    """One entry cannot be read, others can: a reason and a detail for its reject."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Member:
    """An entry of an archive that is no folder."""

    path: str
    """As the archive has it; undecodable bytes are lone surrogates."""
    read: Callable[[int], bytes]
    """At most so many bytes; of a tar archive, only until the next entry is asked for.

    Raises MemberError, or ArchiveError where the archive cannot be read further.
    """
    kind: str = "file"
    """file, symlink, hardlink, or else the reason against it."""
    target: str | None = None
    """Of a link; None if it has to be read as the entry's content."""
    detail: str = ""
    """What there is to say about a kind that is no file."""
