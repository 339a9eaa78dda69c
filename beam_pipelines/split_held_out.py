# SPDX-License-Identifier: Apache-2.0
"""Which repositories are held out: whole ones, because files of one project resemble each other."""

from collections.abc import Collection
from pathlib import Path
from typing import Literal

from beam_pipelines.read_repositories import SourceError
from coder.data.records import stable_hash

HELD_OUT_INSTALLED = Path(__file__).resolve().parent / "held_out_installed.txt"

# Of repositories outside the committed list.
HELD_OUT_SHARE = 0.1

Split = Literal["train", "held_out"]


def held_out_names(source: str, names: Collection[str], seed: int) -> frozenset[str]:
    """The held-out ones: a committed list for `installed`, drawn by name elsewhere.

    Raises:
        SourceError: the committed list names a repository that the source does not have.
    """
    if source != "installed":
        return frozenset(name for name in names if _drawn(seed, name))
    listed = read_names(HELD_OUT_INSTALLED)
    strangers = sorted(listed.difference(names))
    if strangers:
        raise SourceError(
            f"{HELD_OUT_INSTALLED.name} names what requirements.txt does not lock: "
            f"{', '.join(strangers)}"
        )
    return listed


def read_names(path: Path) -> frozenset[str]:
    """The names in a list, one a line, with `#` comments."""
    lines = (
        line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()
    )
    return frozenset(line for line in lines if line)


def _drawn(seed: int, name: str) -> bool:
    return stable_hash(seed, "held_out", name) < HELD_OUT_SHARE * 2**64
