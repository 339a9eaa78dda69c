# SPDX-License-Identifier: Apache-2.0

import json
import re
import time
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coder.data.linguist import detect, heuristics, linear, ruby_regex
from coder.data.linguist.automaton import Automaton
from coder.data.linguist.exclusions import is_generated, is_minified, is_vendored
from coder.data.linguist.tables import tables, upstream

GOLDEN = Path(__file__).parents[1] / "golden" / "linguist.json"


@pytest.fixture(scope="module")
def golden() -> list[tuple[str, str, str | None, bool, bool]]:
    """Path, text, and what Ruby's Linguist says: language, vendored, generated."""
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_languages_are_those_of_rubys_linguist(golden):
    assert len(golden) > 1000
    differing = [
        (path, text, language, detect.language(path, text))
        for path, text, language, _, _ in golden
        if detect.language(path, text) != language
    ]
    assert differing == []


def test_vendored_paths_are_those_of_rubys_linguist(golden):
    assert [row[0] for row in golden if is_vendored(row[0]) != row[3]] == []


def test_generated_files_are_those_of_rubys_linguist(golden):
    # a name that only we take for minified is vendored to Linguist
    differing = [
        (path, text)
        for path, text, _, _, generated in golden
        if (is_generated(path, text) or is_minified(path.replace("min.", "m."), text)) != generated
    ]
    assert differing == []


@pytest.mark.parametrize(
    ("path", "text", "language"),
    [
        ("a.h", "@interface A\n@end\n", "Objective-C"),
        ("a.h", "namespace a {\n}\n", "C++"),
        ("a.h", "int a(void);\n", "C"),
        ("a.m", "#import <a.h>\n@implementation A\n", "Objective-C"),
        ("a.m", "% comment\nx = 1;\n", "MATLAB"),
        ("a.pl", "use strict;\n", "Perl"),
        ("a.pl", "a(X) :- b(X).\n", "Prolog"),
        ("a.v", "module a (input b);\n", "Verilog"),
        ("a.v", "Require Import List.\n", "Coq"),
        ("a.ts", "let a: number = 1\n", "TypeScript"),
        ("a.ts", '<TS version="2.1">\n', "XML"),
        ("bin/run", "#!/usr/bin/env python3\n", "Python"),
        ("a.txt", "# vim: set ft=ruby :\n", "Ruby"),
        ("Makefile", "a:\n", "Makefile"),
        ("a.html.erb", "x\n", "HTML+ERB"),
        ("a.nothing", "x\n", None),
        ("a.py", "", None),
    ],
)
def test_ambiguous_files_have_the_language_of_their_content(
    path: str, text: str, language: str | None
):
    assert detect.language(path, text) == language


def test_what_linguists_classifier_would_decide_goes_to_the_likeliest():
    assert detect.language("a.pl", "x\n") == "Perl"
    assert detect.language("a.f", "x\n") == "Fortran"
    assert detect.language("a.v", "x\n") == "Verilog"
    assert detect.language("a.mm", "x\n") == "Objective-C++"


def test_minified_is_what_has_long_lines_or_says_so():
    assert is_minified("a.min.js", "x\n")
    assert is_minified("a-min.css", "x\n")
    assert is_minified("a.js", "x" * 111)
    assert not is_minified("a.js", "x" * 110)
    assert is_minified("a.css", "é" * 56)
    assert not is_minified("a.py", "x" * 1000)
    assert not is_minified("a.js", "")


# Linguist's patterns, and that there is an equal one for `re` or an automaton.
REPLACED = sorted({*linear.EQUAL, *linear.AUTOMATA, *linear.FUNCTIONS})


def as_python(pattern: str) -> re.Pattern[str]:
    """The pattern in Python's spelling, as slow as it is."""
    with_flags = re.sub(r"^\(\?im\)(.*)$", r"(?is:\1)", pattern)
    return re.compile(with_flags.replace("(?m:", "(?s:"), ruby_regex.FLAGS)


def test_replaced_patterns_are_upstreams():
    known = json.dumps(upstream("heuristics"))
    assert [pattern for pattern in REPLACED if json.dumps(pattern) not in known] == []


