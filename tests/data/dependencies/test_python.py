# SPDX-License-Identifier: Apache-2.0
"""Which file an import needs, and that no import is missed.

`make oracle NAME=imports` compares whole packages with grimp.
"""

import ast
import importlib.util
import time
import warnings
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coder.data.dependencies import python
from coder.data.dependencies.python_imports import Import, imports_of
from tests.data.dependencies.repository import needs, resolve

PACKAGE = {
    "p/__init__.py": "VERSION = 1",
    "p/a.py": "",
    "p/b.py": "",
    "p/sub/__init__.py": "",
    "p/sub/c.py": "",
    "p/sub/types.py": "",
}


@pytest.mark.parametrize(
    ("statement", "needed"),
    [
        ("import p", {"p/__init__.py"}),
        ("import p.a", {"p/a.py"}),
        ("import p.sub.c as c, p.b", {"p/sub/c.py", "p/b.py"}),
        ("from p import a", {"p/a.py"}),
        ("from p import VERSION", {"p/__init__.py"}),
        ("from p import a, VERSION", {"p/a.py", "p/__init__.py"}),
        ("from p import *", {"p/__init__.py"}),
        ("from p.sub.c import x", {"p/sub/c.py"}),
        ("from . import c", {"p/sub/c.py"}),
        ("from . import x", {"p/sub/__init__.py"}),
        ("from .c import x", {"p/sub/c.py"}),
        ("from .. import b", {"p/b.py"}),
        ("from ..a import x", {"p/a.py"}),
        ("from ..sub import c", {"p/sub/c.py"}),
        ("from ... import p", {"p/__init__.py"}),
        ("from ..... import p", set()),
        ("def f():\n    import p.a", {"p/a.py"}),
        ("try:\n    import p.a\nexcept ImportError:\n    import p.b", {"p/a.py", "p/b.py"}),
        ("if TYPE_CHECKING:\n  pass\nelse:\n  from p import a", {"p/a.py"}),
        ("match x:\n    case 1:\n        import p.a", {"p/a.py"}),
        ("for x in y:\n  pass\nelse:\n  import p.a", {"p/a.py"}),
        ("try: pass\nfinally:\n  import p.a", {"p/a.py"}),
        ("class A:\n  async def f(self):\n    with x:\n      import p.a", {"p/a.py"}),
        ("import os, types, numpy.linalg", set()),
        ("import p.missing", {"p/__init__.py"}),
        ("from p.missing import x", set()),
        ('"""\nimport p.a\n"""', set()),
        ("from .new import x", set()),
    ],
)
def test_imports_within_a_package(statement: str, needed: set[str]):
    assert needs({**PACKAGE, "p/sub/new.py": statement}, "p/sub/new.py") == needed


@pytest.mark.parametrize("root", ["", "src/", "python/lib/"])
def test_an_absolute_import_starts_at_the_root_of_its_package(root: str):
    files = {f"{root}{path}": text for path, text in PACKAGE.items()}
    new = f"{root}p/sub/new.py"
    assert needs({**files, new: "import p.a"}, new) == {f"{root}p/a.py"}
    test = "tests/unit/test_a.py"
    assert needs({**files, test: "from p import a, b"}, test) == {f"{root}p/a.py", f"{root}p/b.py"}


def test_packages_without_init_files_are_found():
    files = {"google/cloud/a.py": "from google.cloud import b, types", "google/cloud/b.py": ""}
    assert needs(files, "google/cloud/a.py") == {"google/cloud/b.py"}
    apart = {"x/src/google/a.py": "import google.b", "y/src/google/b.py": "from . import c"}
    assert needs(apart, "x/src/google/a.py") == {"y/src/google/b.py"}


def test_a_module_named_like_one_of_the_standard_library_is_not_taken_for_it():
    files = {"p/a.py": "import types\nfrom . import b", "p/b.py": "", "p/types.py": ""}
    assert needs(files, "p/a.py") == {"p/b.py"}


def test_scripts_import_their_neighbours():
    files = {"tools/run.py": "import helper", "tools/helper.py": "", "other/helper.py": ""}
    assert needs(files, "tools/run.py") == {"tools/helper.py"}


def test_of_several_packages_of_one_name_the_nearest_counts():
    copies = ["a/src/p/__init__.py", "b/src/p/__init__.py", "c/src/p/__init__.py"]
    files = {path: "x = 1" for path in copies} | {"b/tests/test_p.py": "import p"}
    assert needs(files, "b/tests/test_p.py") == {"b/src/p/__init__.py"}


def test_a_source_comes_before_its_stub():
    files = {"p/a.py": "from . import b", "p/b.pyi": "from . import a", "p/b.py": "", "p/a.pyi": ""}
    graph = resolve(files)
    assert graph.edges == {"p/a.py": {"p/b.py"}, "p/b.pyi": {"p/a.py"}}
    assert needs({"a.py": "import b", "b.pyi": ""}, "a.py") == {"b.pyi"}


def test_a_file_does_not_need_itself_and_other_languages_need_nothing():
    files = {
        "p/__init__.py": "from . import x\nimport p",
        "README.md": "import p",
        "SConstruct": "",
    }
    assert resolve(files).edges == {}


def test_the_nearest_package_that_has_the_module_counts():
    files = {"a/p/x.py": "from . import y", "a/p/y.py": "", "b/p/z.py": "from . import x"}
    assert needs({**files, "b/run.py": "import p.y"}, "b/run.py") == {"a/p/y.py"}


def test_a_monorepo_with_ten_thousand_packages_of_one_name_takes_linear_time():
    files = {f"{number}/src/common/__init__.py": "VERSION = 1" for number in range(10_000)}
    files |= {f"{number}/tests/test.py": "from common import x" for number in range(10_000)}
    start = time.process_time()
    edges = resolve(files).edges
    assert time.process_time() - start < 5
    assert edges["77/tests/test.py"] == {"77/src/common/__init__.py"}
    assert len(edges) == 10_000


