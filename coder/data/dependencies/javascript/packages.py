# SPDX-License-Identifier: Apache-2.0
"""The packages of a repository, from package.json and lists of workspaces, and who sees whom."""

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from coder.data.dependencies.javascript.settings import part, read_json, strings
from coder.data.dependencies.paths import join, upwards

PROJECT_FILES = ("package.json", "pnpm-workspace.yaml", "lerna.json")

MAX_PATTERNS = 100
"""Patterns with wildcards that are read from one list of workspaces."""

_PNPM_ITEM = re.compile(r"""\s*+-\s*+["']?([^"'#\s]++)["']?""")


@dataclass(frozen=True)
class Packages:
    """The packages of a repository and which of them see each other."""

    manifests: dict[str, dict[str, Any]]
    """Folder to its package.json."""
    workspaces: dict[str, dict[str, str]]
    """Folder of a list of workspaces to their names, and the name to its folder."""
    named: dict[str, list[str]]
    """Name to the folders of all packages so named."""

    def find(self, folder: str, name: str) -> str | None:
        """The folder of the package that `name` stands for in the files of `folder`."""
        for above in upwards(folder):
            if self.manifests.get(above, {}).get("name") == name:
                return above
        for above in upwards(folder):
            if name in self.workspaces.get(above, ()):
                return self.workspaces[above][name]
        return self._linked(folder, name)

    def _linked(self, folder: str, name: str) -> str | None:
        """A package that the nearest package.json asks for by path or as one of the workspace."""
        here = self.around(folder)
        manifest = self.manifests.get(here, {}) if here is not None else {}
        for kind in ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies"):
            version = part(manifest, kind).get(name)
            if not isinstance(version, str):
                continue
            protocol, _, path = version.partition(":")
            if protocol == "workspace":
                return min(self.named.get(name, ()), default=None)
            if protocol in ("file", "link", "portal"):
                place = join(here or "", path)
                return place if place in self.manifests else None
        return None

    def around(self, folder: str) -> str | None:
        """The folder of the nearest package.json."""
        return next((above for above in upwards(folder) if above in self.manifests), None)


def read_packages(project: Mapping[str, str]) -> Packages:
    """The packages of a repository, and its workspaces by npm, Yarn, pnpm or Lerna."""
    manifests, lists = dict[str, dict[str, Any]](), dict[str, list[str]]()
    for path, text in project.items():
        folder, name = posixpath.split(path)
        if name == "package.json":
            manifests[folder] = read_json(text)
            value = manifests[folder].get("workspaces")
            listed = strings(value.get("packages") if isinstance(value, dict) else value)
        elif name == "pnpm-workspace.yaml":
            listed = _pnpm_patterns(text)
        elif name == "lerna.json":
            listed = strings(read_json(text).get("packages", ["packages/*"]))
        else:
            continue
        if listed:
            lists.setdefault(folder, []).extend(listed)
    named = dict[str, list[str]]()
    for folder, manifest in manifests.items():
        if isinstance(name := manifest.get("name"), str):
            named.setdefault(name, []).append(folder)
    matchers = {folder: _WorkspacePatterns(patterns) for folder, patterns in lists.items()}
    return Packages(manifests, _members(named, matchers), named)


def _members(
    named: Mapping[str, list[str]], matchers: Mapping[str, "_WorkspacePatterns"]
) -> dict[str, dict[str, str]]:
    """Folder of a list of workspaces to the packages in it; the first of a name counts."""
    found = dict[str, dict[str, str]]()
    for name, folders in named.items():
        for folder in sorted(folders):
            for root in upwards(folder):
                inner = folder[len(root) :].strip("/")
                if root in matchers and (not inner or matchers[root].match(inner)):
                    found.setdefault(root, {}).setdefault(name, folder)
    return found


def _pnpm_patterns(text: str) -> list[str]:
    """The items of `packages:` in pnpm-workspace.yaml."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("packages:"):
            inline = line.partition("[")[2].partition("]")[0]
            found = [item.strip(" \"'") for item in inline.split(",") if item.strip()]
            for item in lines:
                if match := _PNPM_ITEM.match(item):
                    found.append(match[1])
                elif item.strip() and not item.lstrip().startswith("#"):
                    break
            return found
    return []


class _WorkspacePatterns:
    """Globs of folders: `*` within a name, `**` over any number of them, `!` takes out again."""

    def __init__(self, patterns: Iterable[str]) -> None:
        clean = [pattern.strip().removeprefix("./").rstrip("/") for pattern in patterns]
        self._plain = {pattern for pattern in clean if not re.search(r"[*?\[{!]", pattern)}
        self._globs = [
            (pattern.startswith("!"), pattern.lstrip("!").removeprefix("./").split("/"))
            for whole in clean[: 10 * MAX_PATTERNS]
            if whole not in self._plain
            for pattern in _without_braces(whole)
        ][:MAX_PATTERNS]

    def match(self, folder: str) -> bool:
        names = folder.split("/")
        if any(negative and _matches(names, glob) for negative, glob in self._globs):
            return False
        return folder in self._plain or any(
            not negative and _matches(names, glob) for negative, glob in self._globs
        )


def _without_braces(pattern: str) -> list[str]:
    """`a/{b,c}` as `a/b` and `a/c`; only the first braces are read."""
    before, brace, rest = pattern.partition("{")
    inside, closing, after = rest.partition("}")
    return [f"{before}{item}{after}" for item in inside.split(",")] if closing else [pattern]


def _matches(names: list[str], glob: list[str]) -> bool:
    """Whether a path matches a glob; when a name fails, only the last `**` takes one more."""
    name = pattern = 0
    retry: tuple[int, int] | None = None
    while name < len(names):
        if pattern < len(glob) and glob[pattern] == "**":
            pattern += 1
            retry = (name, pattern)
        elif pattern < len(glob) and fnmatchcase(names[name], glob[pattern]):
            name, pattern = name + 1, pattern + 1
        elif retry is not None:
            name, pattern = retry[0] + 1, retry[1]
            retry = (name, pattern)
        else:
            return False
    return all(item == "**" for item in glob[pattern:])