# Vim's modeline takes `re` exponential time; the made-up files have it.
@pytest.mark.parametrize("pattern", [one for one in REPLACED if "filetype" not in one])
def test_a_replaced_pattern_decides_as_upstreams(pattern: str):
    slow, fast = as_python(pattern), heuristics._search(pattern)
    letters = st.characters(max_codepoint=126, include_characters="\n\t\r")
    matching = st.from_regex(slow, alphabet=letters)

    @settings(max_examples=12, deadline=None)
    @given(matching, st.integers(0, 40), st.text(" \n\ta:#!{}/\\=.;", max_size=2))
    def decides_alike(text: str, at: int, put_in: str):
        for given_text in (text, text[:at] + put_in + text[at:], text[:at] + text[at + 1 :]):
            text_or_part = given_text[:40]
            assert bool(fast(text_or_part)) == bool(slow.search(text_or_part))

    decides_alike()


def test_every_pattern_is_translated():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for extension in heuristics._upstream()[0]:
            assert heuristics._rules(extension)


def test_every_heuristic_is_for_one_extension():
    assert all(extension.count(".") == 1 for extension in heuristics._upstream()[0])


PATTERNS = (
    r"^[^\S\n]*(def|var)\s+(.+):=",
    r"match\s+(\S+\s)+with|^a\b",
    r"(?i:[A-Z.][\w.]*:{)|(^|\n)\\(cd?|d) ",
    r"a{2,3}$|\Ab|b\Z|[^a-e]\B\.",
    r"x*?y+(?:ab|)*c(?s:.)d",
)
AUTOMATA = [
    (Automaton(one, ruby_regex.FLAGS), re.compile(one, ruby_regex.FLAGS)) for one in PATTERNS
]
PIECES = st.sampled_from(
    ["match", "with", "def", "var", ":=", "a.b:{", "\\", "ab", *" \n\r\tabcdy{."]
)


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_an_automaton_finds_what_re_finds(text: str):
    for automaton, pattern in AUTOMATA:
        assert automaton.search(text) == bool(pattern.search(text))


def test_an_automaton_refuses_what_it_cannot_follow():
    with pytest.raises(ValueError, match="automaton"):
        Automaton(r"(a)\1", ruby_regex.FLAGS)


EXTENSIONS = sorted(
    {*tables().by_extension, ".js.map", ".map", ".yyp", ".PS", ".CSS", ".dsp", "", ".", ".zzz"}
)
TEXTS = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.sampled_from(
            ["#!/usr/bin/env ", "-*- mode:", "vim: ", "ft=", "<meta ", "/sfnts [", "\r\n", "\ud800"]
        ),
    ),
    max_size=20,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=10), st.sampled_from(EXTENSIONS), TEXTS)
def test_nothing_raises(name: str, extension: str, text: str):
    path = name + extension
    language = detect.language(path, text)
    assert language is None or language in tables().languages
    assert {is_vendored(path), is_generated(path, text), is_minified(path, text)} <= {True, False}
    assert detect.is_possible(path) in (True, False)


# Units that, repeated, keep Linguist's expressions busy as they stand upstream.
UNITS = (
    "(", '"', "\\", "/", "\0", "\n", " ", "\t", "\r", "a", "1", "=", ":", "a ", "\n\n", "/*",
    "<!--", "\ud800", "a.", "-*- ", " vim:", "vim: ft", "vim: : ", " ex: ft= ", "#!/usr/bin/env a=",
    "exec a $0 $@", "<meta ", "<meta name=", "\n/sfnts [\n<", "/* GIMP a C-Source image dump (",
    "match ", "x! ",
    "def a:", "\n;a", "public\n", "//", "[!", "${a", "/:\t a\t\\:", "a:\t __--a", "var ", "é",
    ":sub(", "package\n", "\n\tvar a: ", "move.l a", "fn a(", "%% ", "\n#", "@", "begin\n", "{",
)  # fmt: skip


SLOW_EXTENSIONS = (".d", ".e", ".js", ".html", ".ps", ".c", ".inc", ".ftl", ".st", ".v", ".txt")


@pytest.mark.parametrize("unit", UNITS)
def test_no_text_takes_long(unit: str):
    text = (unit * (2**20 // len(unit)))[: 2**20]
    for extension in SLOW_EXTENSIONS:
        begun = time.process_time()
        path = f"a{extension}"
        detect.language(path, text)
        is_generated(path, text)
        is_minified(path, text)
        assert time.process_time() - begun < 5, extension
    begun = time.process_time()
    detect.language("run", f"#!/usr/bin/env {text}")
    is_generated("a.js", "(function() {\n" + text)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("unit", [*UNITS, "vendor/a.", "bootstrap.", "extjs/", "packages/1/"])
def test_no_path_takes_long(unit: str):
    path = (unit * (2**20 // len(unit)))[: 2**20]
    begun = time.process_time()
    is_vendored(path)
    is_generated(path, "x\n")
    detect.language(path, "x\n")
    assert time.process_time() - begun < 5
