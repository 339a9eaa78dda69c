# SPDX-License-Identifier: Apache-2.0
"""Which files a Scala file names types and definitions of.

The rules are those of the Scala language specification, 2 (bindings), 4.7 and 9.1 to 9.3, and of
the Scala 3 reference: imports, top-level definitions, optional braces, enumerations.
"""

import pytest

from tests.data.dependencies.repository import needs

LIBRARY = {
    "a/Shape.scala": "package a\nclass Shape(val size: Int)\n"
    "object Shape { class Nested; object One }",
    "a/Color.scala": "package a\nenum Color(code: Int):\n  case Red extends Color(1)\n"
    "  case Blue, Green\n  def mix = this match\n    case Violet => 1\nclass After",
    "a/Alone.scala": "package a\ncase class Alone(x: Int)",
    "a/package.scala": "package object a { type Name = Int; def area(x: Int) = { val local = x } }",
    "a/deep/Well.scala": "package a.deep\nobject Well { class Water }",
    "b/Shape.scala": "package b\ntrait Shape",
    "b/Local.scala": "package b {\n  trait Local\n  object Local { val Max = 1 }\n}",
    "b/defs.scala": "package b\n\ndef render(x: Int) =\n  val inner = x\n  inner\n\nval theme = 1\n"
    "given ordering: Ordering[Int] = ???\nextension (x: Local) def draw = 1\nopaque type Id = Int",
    "b/inner/Part.scala": "package b\npackage inner\nclass Part",
    "b/Base.scala": "package b\nabstract class Base[T](x: Int) { class Inherited }",
    "j/Java.java": "package j; public class Java {}",
}


def uses(body: str, imports: str = "", package: str = "package b") -> set[str]:
    text = f"{package}\n{imports}\nclass New {{\n{body}\n}}"
    return needs({**LIBRARY, "b/New.scala": text}, "b/New.scala")


@pytest.mark.parametrize(
    ("imports", "needed"),
    [
        ("import a.Shape", {"a/Shape.scala"}),
        ("import a.{Shape, Alone}", {"a/Shape.scala", "a/Alone.scala"}),
        ("import a.{Shape => Form, Color => _}", {"a/Shape.scala"}),
        ("import a.{\n  Shape as Form,\n  Alone\n}", {"a/Shape.scala", "a/Alone.scala"}),
        ("import a.Shape as Form", {"a/Shape.scala"}),
        ("import a.Shape, a.Alone", {"a/Shape.scala", "a/Alone.scala"}),
        ("import a.Shape,\n  a.Alone", {"a/Shape.scala", "a/Alone.scala"}),
        ("import a.Shape.Nested", {"a/Shape.scala"}),
        ("import a.Shape._", {"a/Shape.scala"}),
        ("import a.Shape.*", {"a/Shape.scala"}),
        ("import a.Shape.given", {"a/Shape.scala"}),
        ("import a.Shape.{given, *}", {"a/Shape.scala"}),
        ("import a.Color.Red", {"a/Color.scala"}),
        ("import a.Name", {"a/package.scala"}),
        ("import a.area", {"a/package.scala"}),
        ("import a.deep.Well.Water", {"a/deep/Well.scala"}),
        ("import a.deep\nimport deep.Well", {"a/deep/Well.scala"}),  # through an import
        ("import inner.Part", {"b/inner/Part.scala"}),  # through the package around
        ("import _root_.a.Shape", {"a/Shape.scala"}),
        ("import `a`.`Shape`", {"a/Shape.scala"}),
        ("export a.Shape", {"a/Shape.scala"}),
        ("import j.Java", {"j/Java.java"}),
        ("import a._\nimport a.deep._", set()),
        ("import scala.collection.mutable\nimport a.Violet\nimport a.local", set()),
        ("// import a.Shape\n/* /* import a.Alone */ import a.Alone */", set()),
    ],
)
def test_imports(imports: str, needed: set[str]):
    assert uses("", imports) == needed


