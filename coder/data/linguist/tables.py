# SPDX-License-Identifier: Apache-2.0
"""Linguist's tables, loaded once."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_UPSTREAM = Path(__file__).parent / "upstream"

Index = dict[str, tuple[str, ...]]
"""Something of a file to the names of the languages that claim it, in Linguist's order."""


@dataclass(frozen=True)
class Tables:
    """What Linguist knows languages by. Names of languages are Linguist's (`C++`, `Shell`)."""

    languages: tuple[str, ...]
    by_alias: dict[str, str]
    """Lower case names, with `-` for spaces, and the aliases, to names."""
    by_extension: Index
    """Lower case, with the dot; some have two (`.html.erb`)."""
    by_filename: Index
    by_interpreter: Index
    first_extension: dict[str, str]
    """Name to the extension that Linguist lists first, its main one."""
    popular: frozenset[str]
    generic: tuple[str, ...]
    """Extensions that prove nothing by themselves, as too many formats use them."""


@functools.cache
def tables() -> Tables:
    """The tables; the first call reads the file."""
    languages: dict[str, dict[str, Any]] = upstream("languages")
    by_alias = {}
    for name, given in languages.items():
        by_alias["-".join(name.lower().split(" "))] = name
        by_alias.update((alias.lower(), name) for alias in given.get("aliases", ()))
    return Tables(
        languages=tuple(languages),
        by_alias=by_alias,
        by_extension=_index(languages, "extensions", lower=True),
        by_filename=_index(languages, "filenames"),
        by_interpreter=_index(languages, "interpreters"),
        first_extension={
            name: given["extensions"][0].lower()
            for name, given in languages.items()
            if "extensions" in given
        },
        popular=frozenset(upstream("popular")),
        generic=tuple(upstream("generic")),
    )


def upstream(name: str) -> Any:
    """The content of one of Linguist's files."""
    return json.loads((_UPSTREAM / f"{name}.json").read_text(encoding="utf-8"))


def base_name(path: str) -> str:
    """What comes after the last `/`."""
    return path[path.rfind("/") + 1 :]


def first_lines(text: str, count: int) -> list[str]:
    r"""The first lines of a text, which end in \n alone; without their ends."""
    return text.split("\n", count)[:count]


def _index(languages: dict[str, dict[str, Any]], field: str, lower: bool = False) -> Index:
    index: dict[str, list[str]] = {}
    for name, given in languages.items():
        for key in dict.fromkeys(map(str.lower if lower else str, given.get(field, ()))):
            index.setdefault(key, []).append(name)
    return {key: tuple(names) for key, names in index.items()}
