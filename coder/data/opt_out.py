# SPDX-License-Identifier: Apache-2.0
"""The list of what must not enter a corpus, because its owners asked for it.

    # comment
    octocat/hello-world          a repository
    octocat/*                    all repositories of an owner
    octocat/notes  drafts/*.md   files of a repository
    */secrets  **                * is any run of characters, / included; ? is one character

A line names a repository as its source does, and may limit itself to paths. Repositories are
compared without regard to case, as forges do; paths exactly. A pattern that names a folder covers
all files below it.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from coder import config

_COMMENT = re.compile(r"(?:^|\s)#.*")
_WILDCARD = re.compile(r"[*?]")


class OptOutError(ValueError):
    """The list cannot be read; the message names file, line and what to write instead."""


@dataclass(frozen=True)
class Entry:
    """A line of the list; an empty `paths` means the whole repository."""

    repository: str
    """Lower case."""
    paths: str = ""


@dataclass(frozen=True)
class OptOut:
    """What the list covers; a look-up takes the same time however many repositories it names."""

    entries: tuple[Entry, ...] = ()
    """Sorted, each once."""

    @classmethod
    def read(cls, path: Path) -> "OptOut":
        """The list in a file.

        Raises:
            OptOutError: the file cannot be read, or one of its lines.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise OptOutError(f"{path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise OptOutError(
                f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8"
            ) from error
        entries = set[Entry]()
        for number, line in enumerate(lines, start=1):
            fields = _COMMENT.sub("", line).split()
            if problem := _problem(fields):
                raise OptOutError(f"{path}, line {number}: {line.strip()!r}: {problem}")
            if fields:
                entries.add(Entry(fields[0].lower(), *fields[1:]))
        return cls(tuple(sorted(entries, key=lambda entry: (entry.repository, entry.paths))))

    def covers(self, repository: str, path: str) -> bool:
        """Whether a file must not enter the corpus."""
        name = repository.lower()
        owner, slash, _ = name.partition("/")
        if name in self._whole or (slash and owner in self._owners):
            return True
        if self._patterns and self._patterns.fullmatch(name):
            return True
        if (paths := self._paths.get(name)) and paths.fullmatch(path):
            return True
        return any(
            repositories.fullmatch(name) and paths.fullmatch(path)
            for repositories, paths in self._path_patterns
        )

    @property
    def digest(self) -> str:
        """Sixteen hex digits of what is covered, whatever the comments and the order of lines."""
        return config.digest([[entry.repository, entry.paths] for entry in self.entries])

    @cached_property
    def _whole(self) -> frozenset[str]:
        return frozenset(e.repository for e in self.entries if not e.paths and _is_plain(e))

    @cached_property
    def _owners(self) -> frozenset[str]:
        """Owners of whom everything is covered, by lines `owner/*`."""
        return frozenset(e.repository[:-2] for e in self.entries if not e.paths and _is_owner(e))

    @cached_property
    def _patterns(self) -> re.Pattern[str] | None:
        """All other patterns of whole repositories, as one."""
        others = [
            e.repository
            for e in self.entries
            if not e.paths and not _is_plain(e) and not _is_owner(e)
        ]
        return _compiled(others, folders=False) if others else None

    @cached_property
    def _paths(self) -> dict[str, re.Pattern[str]]:
        """The path patterns of each plainly named repository, as one."""
        by_name: dict[str, list[str]] = {}
        for entry in self.entries:
            if entry.paths and _is_plain(entry):
                by_name.setdefault(entry.repository, []).append(entry.paths)
        return {name: _compiled(paths, folders=True) for name, paths in by_name.items()}

    @cached_property
    def _path_patterns(self) -> list[tuple[re.Pattern[str], re.Pattern[str]]]:
        """Patterns of repositories that are limited to paths."""
        return [
            (_compiled([e.repository], folders=False), _compiled([e.paths], folders=True))
            for e in self.entries
            if e.paths and not _is_plain(e)
        ]


def _problem(fields: list[str]) -> str:
    """What is wrong with a line; empty if nothing is."""
    if not fields:
        return ""
    repository, *paths = fields
    if "://" in repository:
        return "write the repository as the source names it, such as owner/name, not as an address"
    if len(paths) > 1:
        return "a repository and at most one pattern of paths; write ? where a name has a space"
    if "\\" in "".join(fields):
        return "folders are separated by /"
    for name in fields:
        if name.startswith("/") or ".." in name.split("/"):
            return f"{name} must be relative, without .."
    if not repository.strip("*/"):
        return "covers every repository; name one, or an owner"
    return ""


def _is_plain(entry: Entry) -> bool:
    return not _WILDCARD.search(entry.repository)


def _is_owner(entry: Entry) -> bool:
    owner, slash, name = entry.repository.partition("/")
    return bool(slash) and name == "*" and not _WILDCARD.search(owner)


def _compiled(globs: list[str], folders: bool) -> re.Pattern[str]:
    """Patterns as one expression; with `folders`, each also covers what is below it."""
    below = "(?:/.*)?" if folders else ""
    return re.compile("|".join(f"(?:{_regex(glob)}{below})" for glob in globs), re.DOTALL)


def _regex(glob: str) -> str:
    """A pattern as an expression that never goes back over what a `*` has taken.

    The shortest match of everything up to the next plain part is the only one that is tried, so
    time is the product of the lengths at worst, not exponential.
    """
    first, *rest = (
        "".join("." if c == "?" else re.escape(c) for c in part)
        for part in re.split(r"\*+", glob.rstrip("/"))
    )
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>.*?{part})" for part in middle if part) + ".*" + last
