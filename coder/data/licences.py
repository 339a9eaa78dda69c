# SPDX-License-Identifier: Apache-2.0
"""Under which licence a file is: its SPDX header, else the nearest licence file, else its project.

A licence text is recognised by phrases that only it has, in a text reduced to lower-case words: the
marks of comments, line breaks, quotes and bullets differ from copy to copy, the words do not. A
text without all phrases of a licence is unknown rather than guessed: a wrong licence does harm that
an unknown one does not. Everything takes time linear in the text.
"""

import re
from collections.abc import Mapping

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

_HEADER_CHARACTERS = 4000
"""Where a header is looked for, from the start of a file."""
_MAX_EXPRESSION = 200
_MAX_TEXT = 1 << 18
"""Characters of a licence file that are looked at; the GPL has 35,000."""

_IDENTIFIER = re.compile(r"SPDX-License-Identifier:([^\r\n]*)")
_EXPRESSION = re.compile(r"[A-Za-z0-9.+() \t-]*")
_NOTICE = re.compile(r"[ \t](?:copyright\b|\(c\)|©)", re.I)
# After an expression, these are more of the statement; `*/`, `-->`, quotes and the like end it.
_MORE = re.compile(r"(?:[,;:/]|&&?|\|\|?)?[ \t]*\w")
_NO_WORD = re.compile(r"[^a-z0-9]+")

_NAMED = re.compile(r"(?:un)?licen[cs]es?|copying|(?:mit|bsd|apache|gpl|lgpl)[-_.]licen[cs]e", re.I)
_TEXT_EXTENSION = re.compile(r"\.(?:txt|text|md|markdown|rst|adoc)$", re.I)
_WHICH = re.compile(
    r"(?:mit|apache|[al]?gpl|mpl|bsd|isc|zlib|cc0|psf|boost|bsl|epl|wtfpl|unlicense|lesser|lib"
    r"|v?[0-9])[a-z0-9]*",
    re.I,
)

_OWN = 3000
"""Characters of words within which the licence of the project itself begins. What comes later only
is of code that the project bundles, below terms of its own that are not known."""

