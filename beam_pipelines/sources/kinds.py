# SPDX-License-Identifier: Apache-2.0
"""The kinds of sources and how `--source` spells them."""

from collections.abc import Callable, Mapping

from beam_pipelines.sources import matching
from beam_pipelines.sources.archive import ArchiveSource
from beam_pipelines.sources.folder import LocalFolder
from beam_pipelines.sources.git import GitSource
from beam_pipelines.sources.installed import InstalledSource
from beam_pipelines.sources.remote_folder import RemoteFolder
from beam_pipelines.sources.rows import RowsSource
from beam_pipelines.sources.source import Source, SourceError


def _folder(place: str) -> Source:
    return RemoteFolder(place.rstrip("/")) if matching.is_remote(place) else LocalFolder(place)


_KINDS: Mapping[str, tuple[str, Callable[[str], Source]]] = {
    "folder": ("DIR", _folder),
    "archive": ("GLOB", ArchiveSource),
    "git": ("DIR@REV", GitSource),
    "parquet": ("GLOB", lambda place: RowsSource(place, "parquet")),
    "jsonl": ("GLOB", lambda place: RowsSource(place, "jsonl")),
}


def source_of(spelling: str) -> Source:
    """The source that `--source` names.

    Raises:
        SourceError: there is no such kind, or it cannot be used.
    """
    if spelling == "installed":
        return InstalledSource()
    kind, _, place = spelling.partition(":")
    if kind not in _KINDS or not place:
        known = ", ".join(f"{name}:{form}" for name, (form, _) in _KINDS.items())
        raise SourceError(f"--source {spelling}: use installed, {known}")
    return _KINDS[kind][1](place)