@pytest.mark.parametrize(
    ("imports", "body", "needed"),
    [
        ("", "val x: Local = null", {"b/Local.scala"}),
        ("", "val x = Local.Max", {"b/Local.scala"}),
        ("", "def f(x: List[Local]): Map[String, Shape]", {"b/Local.scala", "b/Shape.scala"}),
        ("", "def f[T <: Local : Shape](x: T)", {"b/Local.scala", "b/Shape.scala"}),
        (
            "",
            "x match { case Local(y) => 1; case y: Shape => 2 }",
            {"b/Local.scala", "b/Shape.scala"},
        ),
        ("", "val x = new Base[Int](1) with Local {}", {"b/Base.scala", "b/Local.scala"}),
        ("", "@Local def f = 1", {"b/Local.scala"}),
        ("", "val x = classOf[Local]", {"b/Local.scala"}),
        ("", "val x: Local#Part = null", {"b/Local.scala"}),
        ("", "val x: a.Shape = a.Alone(1)", {"a/Shape.scala", "a/Alone.scala"}),
        ("", "val x = _root_.a.deep.Well", {"a/deep/Well.scala"}),
        ("", "val x = new inner.Part", {"b/inner/Part.scala"}),
        ("", 'val x = s"Local ${new Shape {}} $$ {Base}"', {"b/Shape.scala"}),
        ("", 'val x = "${Local}"', set()),  # no interpolator
        ("", 'val x = sql"""a " ${Local} "" """', {"b/Local.scala"}),
        ("", "val x = '\"'; val y: Local; val z = '\"'; val s = 'symbol", {"b/Local.scala"}),
        ("", "/** [[Local]] */ val x = 1 // Shape", set()),
        ("", "val x = y.Local", set()),
        ("", "class Local; val x: Local", set()),
        ("", "def f[Local](x: Local) = x", set()),
        ("", "val x = Id(3)", {"b/defs.scala"}),
        ("import a.Shape", "val x: Shape", {"a/Shape.scala"}),
        ("import a._", "val x: Shape", {"a/Shape.scala"}),  # `_` comes before other files' package
        ("import a.*", "val x: Shape", {"a/Shape.scala"}),
        (
            "import a.{Shape => _, _}",
            "val x: Shape; val y: Alone",
            {"b/Shape.scala", "a/Alone.scala"},
        ),
        (
            "import a.{Shape as Form, *}",
            "val x: Form; val y: Shape",
            {"a/Shape.scala", "b/Shape.scala"},
        ),
        ("import x.Local", "val y: Local", set()),
        ("import a.Shape._", "val x: Nested", {"a/Shape.scala"}),
        ("import a._", "val x = Color.Blue; val y: Name", {"a/Color.scala", "a/package.scala"}),
        ("import a.{deep => d}", "val x = d.Well", {"a/deep/Well.scala"}),
        ("", "import a.Alone; val x = Alone(3)", {"a/Alone.scala"}),  # in any scope
    ],
)
def test_types_and_objects(imports: str, body: str, needed: set[str]):
    assert uses(body, imports) == needed


@pytest.mark.parametrize(
    ("imports", "body", "needed"),
    [
        ("", "val x = render(theme)", {"b/defs.scala"}),
        ("import a._", "val x = area(1)", {"a/package.scala"}),
        ("import b.ordering", "", {"b/defs.scala"}),
        ("", "val x = a.area(1)", {"a/package.scala"}),
        ("", "def f(theme: Int) = theme", set()),
        ("", "def f = x.map(theme => theme)", set()),
        ("", "val x = inner", set()),  # a function's own
        ("", "val x = y.render(1)", set()),
    ],
)
def test_definitions_outside_of_types(imports: str, body: str, needed: set[str]):
    assert uses(body, imports) == needed


@pytest.mark.parametrize(
    ("package", "needed"),
    [
        ("package b.inner", {"b/inner/Part.scala"}),  # b itself is not seen
        ("package b\npackage inner", {"b/inner/Part.scala", "b/Local.scala"}),
        ("package b { package inner {", {"b/inner/Part.scala", "b/Local.scala"}),
        ("package b:\n  package inner:\n", {"b/inner/Part.scala", "b/Local.scala"}),
        ("package c", set()),
        ("", set()),
    ],
)
def test_packages_around(package: str, needed: set[str]):
    assert uses("val x: Part; val y: Local", package=package) == needed


@pytest.mark.parametrize(
    ("declaration", "needed"),
    [
        ("class New extends Base[Shape](1) with Local", {"b/Base", "b/Shape", "b/Local"}),
        (
            "class New(x: Shape) extends Base(1), Local { val y: Inherited }",
            {"b/Shape", "b/Base", "b/Local"},
        ),
        ("trait New { self: Local => }", {"b/Local"}),
        ("object New extends Base[Int](1):\n  val x: Inherited = ???", {"b/Base"}),
        ("class Far extends Missing { val x: Inherited }", set()),
        ("type New = Map[Shape, Local]", {"b/Shape", "b/Local"}),
        ("enum New extends Local:\n  case One(x: Shape)", {"b/Local", "b/Shape"}),
        ("given Local with {}", {"b/Local"}),
        ("case class New(x: Int) derives Local", {"b/Local"}),
    ],
)
def test_what_declarations_name(declaration: str, needed: set[str]):
    files = {**LIBRARY, "b/New.scala": f"package b\n{declaration}"}
    assert needs(files, "b/New.scala") == {f"{path}.scala" for path in needed}


def test_indented_bodies_end_with_their_lines():
    files = {
        "p/a.scala": "package p\n\nobject A:\n  class In\n  def f(\n    x: Int\n  ) =\n"
        "    class No\n    1\n  object Deep:\n    class Deeper\n\n  class Last\n\nclass Out\n",
        "q/b.scala": "package q\nimport p.A.{In, Last}\nimport p.A.Deep.Deeper",
        "q/c.scala": "package q\nimport p.Out",
        "q/d.scala": "package q\nimport p.{In, Deeper, Last, No}",
    }
    assert needs(files, "q/b.scala") == needs(files, "q/c.scala") == {"p/a.scala"}
    assert needs(files, "q/d.scala") == set()


def test_scala_kotlin_and_java_see_each_other():
    files = {
        "s/S.scala": "package s\nclass S { val k = new k.K; val j: j.J = null }",
        "k/K.kt": "package k\nimport s.S\nclass K { val j = j.J() }",
        "j/J.java": "package j; import k.*; class J { K k; s.S s; }",
    }
    assert needs(files, "s/S.scala") == {"k/K.kt", "j/J.java"}
    assert needs(files, "k/K.kt") == {"s/S.scala", "j/J.java"}
    assert needs(files, "j/J.java") == {"s/S.scala", "k/K.kt"}