# Phrases as `_words` leaves them; all of a line must be found. The first one gives the position.
_TEXTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "MIT",
        (
            "permission is hereby granted free of charge to any person obtaining a copy",
            "to deal in the software without restriction",
            "the above copyright notice and this permission notice shall be included in all copies",
        ),
    ),
    (
        "MIT-0",
        (
            "permission is hereby granted free of charge to any person obtaining a copy",
            "and to permit persons to whom the software is furnished to do so the software is "
            "provided as is",
        ),
    ),
    (
        "MIT-CMU",
        (
            "you agree that you have read understood and will comply with the following terms and "
            "conditions permission to use copy modify and distribute this software and its",
        ),
    ),
    (
        "BSD-2-Clause",
        (
            "redistribution and use in source and binary forms with or without modification",
            "must retain the above copyright notice this list of conditions",
            "must reproduce the above copyright notice this list of conditions",
        ),
    ),
    (
        "BSD-3-Clause",
        (
            "redistribution and use in source and binary forms with or without modification",
            "must retain the above copyright notice this list of conditions",
            "must reproduce the above copyright notice this list of conditions",
            "endorse or promote products derived from this software without specific prior",
        ),
    ),
    (
        "BSD-4-Clause",
        (
            "redistribution and use in source and binary forms with or without modification",
            "all advertising materials mentioning features or use of this software must display",
        ),
    ),
    (
        "0BSD",
        ("distribute this software for any purpose with or without fee is hereby granted",),
    ),
    (
        "ISC",
        (
            "distribute this software for any purpose with or without fee is hereby granted",
            "provided that the above copyright notice and this permission notice appear in all",
        ),
    ),
    (
        "Apache-2.0",
        (
            "version 2 0 january 2004",
            "terms and conditions for use reproduction and distribution 1 definitions license",
        ),
    ),
    (
        "Apache-2.0",
        (
            "licensed under the apache license version 2 0 the license you may not use this file "
            "except in compliance with the license",
        ),
    ),
    (
        "MPL-2.0",
        (
            "mozilla public license version 2 0",
            "contributor means each individual or legal entity that creates contributes to",
        ),
    ),
    (
        "MPL-2.0",
        (
            "this source code form is subject to the terms of the mozilla public license v 2 0",
            "if a copy of the mpl was not distributed with this file",
        ),
    ),
    (
        "GPL-2.0",
        (
            "gnu general public license version 2 june 1991",
            "terms and conditions for copying distribution and modification",
        ),
    ),
    (
        "GPL-3.0",
        ("gnu general public license version 3 29 june 2007", "terms and conditions 0 definitions"),
    ),
    (
        "LGPL-2.1",
        (
            "gnu lesser general public license version 2 1 february 1999",
            "terms and conditions for copying distribution and modification",
        ),
    ),
    (
        "LGPL-3.0",
        (
            "gnu lesser general public license version 3 29 june 2007",
            "this version of the gnu lesser general public license incorporates",
        ),
    ),
    (
        "AGPL-3.0",
        (
            "gnu affero general public license version 3 19 november 2007",
            "terms and conditions 0 definitions",
        ),
    ),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",)),
    (
        "CC0-1.0",
        (
            "cc0 1 0 universal",
            "the laws of most jurisdictions throughout the world automatically confer exclusive",
        ),
    ),
    (
        "Zlib",
        (
            "permission is granted to anyone to use this software for any purpose including "
            "commercial applications",
            "altered source versions must be plainly marked as such and must not be "
            "misrepresented as being the original software",
        ),
    ),
    (
        "BSL-1.0",
        (
            "permission is hereby granted free of charge to any person or organization obtaining "
            "a copy of the software and accompanying documentation covered by this license",
            "machine executable object code generated by a source language processor",
        ),
    ),
    (
        "PSF-2.0",
        (
            "python software foundation license version 2",
            "this license agreement is between the python software foundation",
        ),
    ),
    (
        "EPL-2.0",
        (
            "eclipse public license v 2 0",
            "the accompanying program is provided under the terms of this eclipse public license",
        ),
    ),
    (
        "Artistic-2.0",
        (
            "the artistic license 2 0",
            "this license establishes the terms under which a given free software package may be",
        ),
    ),
    ("BlueOak-1.0.0", ("blue oak model license version 1 0 0",)),
    ("OFL-1.1", ("sil open font license version 1 1 26 february 2007",)),
    ("WTFPL", ("do what the fuck you want to public license", "you just do what the fuck you")),
)

# A text of the first holds the phrases of the second: it extends it, refers to it, or grants the
# same with fewer conditions.
_INCLUDES: dict[str, frozenset[str]] = {
    "BSD-3-Clause": frozenset({"BSD-2-Clause"}),
    "BSD-4-Clause": frozenset({"BSD-2-Clause", "BSD-3-Clause"}),
    "ISC": frozenset({"0BSD"}),
    "LGPL-3.0": frozenset({"GPL-3.0"}),
    "PSF-2.0": frozenset({"0BSD"}),
}


def is_licence_file(path: str) -> bool:
    """Whether a file's name says that it is a licence text: `LICENSE`, `COPYING.LESSER` and so on.

    Source files named after licences (`license.py`) are none.
    """
    folders, _, name = path.rpartition("/")
    if folders.rpartition("/")[2] == "LICENSES":  # the folder of the REUSE specification
        return name.endswith(".txt")
    named = _NAMED.match(name)
    if not named:
        return False
    before, *which = re.split(r"[-_.]", _TEXT_EXTENSION.sub("", name[named.end() :]))
    return not before and all(map(_WHICH.fullmatch, which))


def spdx_header(text: str) -> str | None:
    """The SPDX expression that the first lines of a file state; None if they state nothing.

    Several statements hold together. If one of them is not understood, the licence is not known and
    the expression is empty: what the others say is not all that holds.
    """
    statements = _IDENTIFIER.findall(text[:_HEADER_CHARACTERS])
    if not statements:
        return None
    found = list(dict.fromkeys(map(_stated, statements)))
    return joined(found) if all(found) else ""


