# SPDX-License-Identifier: Apache-2.0
"""Repository-level completion: the files that a file imports, as training documents have them.

In a document a file follows those that it needs, each under its path comment. What is put before
the file at hand is therefore what it imports, directly or not, in the same order and form. Files
that are no UTF-8 or larger than 1 MiB are left out, as in the corpus; its rules of quality are not
applied. Links, hidden folders, `node_modules` and virtual environments are not followed.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from coder.data import dependencies
from coder.data.dependencies import Needs
from coder.data.languages import PRESETS, Languages
from coder.data.ordering import dependency_order
from coder.data.records import headed
from coder.data.tokenizer import Tokenizer
from coder.infer.place import Place, PlaceError

LARGEST = 64 * 2**20
"""Characters of a repository's text; larger ones are not ordered in the corpus either."""
_LARGEST_FILE = 2**20
"""Bytes."""
_LANGUAGES = Languages(PRESETS["v1"] | PRESETS["v2"])


@dataclass(frozen=True)
class Neighbour:
    """A file that the one at hand imports."""

    path: str
    hops: int
    """Imports on the shortest way to it."""
    text: str
    """Under its path comment, as in a document."""


@dataclass(frozen=True)
class Neighbourhood:
    """The file at hand within its repository."""

    path: str
    """From the root of the repository."""
    language: str
    """Empty where it is in none of the corpus's."""
    neighbours: tuple[Neighbour, ...]
    """What it imports, directly or not, in dependency order."""


def neighbourhood(root: Path, place: Place) -> Neighbourhood:
    """Reads a repository and finds what the file at hand imports.

    Raises:
        PlaceError: the file is not in the repository, or that is no folder or too large.
    """
    path = _path_within(root, place.path)
    language = _LANGUAGES.of(path, place.text) or ""
    files, languages, project = _read(root, dependencies.relatives(language))
    files[path], languages[path] = place.text, language
    needs = _needs(path, place, files, languages, project)
    order = dependency_order(needs.hops.keys() - {path}, needs.edges)
    neighbours = (
        Neighbour(one, needs.hops[one], headed(one, languages[one], files[one])) for one in order
    )
    return Neighbourhood(path, language, tuple(neighbours))


def nearest_within(
    neighbours: Iterable[Neighbour], tokenizer: Tokenizer, room: int
) -> list[Neighbour]:
    """The neighbours that are kept where there is room for so many tokens, in their order.

    Taken by their hops, then by path; one that does not fit any more is left out, and the next
    ones are tried.
    """
    neighbours = list(neighbours)
    lengths = map(len, tokenizer.encode_batch([one.text for one in neighbours]))
    kept = set()
    for one, length in sorted(
        zip(neighbours, lengths, strict=True), key=lambda pair: (pair[0].hops, pair[0].path)
    ):
        if length <= room:
            room -= length
            kept.add(one.path)
    return [one for one in neighbours if one.path in kept]


def _path_within(root: Path, path: Path) -> str:
    if not root.is_dir():
        raise PlaceError(f"--repository {root}: no such folder")
    try:
        return path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        raise PlaceError(f"{path} is not in --repository {root}") from None


def _needs(
    path: str,
    place: Place,
    files: Mapping[str, str],
    languages: Mapping[str, str],
    project: Mapping[str, str],
) -> Needs:
    """What the file at hand imports; if it cannot be read, without the line at the cursor."""
    needs = dependencies.needed_by(path, files, languages, project)
    if path not in needs.edges:
        before = place.prefix[: place.prefix.rfind("\n") + 1]
        after = place.suffix.partition("\n")[2]
        files = {**files, path: before + after}
        needs = dependencies.needed_by(path, files, languages, project)
    return needs


def _read(
    root: Path, relatives: frozenset[str]
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Texts and languages of the files in some languages, and texts of the project files."""
    files: dict[str, str] = {}
    languages: dict[str, str] = {}
    project: dict[str, str] = {}
    size = 0
    for path, text in _texts(root) if relatives else ():
        if dependencies.is_project_file(path):
            project[path] = text
        language = _LANGUAGES.of(path, text)
        if language in relatives:
            files[path], languages[path] = text, language
            size += len(text)
        if size > LARGEST:
            raise PlaceError(
                f"--repository {root} has over {LARGEST >> 20} MiB of text: name a folder in it"
            )
    return files, languages, project


def _texts(root: Path) -> Iterator[tuple[str, str]]:
    """The texts of a folder, by their path from it."""
    for folder, folders, names in os.walk(root):
        if "pyvenv.cfg" in names:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if name[0] != "." and name != "node_modules")
        for name in sorted(names):
            path = Path(folder, name).relative_to(root).as_posix()
            content = _content(Path(folder, name)) if _LANGUAGES.possible(path) else None
            if content and b"\0" not in content:
                with suppress(UnicodeDecodeError):
                    yield path, content.decode("utf-8-sig")


def _content(path: Path) -> bytes | None:
    """What is in a regular file; None if it is none, too large, or may not be read."""
    with suppress(OSError):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_size <= _LARGEST_FILE:
            return path.read_bytes()
    return None
