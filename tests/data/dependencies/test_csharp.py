# SPDX-License-Identifier: Apache-2.0
"""Which files a C# file names types of.

The rules are those of the C# language specification: 7.8 (names of namespaces and types), 14
(namespaces and using directives), 15.2.7 (partial types) and 22 (attributes).
"""

import pytest

from tests.data.dependencies.repository import needs

LIBRARY = {
    "N/Shape.cs": "namespace N { public class Shape { public class Nested { } static int Max; } }",
    "N/Many.cs": "namespace N { struct One { } public interface ITwo { } public enum Three { A }\n"
    "record Four(int X); public record struct Five(int X); public delegate T Six<T>(int x); }",
    "N/Generic.cs": "namespace N; public class Result { }",
    "N/Generic1.cs": "namespace N; public class Result<T> { public class Part { } }",
    "N/Generic2.cs": "namespace N; public class Result<T, E> { }",
    "N/Deep/Well.cs": "namespace N.Deep; public static class Well { public class Water { } }",
    "N/TableAttribute.cs": "namespace N; public class TableAttribute : System.Attribute { }",
    "N/Table.cs": "namespace N; public class Table { }",
    "B/Local.cs": "namespace B; public class Local { protected class Inherited { } }",
    "B/Shape.cs": "namespace B; public class Shape { }",
    "B/Child.cs": "namespace B; public class Child : Local { }",
    "B/C/Inner.cs": "namespace B.C; public class Inner { }",
    "Root.cs": "public class Root { }",
}  # fmt: skip


def uses(body: str, usings: str = "", namespace: str = "B", more: dict[str, str] | None = None):
    text = f"{usings}\nnamespace {namespace}\n{{\npublic class New\n{{\n{body}\n}}\n}}"
    found = needs({**LIBRARY, **(more or {}), "B/New.cs": text}, "B/New.cs")
    return {path.removesuffix(".cs") for path in found}


@pytest.mark.parametrize(
    ("usings", "body", "needed"),
    [
        ("using N;", "", set()),  # a namespace has many files
        ("using N;", "One x; ITwo y; Three z;", {"N/Many"}),
        ("using N;", "Four x; Five y; Six<int> z;", {"N/Many"}),
        ("", "One x;", set()),
        ("", "N.One x; global::N.Deep.Well.Water y;", {"N/Many", "N/Deep/Well"}),
        ("", "Local x; Root y;", {"B/Local", "Root"}),
        ("using N;", "Shape x;", {"B/Shape"}),  # the namespaces around come before `using`
        ("using Shape = N.Shape;", "Shape x;", {"N/Shape", "B/Shape"}),  # before aliases, too
        ("using Form = N.Shape;", "", {"N/Shape"}),
        ("using Form = N.Shape;", "Form.Nested x;", {"N/Shape"}),
        ("using D = N.Deep;", "D.Well.Water x; D::Well.Water y;", {"N/Deep/Well"}),
        ("using R = N.Result<N.One>;", "R x;", {"N/Generic1", "N/Many"}),
        ("using static N.Deep.Well;", "", {"N/Deep/Well"}),
        ("using static N.Deep.Well;", "Water x;", {"N/Deep/Well"}),
        ("using N.Deep;", "Water x;", set()),  # a nested type
        ("using Deep;", "Well x;", set()),
        ("using N;", "Deep.Well x;", set()),  # `using` opens no namespaces within
        ("using System; using Missing;", "String x; Missing.Type y;", set()),
        ("using N; using N.Deep;", "Well x;", {"N/Deep/Well"}),
        ("", "C.Inner x;", {"B/C/Inner"}),  # through the namespace around
    ],
)
def test_where_names_are_looked_up(usings: str, body: str, needed: set[str]):
    assert uses(body, usings) == needed


