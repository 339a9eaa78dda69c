# SPDX-License-Identifier: Apache-2.0
"""The languages of a corpus: which ones it has, and which of them a file is in.

    languages = Languages.named(["v2"])            # presets, or names: ["Python", "rust"]
    languages.possible("a/libx.so")                # False: the name alone rules all of them out
    languages.of("a/x.h", "class A { ... };")      # "C++": Linguist's name; None: none of them

A language goes by Linguist's name for it, and files are recognised by Linguist's rules
(`coder.data.linguist`); the lists of the papers are in `language_presets`.
"""

import difflib
import functools
from collections.abc import Iterable
from dataclasses import dataclass

from coder.data.language_presets import (
    CORE_NAMES,
    FAMILIES,
    OTHER_NAMES,
    OWN,
    V1_NAMES,
    V2_NAMES,
)
from coder.data.linguist import detect
from coder.data.linguist.tables import base_name, tables
from coder.data.path_comments import path_header

__all__ = ["PRESETS", "LanguageError", "Languages", "path_header"]


class LanguageError(ValueError):
    """Nobody calls a language so; the message has the nearest names."""


def languages_named(name: str) -> tuple[str, ...]:
    """The languages that a name means: Linguist's, an alias of it, or a name of the papers' lists.

    Raises:
        LanguageError: there is no such language.
    """
    if name in tables().languages or name in OWN:
        return (name,)
    key = "-".join(name.lower().split())
    if key in OTHER_NAMES:
        return OTHER_NAMES[key]
    known = _by_key()
    if key in known:
        return (known[key],)
    near = difflib.get_close_matches(key, [*known, *OTHER_NAMES], n=3)
    nearest = [known[one] if one in known else one for one in near]
    meant = f": did you mean {' or '.join(dict.fromkeys(nearest))}?" if near else ""
    raise LanguageError(f"there is no language {name!r}, nor a preset{meant}")


@functools.cache
def _by_key() -> dict[str, str]:
    """Names and aliases in lower case, `-` for spaces, to languages."""
    own = {"-".join(name.lower().split()): name for name in OWN}
    aliases = {"-".join(alias.split()): name for alias, name in tables().by_alias.items()}
    return aliases | own


def _preset(names: Iterable[str]) -> frozenset[str]:
    """The languages of a list, with all that Linguist has since divided them into."""
    found: set[str] = set()
    for name in names:
        key = "-".join(name.lower().split())
        found.update(FAMILIES.get(key) or languages_named(name))
    return frozenset(found)


PRESETS: dict[str, frozenset[str]] = {
    "v1": _preset(V1_NAMES),
    "v2": _preset(V2_NAMES),
    "core": frozenset(CORE_NAMES),
}
"""The languages of DeepSeek-Coder v1 and V2, and seven of them for a small corpus."""


@dataclass(frozen=True)
class Languages:
    """The languages of a corpus."""

    names: frozenset[str]

    @classmethod
    def named(cls, names: Iterable[str]) -> "Languages":
        """All languages of the presets and names given (see `languages_named`).

        Raises:
            LanguageError: there is no such preset or language.
        """
        found = (PRESETS.get(name) or languages_named(name) for name in names)
        return cls(frozenset(language for some in found for language in some))

    def possible(self, path: str) -> bool:
        """Whether a file of this name may be in one of the languages.

        False for extensions of formats that are no text (`detect.BINARY_EXTENSIONS`), and for
        nothing else: a line in the file may say otherwise than its name.
        """
        return detect.is_possible(path)

    def of(self, path: str, text: str) -> str | None:
        """The language of a file; None: none of these, or the file is empty.

        Args:
            path: of the file, `/` between folders; only the part after the last counts.
            text: of the file, without a byte order mark.
        """
        if not text:
            return None
        found = detect.language(path, text)
        for own in _own_languages(base_name(path)):
            if own in self.names and (found is None or found in OWN[own].instead_of):
                return own
        return found if found in self.names else None


@functools.cache
def _own_by_ending() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    extensions: dict[str, list[str]] = {}
    file_names: dict[str, list[str]] = {}
    for name, own in OWN.items():
        for extension in own.extensions:
            extensions.setdefault(extension, []).append(name)
        for file_name in own.file_names:
            file_names.setdefault(file_name, []).append(name)
    return extensions, file_names


@functools.lru_cache(maxsize=4096)
def _own_languages(name: str) -> tuple[str, ...]:
    """The languages of `OWN` that a file's name belongs to, those of its longest extension first.

    Names as long as `detect.LONGEST_NAME` and longer belong to none.
    """
    if len(name) >= detect.LONGEST_NAME:
        return ()
    extensions, file_names = _own_by_ending()
    lower = name.lower()
    ends = [lower[at:] for at, letter in enumerate(lower) if letter == "."]
    found = [*file_names.get(name, ()), *(one for end in ends for one in extensions.get(end, ()))]
    return tuple(found)
