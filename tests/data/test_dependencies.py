# SPDX-License-Identifier: Apache-2.0
"""Which file an import needs; `make oracle NAME=imports` compares whole packages with grimp."""

import ast
import threading
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder.data.dependencies import resolve
from coder.data.dependencies.python import MAX_SOURCE, imports_of


def needs(files: dict[str, str], path: str) -> set[str]:
    graph = resolve(files)
    assert not graph.unparsed
    return graph.edges.get(path, set())


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


HOSTILE = {
    "brackets": "(" * 100_000,
    "minus": "x = " + "-" * 200_000 + "1",
    "not": "x = " + "not " * 100_000 + "1",
    "lambda": "x = " + "lambda: " * 50_000 + "1",
    "ternary": "x = " + "1 if 1 else " * 50_000 + "1",
    "sum": "x = " + "1 + " * 100_000 + "1",
    "attributes": "x = a" + ".b" * 100_000,
    "indent": "\n".join(" " * depth + "if x:" for depth in range(500)),
    "python2": "print 'x'",
    "null": "x = '\0'",
    "surrogate": "x = '\udc80'",
    "long": "x = 1\n" * (MAX_SOURCE // 6 + 1),
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=list(HOSTILE))
def test_a_file_that_python_cannot_parse_is_named_and_hurts_no_other(source: str):
    files = {"a.py": f"import b\n{source}", "b.py": "import c", "c.py": ""}
    found = []
    previous = threading.stack_size(256 * 1024)  # as in threads of some platforms
    try:
        thread = threading.Thread(target=lambda: found.append(resolve(files)))
        thread.start()
    finally:
        threading.stack_size(previous)
    thread.join()
    assert (found[0].edges, found[0].unparsed) == ({"b.py": {"c.py"}}, {"a.py"})


def test_doubtful_escapes_in_a_source_warn_nobody():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert needs({"a.py": 'import b\nx = "\\d"\ny = 1is 1', "b.py": ""}, "a.py") == {"b.py"}


statements = st.sampled_from(
    ["import a.b", "from . import c", "if x:", "else:", "def f():", "class A:", "x = 1", "try:"]
)


@given(st.lists(st.tuples(st.integers(0, 3), statements), max_size=12))
def test_all_imports_of_the_whole_tree_are_found(lines: list[tuple[int, str]]):
    source = "".join("  " * depth + statement + "\n" for depth, statement in lines)
    found = imports_of(source)
    try:
        tree = ast.parse(source)
    except SyntaxError:
        assert found is None or "import" not in source
        return
    walked = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert found is not None and len(found) == len(walked)


def test_every_file_of_a_folder_of_packages_keeps_its_path():
    files = {f"{name}/__init__.py": "from . import m\nimport b.m" for name in "abc"}
    files |= {f"{name}/m.py": "" for name in "abc"}
    assert resolve(files).edges == {
        f"{name}/__init__.py": {f"{name}/m.py", "b/m.py"} for name in "abc"
    }
