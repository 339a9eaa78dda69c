# SPDX-License-Identifier: Apache-2.0
"""The distributions that a lock file pins, as installed here: the lock fixes the repositories."""

import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from beam_pipelines.sources import local
from beam_pipelines.sources.source import (
    FileBatch,
    FileContent,
    FileState,
    RepositoryInfo,
    SourceError,
    Unit,
    in_batches,
)
from coder.data.records import Reject

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements.txt"


@dataclass(frozen=True)
class InstalledSource:
    """Every distribution that a lock file pins for this platform, as its RECORD lists it."""

    requirements: Path = REQUIREMENTS

    def units(self) -> Iterator[Unit | Reject]:
        """A unit for each distribution, by name.

        Raises:
            SourceError: a locked distribution is missing or installed in another version.
        """
        names, wrong = [], []
        for requirement in _locked(self.requirements):
            try:
                installed = importlib.metadata.version(requirement.name)
            except importlib.metadata.PackageNotFoundError:
                wrong.append(f"{requirement} (missing)")
                continue
            if not requirement.specifier.contains(installed, prereleases=True):
                wrong.append(f"{requirement} (installed: {installed})")
            names.append(requirement.name)
        if wrong:
            raise SourceError(
                f"--source installed: {self.requirements.name} locks what is not installed here: "
                f"{', '.join(wrong)}; run make setup, or use --source folder:DIR"
            )
        for name in sorted(names):
            yield Unit(name, name)

    def state(self, unit: Unit) -> Iterator[FileState]:
        """The sizes and hashes of RECORD."""
        distribution = importlib.metadata.distribution(unit.key)
        yield FileState("", 0, distribution.version)
        for entry in _entries(distribution):
            stamp = entry.hash.value if entry.hash else ""
            yield FileState(str(entry), entry.size or 0, stamp)

    def batches(self, unit: Unit) -> Iterator[FileBatch | Reject]:
        """The files of one distribution."""
        distribution = importlib.metadata.distribution(unit.key)
        metadata = distribution.metadata
        licence = metadata.get("License-Expression") or metadata.get("License") or ""
        info = RepositoryInfo(
            unit.name,
            distribution.version,
            licence.partition("\n")[0].strip(),
            str(distribution.locate_file("")),
        )
        listed = local.list_entries(info, map(str, _entries(distribution)))
        yield from in_batches(info, listed)

    def read(self, batch: FileBatch, limit: int) -> Iterator[FileContent | Reject]:
        """Files below site-packages."""
        return local.read(batch, limit)


def _locked(requirements: Path) -> Iterator[Requirement]:
    """The requirements of a lock file whose markers hold on this machine."""
    for line in requirements.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].partition("--hash")[0].rstrip(" \\")
        if not text.strip() or text.startswith(("-", " ")):
            continue
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise SourceError(f"{requirements}: cannot read {line!r}: {error}") from error
        if requirement.marker is None or requirement.marker.evaluate():
            yield requirement


def _entries(
    distribution: importlib.metadata.Distribution,
) -> Iterator[importlib.metadata.PackagePath]:
    """The files of a distribution's RECORD that are its source, by path.

    What it lists outside of site-packages (scripts in ../../bin) is not. What is not there any
    more, `importlib.metadata` leaves out.
    """
    for entry in sorted(distribution.files or (), key=str):
        if entry.is_absolute() or not entry.parts or ".." in entry.parts:
            continue
        if "__pycache__" in entry.parts[:-1] or entry.parts[0].endswith(".dist-info"):
            continue
        yield entry
