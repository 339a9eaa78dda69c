# SPDX-License-Identifier: Apache-2.0
"""The languages of the corpus: the names their files go by, and the path comment above a file."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """How to recognise a file of a language, and its line comment.

    The extensions are linguist's (`languages.yml`), less those that another language claims more
    often. A `.h` file is C, which is linguist's answer when it does not read the file.
    """

    extensions: tuple[str, ...]
    """Lower case, with the dot."""
    comment: tuple[str, str]
    """What stands before and after a one-line comment; JSON, without comments, gets `//`."""
    file_names: tuple[str, ...] = ()
    """Whole file names, for files without a telling extension."""


_HASH, _SLASHES, _MARKUP = ("# ", ""), ("// ", ""), ("<!-- ", " -->")

LANGUAGES: dict[str, Language] = {
    "Python": Language((".py", ".pyi", ".pyw"), _HASH, ("SConscript", "SConstruct", "wscript")),
    "C": Language((".c", ".h"), _SLASHES),
    "C++": Language(
        (".cc", ".cpp", ".cxx", ".c++", ".hh", ".hpp", ".hxx", ".h++", ".inl", ".ipp", ".tpp"),
        _SLASHES,
    ),
    "JSON": Language((".json", ".geojson", ".webmanifest"), _SLASHES, (".babelrc", ".jshintrc")),
    "YAML": Language((".yaml", ".yml"), _HASH, (".clang-format", ".clang-tidy")),
    "HTML": Language((".html", ".htm", ".xhtml"), _MARKUP),
    "Markdown": Language((".md", ".markdown", ".mdown", ".mkd"), _MARKUP),
}

_BY_EXTENSION = {
    extension: name for name, language in LANGUAGES.items() for extension in language.extensions
}
_BY_FILE_NAME = {
    file_name: name for name, language in LANGUAGES.items() for file_name in language.file_names
}


def language_of(path: str) -> str | None:
    """The language of a file by its name alone (`/` between folders); None: none of the corpus."""
    name = path.rpartition("/")[2]
    if name in _BY_FILE_NAME:
        return _BY_FILE_NAME[name]
    stem, dot, extension = name.rpartition(".")
    return _BY_EXTENSION.get("." + extension.lower()) if dot and stem else None


def path_header(path: str, language: str) -> str:
    """The path as a one-line comment of `language`, with its line break.

    Whatever the path holds, the header stays one comment: unprintable characters (line breaks
    among them) become U+FFFD, and `-->` is opened up where it would end the comment.

    Raises:
        KeyError: the language is none of `LANGUAGES`.
    """
    before, after = LANGUAGES[language].comment
    if not path.isprintable():
        path = "".join(letter if letter.isprintable() else "\ufffd" for letter in path)
    if after:
        path = path.replace("-->", "-- >")
    return f"{before}{path}{after}\n"
