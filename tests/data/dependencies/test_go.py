# SPDX-License-Identifier: Apache-2.0
"""Dependencies between Go files, by the rules of the language and of its modules."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder.data.dependencies import go
from tests.data.dependencies.repository import needs, resolve

MODULE = {
    "go.mod": "module example.com/app\n\ngo 1.21\n",
    "app.go": "package app",
    "util/a.go": "package util",
    "util/b.go": "package util",
    "util/a_test.go": "package util",
    "util/gen.go": "//go:build ignore\n\npackage main",
    "internal/deep/d.go": "package deep",
    "cmd/tool/main.go": "package main",
    "vendor/github.com/other/lib/lib.go": "package lib",
}
UTIL = {"util/a.go", "util/b.go"}


@pytest.mark.parametrize(
    ("imports", "needed"),
    [
        ('import "example.com/app/util"', UTIL),
        ('import u "example.com/app/util"', UTIL),
        ('import . "example.com/app/util"', UTIL),
        ('import _ "example.com/app/util"', UTIL),
        ("import `example.com/app/util`", UTIL),
        ('import ("fmt"; "example.com/app/util")', UTIL),
        ('import (\n\t"fmt" // x\n\n\tu "example.com/app/util"\n)', UTIL),
        ('import "example.com/app"', {"app.go"}),
        ('import "example.com/app/internal/deep"', {"internal/deep/d.go"}),
        ('import "github.com/other/lib"', {"vendor/github.com/other/lib/lib.go"}),
        ('import "example.com/app/cmd/tool"', set()),
        ('import "example.com/apple/util"', set()),
        ('import "example.com/app/missing"', set()),
        ('import "C"\nimport "fmt"\nimport "util"', set()),
        ('// import "example.com/app/util"', set()),
        ('/*\nimport "example.com/app/util"\n*/', set()),
        ('var s = `\nimport "example.com/app/util"\n`', set()),
    ],
)
def test_an_import_of_which_no_name_is_used_needs_all_files_of_a_package(
    imports: str, needed: set[str]
):
    assert needs({**MODULE, "new/n.go": f"package n;{imports}\n"}, "new/n.go") == needed


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        ('import "m/store"\nvar x = kv.Open()', {"store/open.go"}),
        (
            'import "m/store"\nfunc f(s *kv.Store) { kv.\n\t\tOpen() }',
            {"store/open.go", "store/s.go"},
        ),
        ('import ("fmt"; db "m/store")\nvar x = db.Open()', {"store/open.go"}),
        ("import db`m/store`\nvar x db.Store", {"store/s.go"}),
        (
            'import ("m/store"; db "m/store")\nvar x db.Store = kv.Open()',
            {"store/open.go", "store/s.go"},
        ),
        ('import "m/store"\nvar x = kv.New()', {"store/linux.go", "store/new_windows.go"}),
        ('import "m/store"\nvar x = kv.Helper(kv.Open)', {"store/open.go"}),
        ('import "m/store"\nvar x = kv.Generated()', "all"),
        ('import "m/store"\nvar x = a.kv.Open() // kv.Open', "all"),
        ('import db "m/store"\nvar x = kv.Open()', "all"),
        ('import _ "m/store"', "all"),
        ('import . "m/store"\nvar x = Open()', "all"),
    ],
)
def test_an_import_needs_the_files_that_declare_the_names_used(code: str, needed: set[str] | str):
    store = {
        "store/open.go": "package kv\nfunc Open() *Store { return nil }",
        "store/s.go": "package kv\ntype Store struct{}\nfunc (s *Store) Generated() {}",
        "store/linux.go": "package kv\nfunc New() {}",
        "store/new_windows.go": "package kv\nfunc New() {}",
    }
    test = {"store/s_test.go": "package kv\nfunc Helper() {}"}
    files = {"go.mod": "module m", **store, **test, "app/a.go": f"package app\n{code}\n"}
    assert needs(files, "app/a.go") == (set(store) if needed == "all" else needed)


def test_packages_of_many_files_with_many_importers_have_few_edges():
    package = {f"p/{n:04}.go": f"package p\nfunc F{n}() {{}}\n" for n in range(300)}
    using = {
        f"q/{n:04}.go": f'package q\nimport "m/p"\nfunc g{n}() {{ p.F{n}() }}\n' for n in range(300)
    }
    graph = resolve({"go.mod": "module m", **package, **using, "x.go": 'package x\nimport _ "m/p"'})
    assert all(graph.edges[f"q/{n:04}.go"] == {f"p/{n:04}.go"} for n in range(300))
    assert graph.edges["x.go"] == set(sorted(package)[: go.MAX_FILES])


@pytest.mark.parametrize(
    "replace",
    ["replace example.com/x => ../x", "replace (\n\texample.com/x v1.2.0 => ../x // here\n)"],
)
def test_a_module_may_be_replaced_by_a_folder(replace: str):
    files = {
        "app/go.mod": f"module example.com/app\n\nrequire example.com/x v1.2.0\n{replace}\n",
        "app/a.go": 'package app\n\nimport "example.com/x/y"\n',
        "x/y/y.go": "package y",
    }
    assert needs(files, "app/a.go") == {"x/y/y.go"}
    assert needs({**files, "app/go.mod": "module example.com/app"}, "app/a.go") == set()


def test_a_module_within_another_is_its_own():
    files = {
        "go.mod": "module example.com/app",
        "a.go": 'package app\nimport "example.com/app/sub/p"',
        "sub/go.mod": "module example.com/app/sub",
        "sub/p/p.go": 'package p\nimport "example.com/app/q"',
        "sub/q/q.go": "package q",
        "q/q.go": "package q",
    }
    assert needs(files, "a.go") == {"sub/p/p.go"}
    assert needs(files, "sub/p/p.go") == {"q/q.go"}
    renamed = {**files, "sub/go.mod": "module example.com/elsewhere"}
    assert needs(renamed, "a.go") == set()


def test_the_workspace_says_which_of_two_modules_is_meant():
    files = {
        "app/go.mod": "module example.com/app",
        "app/a.go": 'package app\nimport "example.com/x"',
        "app/old/x/go.mod": "module example.com/x",
        "app/old/x/x.go": "package x",
        "x/go.mod": 'module "example.com/x"',
        "x/x.go": "package x",
    }
    assert needs(files, "app/a.go") == {"app/old/x/x.go"}
    assert needs({**files, "go.work": "go 1.21\nuse (\n\t./app\n\t./x\n)"}, "app/a.go") == {
        "x/x.go"
    }


def test_major_versions_are_part_of_a_modules_path():
    files = {
        "go.mod": "module example.com/app/v2",
        "a.go": 'package app\nimport "example.com/app/v2/b"',
        "b/b.go": 'package b\nimport "example.com/app/b"',
    }
    assert needs(files, "a.go") == {"b/b.go"}
    assert needs(files, "b/b.go") == set()


def test_the_standard_library_is_not_looked_for_in_a_repository_but_its_own():
    files = {"src/log/log.go": "package log", "src/a/a.go": 'package a\nimport "log"\nimport "b"'}
    files["src/b/b.go"] = "package b"
    assert needs(files, "src/a/a.go") == {"src/b/b.go"}
    assert needs({**files, "src/go.mod": "module std"}, "src/a/a.go") == {"src/log/log.go"}


def test_before_modules_a_repositorys_path_shows_in_its_imports():
    files = {
        "a.go": 'package a\nimport ("github.com/me/app/x"; "github.com/me/app/x/y")',
        "x/x.go": 'package x\nimport "github.com/me/app"',
        "x/y/y.go": 'package y\nimport "github.com/other/x"',
    }
    assert needs(files, "a.go") == {"x/x.go", "x/y/y.go"}
    assert needs(files, "x/x.go") == {"a.go"}
    assert needs(files, "x/y/y.go") == set()


def test_relative_imports_start_at_the_files_folder():
    files = {"a/a.go": 'package a\nimport "../b"\nimport "./c"', "b/b.go": "package b"}
    files["a/c/c.go"] = "package c"
    assert needs(files, "a/a.go") == {"b/b.go", "a/c/c.go"}
    assert needs({"a.go": 'package a\nimport "../b"', "b/b.go": "package b"}, "a.go") == set()


@pytest.mark.parametrize(
    ("declaration", "use", "expected"),
    [
        ("func Open() {}", "var x = Open()", True),
        ("func open[T any]() {}", "var x = open[int]()", True),
        ("type File struct {\n\tname string\n}", "func read(f *File) {}", True),
        ("type (\n\tA struct {\n\t\tx int\n\t}\n\tFile = A\n)", "func f(x ...File) {}", True),
        ("const (\n\ta = iota\n\tb\n)", "func f() int { return b }", True),
        ("const (\n\ta = 1 +\n\t\tc\n)", "func f() int { return c }", False),
        ("var x, y = 1, 2", "func f() { print(y) }", True),
        ("var (\n\tx = f(\n\t\t1)\n\n\ty int // z\n)", "func f() { print(y) }", True),
        ("func (f *File) Close() {}", "func f() { Close() }", False),
        ("func Close() {}", "func f() { x.Close() }", False),
        ("func Close() {}", "func (f T) Close() {}", False),
        ("func Close() {}", "func f() { x.\n\t\tClose() }", False),
        ("func run() {}", "func f() { run := 1; print(run) }", False),
        ("func buf() {}", "func f(buf []byte) { print(buf) }", False),
        ("type Name int", "type T struct {\n\tName string\n}", False),
        ("func f() { var Open = 1 }", "var x = Open", False),
        ("func Open() {}", 'var x = "Open" // Open', False),
        ("func Open() {}", "func Open() {}\nvar x = Open()", False),
        ("func init() {}\nvar _ = 1", "func f() { init(); _ = 1 }", False),
        ("var É = 1", "var x = É", True),
    ],
)
def test_a_file_needs_those_that_declare_the_names_it_uses(
    declaration: str, use: str, expected: bool
):
    files = {"p/a.go": f"package p\n\n{declaration}\n", "p/b.go": f"package p\n\n{use}\n"}
    assert needs(files, "p/b.go") == ({"p/a.go"} if expected else set())
    elsewhere = {"q/a.go": files["p/a.go"], "p/b.go": files["p/b.go"]}
    assert needs(elsewhere, "p/b.go") == set()


def test_names_are_seen_where_files_are_built_together():
    files = {
        "open_linux.go": "package p\nfunc open() {}",
        "open_windows.go": "package p\nfunc open() {}",
        "linux.go": "package p\nfunc use() { open() }",
        "use_windows_amd64.go": "package p\nvar x = open()",
        "use_android.go": "package p\nvar x = open()",
        "open_test.go": "package p\nfunc helper() { use() }",
        "more_test.go": "package p\nvar y = helper()",
        "use.go": "package p\nvar z = helper()",
        "out_test.go": "package p_test\nvar z = helper()",
        "gen.go": "// +build ignore\n\npackage p\nvar z = use()",
    }
    assert needs(files, "linux.go") == {"open_linux.go", "open_windows.go"}
    assert needs(files, "use_windows_amd64.go") == {"open_windows.go"}
    assert needs(files, "use_android.go") == {"open_linux.go"}
    assert needs(files, "open_test.go") == {"linux.go"}
    assert needs(files, "more_test.go") == {"open_test.go"}
    for path in ("use.go", "out_test.go", "gen.go"):
        assert needs(files, path) == set()


def test_an_external_test_imports_the_package_beside_it():
    files = {**MODULE, "util/x_test.go": 'package util_test\nimport "example.com/app/util"'}
    assert needs(files, "util/x_test.go") == UTIL


words = st.sampled_from(
    ["package p", "import", '"x/y"', "(", ")", "{", "}", "func", "type", "var", "const", "A", "b"]
    + ["=", ":=", ",", ".", "\n", ";", '"', "`", "'", "//", "/*", "*/", "\\"]
)


@given(st.lists(words | st.text(max_size=5), max_size=40), st.lists(words | st.text(), max_size=9))
def test_any_text_is_read_and_leads_to_files_of_the_repository(parts: list[str], lines: list[str]):
    source = " ".join(parts)
    files = {"x/y/a.go": source, "x/y/b.go": source[::-1], "c_test.go": source + source}
    settings = {"go.mod": "module x\n" + "\n".join(lines), "x/go.work": "use (" + " ".join(lines)}
    index = go.build_index(files, settings)
    for path, text in files.items():
        assert go.targets(path, text, index) <= files.keys()


@pytest.mark.parametrize(
    "piece",
    [
        "(",
        "{",
        "`",
        '"',
        "'",
        "/*",
        "\\",
        ".",
        ". ",
        "\n",
        "\n ",
        "a,",
        "a ",
        "import(",
        "import ",
        "var(\n",
    ]
    + [
        "const a\n",
        'import "a/b"\n',
        "package ",
        "a/",
        "a:=",
        "a.b",
        "a .",
        "func(",
        "1",
        ")",
        "é",
        "\udc80\0",
    ],
)
def test_a_megabyte_of_anything_would_take_under_a_second(piece: str):
    source = "package p\nvar (\n" + piece * ((1 << 18) // len(piece))
    start = time.process_time()
    index = go.build_index({"a.go": source, "b.go": "package p\nvar B = 1"}, {"go.mod": "module x"})
    go.targets("a.go", source, index)
    long_path = f'package p\nimport "{source[16:]}"'
    group = f"import (\n{piece * ((1 << 18) // len(piece))}"
    go.targets("d.go", group, go.build_index({"d.go": group}, {}))
    go.targets("c.go", long_path, go.build_index({"c.go": long_path}, {}))
    assert time.process_time() - start < 5