@pytest.mark.parametrize(
    "source",
    [
        "print 'x'; import b",
        "x = " + "(" * 100_000 + "\nimport b",
        "x = " + "not " * 200_000 + "1\nimport b",
        "import b\nx = \udc80 \0",
        "if x\n  import b",
        "import b; from b import (x,\nimport b",
        "import b; import ; from import ; from . ; from b import",
    ],
)
def test_what_python_cannot_parse_is_read_all_the_same(source: str):
    assert needs({"a.py": source, "b.py": ""}, "a.py") == {"b.py"}


@pytest.mark.parametrize("end", ['"""', "'", '"x\n', "f'{", 'f"""{x["', "rf'{x:{", 'f"""{a:"""'])
def test_a_file_with_an_open_string_is_named_and_hurts_no_other(end: str):
    graph = resolve({"a.py": f"import b\n{end}", "b.py": "import c", "c.py": ""})
    assert (graph.edges, graph.unparsed) == ({"b.py": {"c.py"}}, {"a.py"})


@pytest.mark.parametrize(
    "unit",
    [
        *("(", '"', "'", '"""', "f'{", 'f"{x:', 'f"""{', "\\", "\\\n", "#", "from ", "from a."),
        *("import a,", "from . import (", "from a import (#\n", "import ", "from.", '\\N{"', "{"),
        *("f'{f\"{", "[", "\0", "\udc80", "import a \\\n", "from a import b;", "\u2024", "x=1 "),
    ],
)
def test_a_megabyte_of_anything_takes_less_than_a_second(unit: str):
    path = "a/" * 240 + "b.py"
    source = "import \u2024, a\n" + unit * (2**20 // len(unit))
    start = time.process_time()
    index = python.build_index({path: source, "a.py": ""}, {})
    python.targets(path, source, index)
    assert time.process_time() - start < 5


def test_doubtful_escapes_in_a_source_warn_nobody():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert needs({"a.py": 'import b\nx = "\\d"\ny = 1is 1', "b.py": ""}, "a.py") == {"b.py"}


def walked(source: str) -> list[Import]:
    """Every import by a walk over the syntax tree."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                package, dot, name = alias.name.rpartition(".")
                found.append(Import(package, (name,)) if dot else Import(name))
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            found.append(Import(node.module or "", names, node.level))
    return sorted(found, key=repr)


def assert_none_is_missed(source: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = walked(source)
        except (SyntaxError, ValueError):
            return
    found = imports_of(source)
    assert found is not None and sorted(found, key=repr) == expected


@pytest.mark.parametrize("package", ["hypothesis", "jax", "_pytest", "pip"])
def test_installed_files_have_the_imports_of_their_syntax_trees(package: str):
    spec = importlib.util.find_spec(package)
    assert spec and spec.submodule_search_locations
    files = sorted(Path(spec.submodule_search_locations[0]).rglob("*.py"))[:60]
    assert files
    for file in files:
        assert_none_is_missed(file.read_bytes().decode())


statements = st.sampled_from(
    ["import a.b", "from . import c", "if x:", "else:", "def f():", "class A:", "x = 1", "try:"]
)


@given(st.lists(st.tuples(st.integers(0, 3), statements), max_size=12))
def test_all_imports_of_the_whole_tree_are_found(lines: list[tuple[int, str]]):
    assert_none_is_missed("".join("  " * depth + statement + "\n" for depth, statement in lines))


tokens = st.sampled_from(
    "import|from|a|b.c|.|...|,|(|)|*| as d| |\\\n|\n|\r\n|\f|;|:|x=|#|\"|'|\"\"\"|'''|f|r|rf|b|"
    "{|}|{{|!r|:>{|\\|\\N{DASH}|é|\u0915\u093f|ﬁ|if|yield |raise x from y".split("|")
)


@given(st.lists(tokens, max_size=25).map("".join))
@example("from .a import(b)")
@example("from . . a . b import c as d, e # f")
@example("from a import (b, # (c\n  d,\n)")
@example("import a . b as c, \\\n d;import e")
@example("from ...import *")
@example("from \\\n a import \\\r\n b")
@example("def f():\n  yield from x\nimport y")
@example("raise x from y\nimport z")
@example("importa = from_x.import_y = 1; ximport = 2")
@example("if'import x':import y")
@example("if x:import ﬁ, \u0915\u093f")
@example("x = f'{a['import b']}'; import c")
@example("x = f'{a:'^{f\"{b}\"}}'; import c")
@example("x = f'{{{a!r:%H:%M}}}' f\"{d['#']}\"; import c")
@example("x = rf'\\{a['\"']}' Rb'\\'' f'\\N{DASH}\\''; import c")
@example("x = f'''{(lambda: {1: \"'''\"})[0]:{b}}'''; import c")
@example("x = f'{\n1:{2}}' f'{a # '}\n}'; import c")
@example('x = """a""""b"; import c')
@example("x = f'\\{a['import b']}'; import c")
@example("x = '\\\\\r\n' 'a\\\r\nb'; import c")
def test_what_python_can_parse_is_read_as_python_does(source: str):
    assert_none_is_missed(source)


def test_every_file_of_a_folder_of_packages_keeps_its_path():
    files = {f"{name}/__init__.py": "from . import m\nimport b.m" for name in "abc"}
    files |= {f"{name}/m.py": "" for name in "abc"}
    assert resolve(files).edges == {
        f"{name}/__init__.py": {f"{name}/m.py", "b/m.py"} for name in "abc"
    }