def _stated(statement: str) -> str:
    """What stands after the colon, as an SPDX expression; empty if it is none.

    A copyright notice may follow (`GPL-2.0-only Copyright ARM`). Other words may not, as they may
    change what is meant (`Apache-2.0 LLVM exception`). An expression that goes on in letters it
    cannot have (`LicenseRef-My_Own`, `MIT/ISC`) is none.
    """
    notice = _NOTICE.search(statement)
    statement = statement[: notice.start()] if notice else statement
    found = _EXPRESSION.match(statement)
    end = found.end() if found else 0
    return "" if _MORE.match(statement, end) else expression(statement[:end])


def expression(stated: str) -> str:
    """What somebody states as a licence, as an SPDX expression; empty if it is none.

    `Apache 2.0` and `MIT License` are read as what they mean.
    """
    stated = stated.strip(" \t-")
    if not stated or len(stated) > _MAX_EXPRESSION:
        return ""
    plain = re.sub(r" licen[cs]e$", "", stated, flags=re.I)
    for spelling in (stated, plain, plain.replace(" ", "-")):
        try:
            return canonicalize_license_expression(spelling)
        except InvalidLicenseExpression:
            continue
    return ""


def joined(expressions: list[str]) -> str:
    """Expressions that hold at once, as one."""
    if len(expressions) == 1:
        return expressions[0]
    return " AND ".join(f"({each})" if " OR " in each else each for each in expressions)


def licence_of_text(text: str) -> str:
    """The SPDX id of a licence text, or an empty string for one that is not known.

    Several licences in one text are joined by `AND`, in the order in which they stand: often the
    later ones are those of bundled code, but the text does not say so in a way that can be read.
    """
    words = _words(text[:_MAX_TEXT])
    found: dict[str, int] = {}
    for licence, phrases in _TEXTS:
        positions = [words.find(phrase) for phrase in phrases]
        if min(positions) >= 0:
            found.setdefault(licence, positions[0])
    if not found or min(found.values()) > _OWN:
        return ""
    included = frozenset[str]().union(*(_INCLUDES.get(licence, ()) for licence in found))
    return joined(sorted(found.keys() - included, key=lambda licence: (found[licence], licence)))


def _words(text: str) -> str:
    """The words of a text in lower case, a space between them."""
    return _NO_WORD.sub(" ", text.lower())


class LicenceIndex:
    """The licences of one repository's files."""

    def __init__(self, texts: Mapping[str, str], repository: str) -> None:
        """Reads the licence files of a repository.

        Args:
            texts: path to text of the files for which `is_licence_file` holds.
            repository: what the source states for the whole repository; empty if nothing.
        """
        self._repository = expression(repository) or repository
        found: dict[str, list[str]] = {}
        for path, text in sorted(texts.items()):
            folder = path.rpartition("/")[0]
            if folder.rpartition("/")[2] == "LICENSES":
                folder = folder.rpartition("/")[0]
            found.setdefault(folder, []).append(licence_of_text(text))
        self._folders = {folder: self._together(names) for folder, names in found.items()}

    def _together(self, licences: list[str]) -> str:
        """What several licence files of one folder say.

        The files do not tell if they hold together or to choose from. Where the project itself
        names the same licences, its expression does; otherwise all of them are stated, so that
        nobody relies on the weakest.
        """
        known = list(dict.fromkeys(licence for licence in licences if licence))
        included = frozenset[str]().union(*(_INCLUDES.get(licence, ()) for licence in known))
        kept = [licence for licence in known if licence not in included]
        if len(kept) > 1 and _ids(" ".join(kept)) <= _ids(self._repository):
            return self._repository
        return joined(kept)

    def of(self, path: str, text: str) -> str:
        """The licence of a file, or an empty string if it is not known.

        Its own header comes first; one that is not understood still says that the file is not under
        what holds for the others. Then come the licence files of its folder and of those above. One
        that is not recognised leaves the files below it without a known licence, but at the root,
        where the source's own statement is of the same thing.
        """
        header = spdx_header(text)
        if header is not None:
            return header
        folder = path
        while folder:
            folder = folder.rpartition("/")[0]
            if folder in self._folders:
                return self._folders[folder] or ("" if folder else self._repository)
        return self._repository


def _ids(stated: str) -> set[str]:
    """The licences that an expression names."""
    return set(re.findall(r"[\w.+-]+", stated)) - {"AND", "OR", "WITH"}
