# SPDX-License-Identifier: Apache-2.0

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder.data.languages import LANGUAGES, language_of, path_header


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a/b.py", "Python"),
        ("A.PY", "Python"),
        ("stubs/x.pyi", "Python"),
        ("site_scons/SConstruct", "Python"),
        ("include/x.h", "C"),
        ("include/x.hpp", "C++"),
        ("x.tar.json", "JSON"),
        (".clang-format", "YAML"),
        ("index.htm", "HTML"),
        ("README.md", "Markdown"),
        ("x.rs", None),
        ("py", None),
        (".py", None),
        ("a.py/Makefile", None),
        ("trailing.", None),
        ("", None),
    ],
)
def test_the_name_tells_the_language(path: str, language: str | None):
    assert language_of(path) == language


def test_no_extension_belongs_to_two_languages():
    extensions = [ext for language in LANGUAGES.values() for ext in language.extensions]
    assert len(extensions) == len(set(extensions))
    assert all(ext == ext.lower() and ext.startswith(".") for ext in extensions)


@given(st.text(), st.sampled_from(list(LANGUAGES)))
def test_a_header_is_one_closed_comment(path: str, language: str):
    header = path_header(path, language)
    before, after = LANGUAGES[language].comment
    assert header.startswith(before) and header.endswith(f"{after}\n")
    assert header.splitlines() == [header[:-1]]
    assert header.count("-->") <= 1 or not after


def test_a_usual_path_stands_as_it_is():
    assert path_header("src/ä b.py", "Python") == "# src/ä b.py\n"
    assert path_header("a.html", "HTML") == "<!-- a.html -->\n"
    assert path_header("x-->y\n.md", "Markdown") == "<!-- x-- >y\ufffd.md -->\n"