@pytest.mark.parametrize(
    ("namespace", "needed"),
    [
        ("B.C", {"B/C/Inner", "B/Local"}),  # outwards
        ("B.D.E", {"B/Local"}),
        ("Other", set()),
        ("N.Deep", set()),
    ],
)
def test_enclosing_namespaces(namespace: str, needed: set[str]):
    assert uses("Inner x; Local y;", namespace=namespace) == needed


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("namespace B; class New { Local x; }", {"B/Local"}),
        ("using N;\nnamespace B;\nusing N.Deep;\nclass New { Well x; One y; }",
         {"N/Deep/Well", "N/Many"}),
        ("namespace B { using N; class New { Shape x; One y; } }", {"B/Shape", "N/Many"}),
        ("namespace N { using Deep; class New { Well x; } }", {"N/Deep/Well"}),  # relative
        ("namespace A { using N; class X { } } namespace B { class Y { One x; } }", set()),
        ("namespace Z { namespace Y { using N; class New { Shape x; } } }", {"N/Shape"}),
        ("using N; namespace Z { class New { Shape x; } }", {"N/Shape"}),
        ("using N;\nvar x = new One();\nShape.Max = 3;", {"N/Many", "N/Shape"}),  # top level
        ("\ufeffnamespace B;\r\nclass New : Local { }", {"B/Local"}),
    ],
)  # fmt: skip
def test_forms_of_namespaces(text: str, needed: set[str]):
    assert needs({**LIBRARY, "B/New.cs": text}, "B/New.cs") == {f"{path}.cs" for path in needed}


@pytest.mark.parametrize(
    ("body", "needed"),
    [
        ("Local x; Local[] y; Local? z;", {"B/Local"}),
        ("object x = new Local();", {"B/Local"}),
        ("object x = (Local)y;", {"B/Local"}),
        ("object x = y as Local;", {"B/Local"}),
        ("bool x = y is Local z;", {"B/Local"}),
        ("bool x = y is not Local;", {"B/Local"}),
        ("int x = y switch { Local z => 1, Child => 2 };", {"B/Local", "B/Child"}),
        ("object x = typeof(Local);", {"B/Local"}),
        ("string x = nameof(Local);", {"B/Local"}),
        ("Dictionary<string, Local> x;", {"B/Local"}),
        ("(Local a, Child b) F() => default;", {"B/Local", "B/Child"}),
        ("void F<T>(ref Local x) where T : Child { }", {"B/Local", "B/Child"}),
        ("void F() { foreach (Local x in y) { } }", {"B/Local"}),
        ("void F() { try { } catch (Local) when (Child.Is()) { } }", {"B/Local", "B/Child"}),
        ("void F() { F<Local>(3); }", {"B/Local"}),
        ("int X => Local.Max;", {"B/Local"}),
        ("public static Local operator +(New x, Child y) => x;", {"B/Local", "B/Child"}),
        ("Local this[Child x] => null;", {"B/Local", "B/Child"}),
        ("@Local x;", {"B/Local"}),
        ("N.Result x;", {"N/Generic"}),
        ("N.Result<int> x;", {"N/Generic1"}),
        ("N.Result<int, (int, int)> x;", {"N/Generic2"}),
        ("object x = typeof(N.Result<,>);", {"N/Generic2"}),
        ("object x = new N.Result<List<int>>.Part();", {"N/Generic1"}),
        ('string x = $"Local {new Child()} {{Shape}} {y:N2}";', {"B/Child"}),
        ('string x = $@"\\{Child.X}"" Local" + @"\\" + Shape.Y;', {"B/Child", "B/Shape"}),
        ('string x = """ Local " "" """ + Child.X;', {"B/Child"}),
        ('string x = $"{(y ? $"{Child.X}" : "}")} Local";', {"B/Child"}),
        ("char x = '\"'; Local y; char z = '\\'';", {"B/Local"}),
        ('/// <see cref="Local"/>\n// Child\n/* Shape */ int x;', set()),
        ("#region It's Local\n#if Child\nShape x;\n#endif\n#endregion", {"B/Shape"}),
        ("int Local { get; set; } void F() { Local += 1; x = -Local.Y; }", set()),
        ("void F() { Local(); this.Local = x.Local; p->Local = 1; }", set()),
        ("int Local { get; set; } int F() => Local + Local.Size;", set()),
        ("Local Local { get; } Child Make() => Local.Make();", {"B/Local", "B/Child"}),
        ("object x = new Y { Local = 1, Child = 2 };", set()),
        ("bool x = y is { Local: 1 };", set()),
        ("void F() { G(Local: 3); }", set()),
        ("enum E { Local, [X] Child = 2 }", set()),
        ("class Local { } Local x;", set()),
        ("New x; Missing y;", set()),
    ],
)
def test_which_names_are_of_types(body: str, needed: set[str]):
    assert uses(body) == needed


