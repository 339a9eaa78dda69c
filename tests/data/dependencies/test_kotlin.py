# SPDX-License-Identifier: Apache-2.0
"""Which files a Kotlin file names types and functions of.

The rules are those of the Kotlin language specification: packages and imports, linked scopes.
"""

import pytest

from tests.data.dependencies.repository import needs

LIBRARY = {
    "a/Shape.kt": "package a\nopen class Shape(val size: Int) { class Nested; object One }",
    "a/Color.kt": "package a\nenum class Color(val code: Int) { RED(1), BLUE(2); fun mix() = 1 }",
    "a/tools.kt": "package a\nfun <T> List<T>.second(): T = this[1]\nfun area(x: Int) = x\n"
    "const val LIMIT = 3\nval <T> T.depth: Int get() = 1\ntypealias Name = String",
    "a/other.kt": "package a\nfun area(x: Double) = x",
    "a/Registry.kt": "package a\nobject Registry { fun find() = 1; val default = 2 }",
    "b/Local.kt": "package b\ninterface Local { companion object { const val MAX = 1 } }",
    "b/Shape.kt": "package b\nclass Shape",
    "b/local.kt": "package b\nfun render() {}\nfun member() {}\nval theme = 1\nfun Local.draw() {}",
    "b/Holder.kt": "package b\nclass Holder { fun member() {} }",
    "b/Base.kt": "package b\nopen class Base<T>(x: Int) { class Part }",
    "j/Java.java": "package j; public class Java { public static class Inner {} int area; }",
}


def uses(body: str, imports: str = "") -> set[str]:
    text = f"package b\n{imports}\nclass New {{\n{body}\n}}"
    return needs({**LIBRARY, "b/New.kt": text}, "b/New.kt")


@pytest.mark.parametrize(
    ("imports", "needed"),
    [
        ("import a.Shape", {"a/Shape.kt"}),
        ("import a.Shape as Form", {"a/Shape.kt"}),
        ("import a.Shape.Nested", {"a/Shape.kt"}),
        ("import a.Color.RED", {"a/Color.kt"}),
        ("import a.Color.*", {"a/Color.kt"}),
        ("import a.Registry.find", {"a/Registry.kt"}),
        ("import b.Local.Companion.MAX", {"b/Local.kt"}),
        ("import a.second", {"a/tools.kt"}),
        ("import a.depth", {"a/tools.kt"}),
        ("import a.LIMIT as MOST", {"a/tools.kt"}),
        ("import a.Name", {"a/tools.kt"}),
        ("import a.area", {"a/tools.kt", "a/other.kt"}),  # overloads in two files
        ("import j.Java; import j.Java.Inner", {"j/Java.java"}),
        ("import `a`.`Shape`", {"a/Shape.kt"}),
        ("import a.*", set()),
        ("import kotlin.math.max\nimport a.missing", set()),
        ("// import a.Shape\n/* /* import a.Color */ import a.Color */", set()),
    ],
)
def test_imports(imports: str, needed: set[str]):
    assert uses("", imports) == needed


@pytest.mark.parametrize(
    ("imports", "body", "needed"),
    [
        ("", "val x: Local? = null", {"b/Local.kt"}),
        ("", "val x = Shape()", {"b/Shape.kt"}),
        ("", "fun f(x: List<Local>): Map<String, Shape> = g()", {"b/Local.kt", "b/Shape.kt"}),
        ("", "fun Local.f() = 1", {"b/Local.kt"}),
        ("", "val x = y as? Local ?: Holder()", {"b/Local.kt", "b/Holder.kt"}),
        ("", "val x = when (y) { is Local -> 1; Shape -> 2 }", {"b/Local.kt", "b/Shape.kt"}),
        ("", "val x = Local::class", {"b/Local.kt"}),
        ("", "val x = Local.MAX", {"b/Local.kt"}),
        ("", "@Local fun f() {}", {"b/Local.kt"}),
        ("", "@field:Local val x = 1", {"b/Local.kt"}),
        ("", "val x = object : Local {}", {"b/Local.kt"}),
        ("", "fun <T : Local> f(x: T) {}", {"b/Local.kt"}),
        ("", "val x = a.Shape(1)", {"a/Shape.kt"}),
        ("", "val x: j.Java.Inner? = null", {"j/Java.java"}),
        ("", 'val x = "Local ${Shape()} \\${Holder}"', {"b/Shape.kt"}),
        ("", 'val x = "${"${Shape()}"}" + Local', {"b/Shape.kt", "b/Local.kt"}),
        ("", 'val x = """ Local " ${Shape()} """"', {"b/Shape.kt"}),
        ("", "val x = '\"'; val y: Local; val z = '\"'", {"b/Local.kt"}),
        ("", "/** [Local] */ val x = 1", set()),
        ("", "val x = y.Local", set()),
        ("", "class Local; val x: Local", set()),
        ("", "enum class E { Local, Shape(1), }", set()),
        ("", "fun <Local> f(x: Local) {}", set()),
        ("import a.Shape", "val x = Shape(1)", {"a/Shape.kt"}),
        ("import x.Shape", "val y = Shape(1)", set()),
        ("import a.*", "val x = Shape()", {"b/Shape.kt"}),  # the package comes before `*`
        ("import a.*", "val x = Color.RED", {"a/Color.kt"}),
        (
            "import a.Shape as Form",
            "val x = Form.One; val y = Shape()",
            {"a/Shape.kt", "b/Shape.kt"},
        ),
        ("import j.*", "val x: Java", {"j/Java.java"}),
    ],
)
def test_types(imports: str, body: str, needed: set[str]):
    assert uses(body, imports) == needed


