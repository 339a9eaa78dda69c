# SPDX-License-Identifier: Apache-2.0
"""Which files a Java file names types of; `make oracle NAME=imports` asks javac about projects.

The rules are those of the Java language specification, 6.3 to 6.5 and 7.3 to 7.5.
"""

import pytest

from tests.data.dependencies.repository import needs

OUTER = """package a;
public class Outer {
    public static final int LIMIT = 3;
    public static class Inner { public static class Deep {} }
    public enum Kind { ONE, TWO }
}
"""

LIBRARY = {
    "a/Outer.java": OUTER,
    "a/Plain.java": "package a; public class Plain {}",
    "a/Marked.java": "package a; public @interface Marked {}",
    "a/Face.java": "package a; public interface Face<T> {}",
    "a/Pair.java": "package a; public record Pair(int x, int y) {}",
    "a/Two.java": "package a; public class Two {} class Second {} class Third<T> {}",
    "b/Plain.java": "package b; public class Plain {}",
    "b/String.java": "package b; public class String {}",
    "b/Local.java": "package b; class Local {}",
    "b/Child.java": "package b; public class Child extends a.Outer {}",
}


def uses(body: str, imports: str = "", package: str = "b") -> set[str]:
    """What a class of `package` with this body needs; `/` and `.java` left out of the names."""
    text = f"package {package};\n{imports}\nclass New {{ {body} }}"
    found = needs({**LIBRARY, f"{package}/New.java": text}, f"{package}/New.java")
    return {path.removesuffix(".java") for path in found}


@pytest.mark.parametrize(
    ("imports", "needed"),
    [
        ("import a.Plain;", {"a/Plain"}),  # used or not
        ("import a.Outer.Inner;", {"a/Outer"}),
        ("import a.Outer.Inner.Deep;", {"a/Outer"}),
        ("import a.Outer.*;", {"a/Outer"}),
        ("import static a.Outer.LIMIT;", {"a/Outer"}),
        ("import static a.Outer.*;", {"a/Outer"}),
        ("import static a.Outer.Kind.ONE;", {"a/Outer"}),
        ("import b.Child.Inner;", {"b/Child", "a/Outer"}),  # by inheritance
        ("import\n  a\n  . Plain ;", {"a/Plain"}),
        ("import a.Two; import a.Pair;", {"a/Two", "a/Pair"}),
        ("import a.*;", set()),  # nothing of it is used
        ("import java.util.List; import x.Plain;", set()),
        ("import a.Missing;", set()),
        ("// import a.Plain;\n/* import a.Pair; */", set()),
        ('@X("import a.Plain;")', set()),
    ],
)
def test_imports(imports: str, needed: set[str]):
    assert uses("", imports) == needed


@pytest.mark.parametrize(
    ("body", "needed"),
    [
        ("Local x;", {"b/Local"}),
        ("Object x = new Local();", {"b/Local"}),
        ("List<Local> x;", {"b/Local"}),
        ("Map<String[], ? extends Local> x;", {"b/Local", "b/String"}),
        ("Object x = (Local) y;", {"b/Local"}),
        ("boolean x = y instanceof Local;", {"b/Local"}),
        ("Class<?> x = Local.class;", {"b/Local"}),
        ("int x = Local.size();", {"b/Local"}),
        ("Object x = Local::new;", {"b/Local"}),
        ("void f() throws Local {}", {"b/Local"}),
        ("void f(Local... x) {}", {"b/Local"}),
        ("<T extends Local> T f() {}", {"b/Local"}),
        ("void f() { for (Local x : y) {} }", {"b/Local"}),
        ("void f() { try {} catch (Local | Child x) {} }", {"b/Local", "b/Child"}),
        ("int f(Object x) { return switch (x) { case Local y -> 1; }; }", {"b/Local"}),
        ("boolean f(Object x) { return x instanceof Plain(var y); }", {"b/Plain"}),
        ("@Override Local f() {}", {"b/Local"}),
        ("String x;", {"b/String"}),  # the package's own before java.lang's
        ("a.Plain x;", {"a/Plain"}),
        ("Object x = a.Outer.Kind.ONE;", {"a/Outer"}),
        ("Object x = new a . Outer . Inner();", {"a/Outer"}),
        ("@a.Marked void f() {}", {"a/Marked"}),
        ("/** {@link Local} and {@code a.Plain} */ int x;", set()),
        ('Object x = "Local a.Plain";', set()),
        ('Object x = """\n Local \\""" a.Plain """;', set()),
        ("char x = '\"'; Local y; char z = '\"';", {"b/Local"}),
        ("int Local = 3;", set()),
        ("void f() { Local(); this.Local = x.Local; }", set()),
        ("enum Kind { Local, Child(3), Plain }", set()),
        ("int f(Kind x) { switch (x) { case Local: return 1; } }", set()),
        ("class Local {} Local x;", set()),  # shadows the package's
        ("void f() { class Local {} new Local(); }", set()),
        ("<Local> void f(Local x) {}", set()),
        ("New x;", set()),
        ("Missing x;", set()),
    ],
)
def test_names_of_the_same_package_and_full_names(body: str, needed: set[str]):
    assert uses(body) == needed


