# SPDX-License-Identifier: Apache-2.0
"""Java, Kotlin, Scala and C# files with anything in them: read in linear time, alone."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.dependencies.repository import resolve

ENDINGS = ("java", "kt", "scala", "cs")

# What lexers and parsers of this kind trip over, alone and in any mixture.
PIECES = (
    *"(){}<>[]\"'\\/*.,;:=@#$?`|&-_\0\ufeff\udc80é1A\n ",
    *("//", "/*", "*/", '"""', '$"', '@"', '$@"', '$$"""', '"${', 's"${', "{{", "}}", "::", "=>"),
    *("class A", "class A<", "class A(", "class A : B, ", "class A extends B with C ", "record A("),
    *("object A:\n ", "enum A { A, ", "enum A:\n case A, ", "interface ", "delegate A B", "new A("),
    *("package a.b\n", "package a {", "package object a {", "namespace A;", "namespace A {"),
    *("import a.b.C;\n", "import a.{", "import a.b._\n", "import static a.*;", "using A = B;"),
    *(
        "using A;",
        "global using static A.B;",
        "fun <T> A.b(",
        "val <",
        "def a =\n  ",
        "given A: B ",
    ),
    *("case A", "[A(", "A<B, ", "A.", "a ", "partial ", "companion object {", "typealias A = "),
)


def graph(texts: dict[str, str]):
    """The dependencies of files in one folder, beside one of each language that is well formed."""
    files = {
        "x/Good.java": "class Good { Other o; }",
        "x/Other.kt": "class Other",
        "x/Good.cs": "class Good { Other o; }",
        "x/Other.cs": "class Other { }",
    }
    return resolve({**texts, **files})


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(ENDINGS), st.lists(st.sampled_from(PIECES), max_size=60)))
def test_any_mixture_is_read(pieces: dict[str, list[str]]):
    found = graph({f"y/New.{ending}": "".join(text) for ending, text in pieces.items()})
    assert not found.unparsed
    assert found.edges["x/Good.java"] == {"x/Other.kt"}
    assert found.edges["x/Good.cs"] == {"x/Other.cs"}


@settings(deadline=None)
@given(st.sampled_from(ENDINGS), st.text(max_size=200))
def test_any_text_is_read(ending: str, text: str):
    assert not graph({f"y/New.{ending}": text}).unparsed


@settings(deadline=None)
@given(st.sampled_from(ENDINGS), st.lists(st.sampled_from(PIECES), max_size=30))
def test_what_stands_in_comments_and_strings_changes_nothing(ending: str, pieces: list[str]):
    text = "".join(pieces).replace("*/", "").replace("/*", "").replace("\n", " ")
    text = text.rstrip("*/")  # which would meet the comment's end
    quoted = text.replace("\\", "").replace('"', "").replace("$", "")
    source = f'/* {text} */\nclass New {{ val x = f("{quoted}", Good()); Good y; }} // {text}'
    target = f"y/Good.{ending}"
    found = resolve(
        {f"y/New.{ending}": source, target: "class Good {}", "y/A." + ending: "class A"}
    )
    assert found.edges == {f"y/New.{ending}": {target}}


@pytest.mark.parametrize("ending", ENDINGS)
def test_time_is_linear_in_any_repetition(ending: str):
    for piece in PIECES:
        text = (piece * (1 << 15))[: 1 << 15]
        began = time.process_time()
        resolve({f"x/New.{ending}": text, f"x/Good.{ending}": "class Good {}"})
        assert time.process_time() - began < 5, piece  # what is not linear takes far longer


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_that_all_declare_the_same_take_linear_time(ending: str):
    text = "package p;\n" if ending != "cs" else "namespace p;\n"
    files = {f"{x}/{y}.{ending}": f"{text}class Same {{ }}" for x in range(50) for y in range(40)}
    files |= {f"{x}/use.{ending}": f"{text}class Use{x} {{ Same y; }}" for x in range(50)}
    began = time.process_time()
    found = resolve(files).edges
    assert time.process_time() - began < 5
    assert found == {f"{x}/use.{ending}": {f"{x}/0.{ending}"} for x in range(50)}