@pytest.mark.parametrize(
    ("imports", "body", "needed"),
    [
        ("", "fun f() { render() }", {"b/local.kt"}),
        ("", "val x = theme", {"b/local.kt"}),
        ("import a.*", "val x = area(LIMIT)", {"a/tools.kt", "a/other.kt"}),
        ("", "fun f() = x.render()", set()),  # some member or extension
        ("", "fun render() = 1; val x = render()", set()),
        ("", "fun f(theme: Int) = theme", set()),
        ("", "fun f() = g(theme = 1)", set()),
        ("", "fun f() = x.map { theme -> theme }", set()),
        ("", "fun f() = member()", set()),  # a class has a member of that name
        ("import x.render", "fun f() = render()", set()),
    ],
)
def test_functions_and_variables_of_a_package(imports: str, body: str, needed: set[str]):
    assert uses(body, imports) == needed


@pytest.mark.parametrize(
    ("declaration", "needed"),
    [
        ("class New : Local", {"b/Local.kt"}),
        (
            "class New(x: Shape, private val y: Int = 3) : Base<Holder>(y), Local by z {}",
            {"b/Shape.kt", "b/Base.kt", "b/Holder.kt", "b/Local.kt"},
        ),
        ("class New : Base<Int>(1) { val x: Part }", {"b/Base.kt"}),
        ("object New : Local { val x: Shape }", {"b/Local.kt", "b/Shape.kt"}),
        ("typealias New = Map<Shape, Local>", {"b/Shape.kt", "b/Local.kt"}),
        ("fun interface New { fun f(x: Local) }", {"b/Local.kt"}),
        ("class One\nfun f() { class Local; Local() }", set()),
    ],
)
def test_what_declarations_name(declaration: str, needed: set[str]):
    assert needs({**LIBRARY, "b/New.kt": f"package b\n{declaration}"}, "b/New.kt") == needed


def test_nested_types_follow_a_class_without_a_body():
    files = {
        "p/a.kt": "package p\ndata class A(val x: Int)\n\nfun f() { g { } }\nclass B { class C }",
        "p/b.kt": "package p\nimport p.B.C\nimport p.f\nval x = A(1)",
        "q/c.kt": "package q\nimport p.B.C",
    }
    assert needs(files, "p/b.kt") == {"p/a.kt"}
    assert needs(files, "q/c.kt") == {"p/a.kt"}


def test_java_sees_kotlin_functions_as_members_of_a_class_of_their_file():
    files = {
        **LIBRARY,
        "k/io.kt": '@file:JvmName("Io")\npackage k\nfun read() = 1',
        "j/Use.java": "package j; import static a.ToolsKt.area; import k.Io; class J { a.Shape s;}",
    }
    assert needs(files, "j/Use.java") == {"a/tools.kt", "k/io.kt", "a/Shape.kt"}


def test_scripts_and_files_without_a_package_see_their_folder_and_those_above():
    files = {
        "src/Utils.kt": "fun readInput(name: String) = name\nclass Grid",
        "src/day1/Day1.kt": "val x = Grid(readInput(1))",
        "src/day1/run.main.kts": "println(Grid())",
        "other/Day.kt": "val x = Grid(readInput(1))",
    }
    assert needs(files, "src/day1/Day1.kt") == {"src/Utils.kt"}
    assert needs(files, "src/day1/run.main.kts") == {"src/Utils.kt"}
    assert needs(files, "other/Day.kt") == set()


def test_of_platform_sources_the_nearest_counts():
    files = {
        "lib/src/commonMain/kotlin/p/Clock.kt": "package p\nexpect class Clock",
        "lib/src/jvmMain/kotlin/p/Clock.kt": "package p\nactual class Clock",
        "lib/src/jvmMain/kotlin/p/Use.kt": "package p\nval x = Clock()",
    }
    used = needs(files, "lib/src/jvmMain/kotlin/p/Use.kt")
    assert used == {"lib/src/jvmMain/kotlin/p/Clock.kt"}


def test_a_function_that_too_many_files_declare_leads_to_none():
    files = {f"f{number}.kt": "package p\nfun run() = 1" for number in range(40)}
    assert needs({**files, "use.kt": "package q\nimport p.run"}, "use.kt") == set()
