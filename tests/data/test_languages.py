# SPDX-License-Identifier: Apache-2.0

import functools

import pytest
import tree_sitter_language_pack as grammars
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coder.data.language_presets import FAMILIES, OTHER_NAMES, OWN, V1_NAMES, V2_NAMES
from coder.data.languages import PRESETS, LanguageError, Languages, languages_named, path_header
from coder.data.linguist import detect
from coder.data.linguist.tables import tables
from coder.data.path_comments import COMMENTS

ALL = sorted(PRESETS["v1"] | PRESETS["v2"])

# Grammars that are named otherwise than the language in lower case.
GRAMMAR = {
    "C#": "csharp",
    "C++": "cpp",
    "Common Lisp": "commonlisp",
    "Emacs Lisp": "elisp",
    "F#": "fsharp",
    "Gettext Catalog": "po",
    "HTML+ERB": "embeddedtemplate",
    "Linker Script": "linkerscript",
    "Makefile": "make",
    "Objective-C": "objc",
    "Protocol Buffer": "proto",
    "QML": "qmljs",
    "Shell": "bash",
    "TeX": "latex",
    "Vim Script": "vim",
    "WebAssembly": "wat",
    "reStructuredText": "rst",
}
# Grammars that find an error in a file without any code.
CODE = {
    "GraphQL": "type A { b: Int }",
    "PowerShell": "$a = 1",
    "QML": "A {}",
    "Smali": ".class public LA;\n.super LB;",
    "XML": "<a/>",
    "COBOL": "       identification division.\n       program-id. a.",
}
# Languages without comments, and Markdown, whose grammar sees a block of HTML.
WITHOUT_COMMENTS = {"JSON", "Markdown", "Jupyter Notebook"}


def test_the_lists_have_as_many_names_as_the_papers_say():
    assert (len(V1_NAMES), len(set(V1_NAMES))) == (89, 89)
    assert (len(V2_NAMES), len(set(V2_NAMES))) == (338, 338)
    assert len(PRESETS["core"]) == 7


def test_most_names_are_linguists_own():
    keys = ["-".join(name.lower().split()) for name in V2_NAMES]
    other = [key for key in keys if key in OTHER_NAMES]
    own = [
        name
        for name in V2_NAMES
        if set(languages_named(name)) - set(tables().languages) and name not in other
    ]
    assert (len(keys) - len(other) - len(own), len(other), len(own)) == (267, 25, 46)


def test_every_language_is_linguists_or_our_own():
    known = set(tables().languages) | set(OWN)
    assert set(ALL) <= known
    assert set(COMMENTS) <= known
    assert {name for names in FAMILIES.values() for name in names} <= known


def test_own_endings_are_free_or_say_whom_they_replace():
    for own in OWN.values():
        claimed = {one for ext in own.extensions for one in tables().by_extension.get(ext, ())}
        assert bool(claimed) == bool(own.instead_of)
        assert set(own.instead_of) <= claimed


def test_every_language_of_our_own_is_found_by_its_endings():
    languages = Languages(frozenset(OWN))
    for name, own in OWN.items():
        for path in (*(f"a/x{ext}" for ext in own.extensions), *own.file_names):
            assert languages.of(path, "x\n") == name, path


def test_languages_are_asked_for_by_preset_name_or_alias():
    assert Languages.named(["core"]).names == PRESETS["core"]
    assert Languages.named(["core", "go"]).names == PRESETS["core"] | {"Go"}
    some = Languages.named(["Python", "golang", "c-sharp", "visual basic", "Jade", "Pug"])
    assert some.names == {"Python", "Go", "C#", "Visual Basic .NET", "VBA", "Pug"}


def test_unknown_names_are_errors_that_name_the_nearest():
    with pytest.raises(LanguageError, match="'Pyhton'.*did you mean Python"):
        Languages.named(["Pyhton"])
    with pytest.raises(LanguageError, match="'verilok'.*Verilog"):
        Languages.named(["core", "verilok"])


def test_a_corpus_has_only_its_languages():
    text = "#!/usr/bin/env ruby\n"
    assert Languages.named(["core"]).of("run", text) is None
    assert Languages.named(["v1"]).of("run", text) == "Ruby"
    assert Languages.named(["v1"]).of("a.mpl", "x := 1;\n") == "Maple"
    assert Languages.named(["v2"]).of("a.mpl", "x := 1;\n") is None
    assert Languages.named(["v2"]).of("empty.py", "") is None


def test_names_of_binary_formats_need_not_be_read():
    core = Languages.named(["core"])
    assert not core.possible("a/libx.so")
    assert not core.possible("a.b/X.PNG")
    assert core.possible("bin/run")
    assert core.possible("notes.txt")
    assert core.possible("a.so/x")


def test_no_language_has_the_extension_of_a_binary_format():
    assert detect.BINARY_EXTENSIONS.isdisjoint(tables().by_extension)
    assert detect.BINARY_EXTENSIONS.isdisjoint(
        ext for own in OWN.values() for ext in own.extensions
    )


def test_every_language_of_the_papers_has_a_comment():
    assert set(ALL) <= set(COMMENTS)


HOSTILE = "".join(("*/", "*)", "-->", "--!>", "?>", "%>", "#}", "*}", "}}", "]", '"', ":)", "{%"))


@settings(max_examples=500)
@given(
    st.text(st.sampled_from("-->*/(){}[]%#!?:\"'\\^_ |a\n\r\u2028\x00\ud800é")),
    st.sampled_from(ALL),
)
@example(HOSTILE, "OCaml")
@example("------>", "Markdown")
@example("a\\", "C")
@example("a\\ ", "C")
@example("a _", "VBA")
def test_a_header_is_one_closed_comment(path: str, language: str):
    header = path_header(path, language)
    comment = COMMENTS[language]
    assert header.startswith(comment.before) and header.endswith(f"{comment.after}\n")
    inside = header[len(comment.before) : -len(comment.after) - 1]
    assert inside.isprintable()
    assert not any(text in inside for text in comment.opened)
    assert not set(comment.replaced) & set(inside)
    if comment.after.strip():
        assert header.count(comment.after.strip()) == (1 if comment.before.strip() != '"' else 2)
    else:
        assert not inside.rstrip(" ").endswith(("\\", "^", " _", "??/"))


def test_a_usual_path_stands_as_it_is():
    assert path_header("src/ä b.py", "Python") == "# src/ä b.py\n"
    assert path_header("a.html", "HTML") == "<!-- a.html -->\n"
    assert path_header("x-->y\n.md", "Markdown") == "<!-- x-- >y\ufffd.md -->\n"
    assert path_header("a_b-c/__init__.py", "Python") == "# a_b-c/__init__.py\n"
    for language in ALL:
        assert "src/some_dir/main-2.test" in path_header("src/some_dir/main-2.test", language)


@functools.cache
def grammar_of(language: str):
    name = GRAMMAR.get(language, language.lower())
    try:
        return grammars.get_parser(name)  # pyright: ignore[reportArgumentType]
    except LookupError:
        return None


PARSED = [one for one in ALL if one not in WITHOUT_COMMENTS and grammar_of(one) is not None]


def test_most_bundled_grammars_are_asked():
    assert len(PARSED) >= 80


@pytest.mark.parametrize("language", PARSED)
def test_a_header_parses_without_an_error(language: str):
    parser = grammar_of(language)
    assert parser is not None
    for path in ("src/main.x", HOSTILE, "-----*/>*)\\"):
        header = path_header(path, language)
        code = header + CODE.get(language, "") + "\n"
        assert not parser.parse(code.encode()).root_node.has_error, header