@pytest.mark.parametrize(
    ("imports", "body", "needed"),
    [
        ("", "Plain x;", {"b/Plain"}),
        ("import a.*;", "Plain x;", {"b/Plain"}),  # the package comes before `*`
        ("import a.*;", "Pair x;", {"a/Pair"}),
        ("import a.*;", "Second x; Third<Pair> y;", {"a/Two", "a/Pair"}),
        ("import a.*;", "Outer.Inner x;", {"a/Outer"}),
        ("import a.Plain;", "Plain x;", {"a/Plain"}),  # and an import by name before the package
        ("import x.Local;", "Local y;", set()),  # also if it leads out of the repository
        ("import x.*;", "Local y;", {"b/Local"}),
        ("import a.Outer.*;", "Inner x;", {"a/Outer"}),
        ("import static a.Outer.*;", "Kind x;", {"a/Outer"}),
    ],
)
def test_which_of_several_types_of_one_name_is_meant(imports: str, body: str, needed: set[str]):
    assert uses(body, imports) == needed


@pytest.mark.parametrize(
    ("declaration", "needed"),
    [
        ("class New extends Local {}", {"b/Local"}),
        (
            "class New<T extends Local> implements a.Face<Child> {}",
            {"b/Local", "a/Face", "b/Child"},
        ),
        ("interface New extends a.Face<Local>, a.Plain {}", {"a/Face", "b/Local", "a/Plain"}),
        ("record New(Local x, int y) implements a.Face {}", {"b/Local", "a/Face"}),
        ("enum New implements a.Face { ONE { Local f() {} } }", {"a/Face", "b/Local"}),
        ("sealed class New permits Local, Child {}", {"b/Local", "b/Child"}),
        ("@a.Marked(Local.class) @interface New {}", {"a/Marked", "b/Local"}),
        ("class New extends Child { Inner x; Deep y; }", {"b/Child", "a/Outer"}),  # inherits Inner
        ("class New extends Missing { Inner x; }", set()),
        ("class New {} class Other extends Local {}", {"b/Local"}),
    ],
)
def test_what_declarations_name(declaration: str, needed: set[str]):
    files = {**LIBRARY, "b/New.java": f"package b; {declaration}"}
    assert needs(files, "b/New.java") == {f"{path}.java" for path in needed}


def test_the_nearest_of_several_source_roots_counts():
    files = {
        f"{module}/src/{kind}/java/p/{name}.java": f"package p; class {name} {{}}"
        for module in ("one", "two")
        for kind, name in (("main", "A"), ("main", "Both"), ("test", "Both"))
    }
    test = "two/src/test/java/p/ATest.java"
    files[test] = "package p; class ATest { A a; Both b; }"
    assert needs(files, test) == {"two/src/main/java/p/A.java", "two/src/test/java/p/Both.java"}
    user = "two/src/main/java/p/Use.java"
    files[user] = "package p; class Use { A a; Both b; }"
    assert needs(files, user) == {"two/src/main/java/p/A.java", "two/src/main/java/p/Both.java"}
    apart = "zero/Z.java"
    files[apart] = "import p.A; class Z {}"
    assert needs(files, apart) == {"one/src/main/java/p/A.java"}


def test_without_a_package_a_file_sees_its_own_folder():
    files = {
        "x/Main.java": "class Main { Node n; }",
        "x/Node.java": "class Node {}",
        "y/Main.java": "class Main { Node n; Other o; }",
        "z/Other.java": "class Other {}",
        "p/P.java": "package p; class P { Node n; x.Node m; }",
    }
    assert needs(files, "x/Main.java") == {"x/Node.java"}
    assert needs(files, "y/Main.java") == set()
    assert needs(files, "p/P.java") == set()


def test_a_module_declaration_needs_the_services_it_names():
    module = (
        "module m { requires java.sql; exports a; uses a.Plain; provides a.Face with b.Child; }"
    )
    files = {**LIBRARY, "module-info.java": module}
    assert needs(files, "module-info.java") == {"a/Plain.java", "a/Face.java", "b/Child.java"}


def test_a_byte_order_mark_belongs_to_no_name():
    files = {
        "a/A.java": "\ufeffpackage a; class A { B b; }",
        "a/B.java": "\ufeffpackage a; class B {}",
    }
    assert needs(files, "a/A.java") == {"a/B.java"}