@pytest.mark.parametrize(
    ("declaration", "needed"),
    [
        ("class New : Child, IMissing<Local> { Inherited x; }", {"B/Child", "B/Local"}),
        ("class New(Shape x) : Child(x);", {"B/Shape", "B/Child"}),
        ("record New(Shape X) : Local(X);", {"B/Shape", "B/Local"}),
        ("delegate Local New(Shape x);", {"B/Local", "B/Shape"}),
        ("interface New<T> where T : Local { }", {"B/Local"}),
        ("class New { } class Other : Local { }", {"B/Local"}),
    ],
)
def test_what_declarations_name(declaration: str, needed: set[str]):
    files = {**LIBRARY, "B/New.cs": f"namespace B; {declaration}"}
    assert needs(files, "B/New.cs") == {f"{path}.cs" for path in needed}


@pytest.mark.parametrize(
    "attribute",
    ["[Table]", "[TableAttribute]", "[Missing, Table(3)]", "[return: Table]", "[X(1), N.Table()]"],
)
def test_attributes_may_leave_out_their_ending(attribute: str):
    assert uses(f"{attribute} int F() => 1;", "using N;") == {"N/TableAttribute"}
    assert uses("int x = y[Table.Size];", "using N;") == {"N/Table"}


def test_all_parts_of_a_partial_type_belong_together():
    files = {
        "p/Form.cs": "namespace P; public partial class Form { }",
        "p/Form.Designer.cs": "namespace P { partial class Form { class Item { } } }",
        "p/Form.Items.cs": "namespace P { partial class Form { Item x; } }",
        "p/Use.cs": "namespace P; class Use { Form x; }",
    }
    parts = {"p/Form.cs", "p/Form.Designer.cs", "p/Form.Items.cs"}
    assert needs(files, "p/Use.cs") == parts
    for part in parts:
        assert needs(files, part) == parts - {part}


def test_each_project_has_its_own_parts_and_copies():
    files = {
        f"{project}/{name}": text
        for project in ("one", "two")
        for name, text in {
            f"{project}.csproj": "<Project />",
            "Program.cs": "partial class Program { Options x; }",
            "gen/Program.g.cs": "partial class Program { }",
            "Options.cs": "class Options { }",
        }.items()
    }
    for project in ("one", "two"):
        assert needs(files, f"{project}/Program.cs") == {
            f"{project}/gen/Program.g.cs",
            f"{project}/Options.cs",
        }


def test_a_type_of_very_many_parts_leads_to_the_nearest():
    files = {f"{x}/{y}.cs": "partial class Native { }" for x in range(9) for y in range(9)}
    assert needs({**files, "3/Use.cs": "class Use { Native x; }"}, "3/Use.cs") == {
        f"3/{y}.cs" for y in range(9)
    }


def test_global_usings_hold_for_their_project():
    files = {
        **LIBRARY,
        "app/App.csproj": '<Project><Using Include="N.Deep" />'
        '<Using Include="N.Shape" Alias="Form" /></Project>',
        "app/Usings.cs": "global using N;\nglobal using R = N.Result<int>;",
        "app/sub/Use.cs": "class Use { One x; Well y; Form z; R r; }",
        "other/Other.csproj": "<Project />",
        "other/Use.cs": "class Use { One x; Well y; Form z; R r; }",
        "Directory.Build.props": '<Project>\n<Using Include="B" /></Project>',
        "other/Local.cs": "class More { Local x; }",
    }  # fmt: skip
    found = {"N/Many.cs", "N/Deep/Well.cs", "N/Shape.cs", "N/Generic1.cs"}
    assert needs(files, "app/sub/Use.cs") == found
    assert needs(files, "app/Usings.cs") == {"N/Generic1.cs"}
    assert needs(files, "other/Use.cs") == set()
    assert needs(files, "other/Local.cs") == {"B/Local.cs"}
