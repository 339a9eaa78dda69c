# SPDX-License-Identifier: Apache-2.0
"""Which repositories are held out: whole ones, because files of one project resemble each other."""

from dataclasses import dataclass
from pathlib import Path

from beam_pipelines.sources.source import Source, SourceError, Unit
from coder.data.records import stable_hash

HELD_OUT_INSTALLED = Path(__file__).resolve().parent / "held_out_installed.txt"

# Of repositories outside the committed list; less of a large source, since every worker has the
# shingles of all held-out documents in memory.
HELD_OUT_SHARE, HELD_OUT_BYTES = 0.1, 64 * 2**20


@dataclass(frozen=True)
class HeldOut:
    """Tells the held-out repositories: a committed list, or else a share drawn by name."""

    seed: int
    share: float = HELD_OUT_SHARE
    listed: frozenset[str] | None = None

    def __contains__(self, name: str) -> bool:
        """Whether a repository is held out."""
        if self.listed is not None:
            return name in self.listed
        return stable_hash(self.seed, "held_out", name) < self.share * 2**64


def held_out_of(spelling: str, source: Source, seed: int, size: int) -> HeldOut:
    """The committed list for `--source installed`, a draw for any other.

    Args:
        spelling: of the source.
        source: the same.
        seed: of the draw.
        size: bytes of the source.

    Raises:
        SourceError: the committed list names a repository that the source does not have.
    """
    if spelling != "installed":
        return HeldOut(seed, min(HELD_OUT_SHARE, HELD_OUT_BYTES / max(1, size)))
    listed = read_names(HELD_OUT_INSTALLED)
    names = {unit.name for unit in source.units() if isinstance(unit, Unit)}
    if strangers := sorted(listed - names):
        raise SourceError(
            f"{HELD_OUT_INSTALLED.name} names what requirements.txt does not lock: "
            f"{', '.join(strangers)}"
        )
    return HeldOut(seed, listed=listed)


def read_names(path: Path) -> frozenset[str]:
    """The names in a list, one a line, with `#` comments."""
    lines = (
        line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()
    )
    return frozenset(line for line in lines if line)
