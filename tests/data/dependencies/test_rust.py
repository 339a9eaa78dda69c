# SPDX-License-Identifier: Apache-2.0
"""Dependencies between Rust files, by the reference's rules for modules and paths."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder.data.dependencies import rust
from tests.data.dependencies.repository import needs, resolve

MANIFEST = '[package]\nname = "my-app"\nedition = "2021"\n'
CRATE = {
    "Cargo.toml": MANIFEST,
    "src/lib.rs": "mod a;\npub mod b;\npub fn top() {}",
    "src/main.rs": "fn main() {}",
    "src/a.rs": "pub mod inner;",
    "src/a/inner.rs": "",
    "src/b/mod.rs": "pub mod deep;\npub use crate::a::inner;",
    "src/b/deep.rs": "",
}


@pytest.mark.parametrize(
    ("path", "code", "needed"),
    [
        ("src/lib.rs", "mod a;", {"src/a.rs"}),
        ("src/lib.rs", "pub(crate) mod b;", {"src/b/mod.rs"}),
        ("src/lib.rs", "#[cfg(test)]\nmod r#a;", {"src/a.rs"}),
        ("src/lib.rs", "mod a {}", set()),
        ("src/lib.rs", "mod a { mod inner; }", {"src/a/inner.rs"}),
        ("src/lib.rs", "mod missing;", set()),
        ("src/lib.rs", '// mod a;\n/* /* */ mod a; */\nconst S: &str = r#"\nmod a; "#;', set()),
        ("src/lib.rs", "fn f<'a>(x: &'a str) -> char { '\"' } mod a;", {"src/a.rs"}),
        ("src/lib.rs", "cfg_if! { if #[cfg(unix)] { mod a; } }", {"src/a.rs"}),
        ("src/a.rs", "mod inner;", {"src/a/inner.rs"}),
        ("src/a.rs", "mod b;", set()),
        ("src/b/mod.rs", "mod deep;", {"src/b/deep.rs"}),
        ("src/b/deep.rs", "use crate::a;", {"src/a.rs"}),
        ("src/b/deep.rs", "use crate::a::Thing;", {"src/a.rs"}),
        ("src/b/deep.rs", "use crate::a::inner::f;", {"src/a/inner.rs"}),
        ("src/b/deep.rs", "use crate::top;", {"src/lib.rs"}),
        ("src/b/deep.rs", "use crate::{a::{self, inner::*}, b as c};", None),
        ("src/b/deep.rs", "use super::*;", {"src/b/mod.rs"}),
        ("src/b/deep.rs", "use super::super::a::inner;", {"src/a/inner.rs"}),
        ("src/b/deep.rs", "use self::super::super::top;", {"src/lib.rs"}),
        ("src/b/deep.rs", "use crate::b::inner::f;", {"src/b/mod.rs"}),
        ("src/b/deep.rs", "fn f() { crate::a::inner::g(); }", {"src/a/inner.rs"}),
        ("src/b/deep.rs", "use crate::a; fn f() { a::inner::g() }", {"src/a.rs", "src/a/inner.rs"}),
        ("src/b/deep.rs", "macro_rules! m { () => { $crate::a::f() } }", {"src/a.rs"}),
        ("src/b/deep.rs", "mod tests { use super::*; use super::super::X; }", {"src/b/mod.rs"}),
        ("src/b/deep.rs", "use crate::a; mod t { use super::*; fn f() { a::inner::g() } }", None),
        ("src/b/deep.rs", "use a::inner;", set()),
        ("src/b/deep.rs", "use super::super::super::super::x; use std::a::b;", set()),
        ("src/b/deep.rs", "fn f() { inner::g(); Vec::new(); T::a() }", set()),
        ("src/main.rs", "use my_app::a::inner;", {"src/a/inner.rs"}),
        ("src/main.rs", "mod a; use a::inner::f;", {"src/a.rs", "src/a/inner.rs"}),
        ("src/main.rs", "use ::my_app::top;", {"src/lib.rs"}),
        ("tests/t.rs", "use my_app::b::deep; mod common;", {"src/b/deep.rs"}),
        ("examples/e/main.rs", "extern crate my_app;", {"src/lib.rs"}),
        ("src/b/deep.rs", 'include!("../a/inner.rs");', {"src/a/inner.rs"}),
        ("src/b/deep.rs", 'include!(concat!(env!("OUT_DIR"), "/../a.rs"));', set()),
    ],
)
def test_modules_and_paths(path: str, code: str, needed: set[str] | None):
    files = {**CRATE, path: code}
    if path == "src/lib.rs":
        assert needs(files, path) == (needed or set())
    else:
        expected = {"src/a.rs", "src/a/inner.rs"} if needed is None else needed
        extra = {"src/b/mod.rs"} if "b as c" in code else set()
        assert needs(files, path) == expected | extra


def test_a_module_and_the_parent_that_it_uses_need_each_other():
    files = {"Cargo.toml": MANIFEST, "src/lib.rs": "mod a;", "src/a.rs": "use super::*;"}
    assert resolve(files).edges == {"src/lib.rs": {"src/a.rs"}, "src/a.rs": {"src/lib.rs"}}


@pytest.mark.parametrize(
    ("path", "code", "needed"),
    [
        ("src/lib.rs", '#[path = "x/y.rs"] mod a;', {"src/x/y.rs"}),
        ("src/lib.rs", '#[cfg(x)]\n#[path="x/y.rs"]\n#[doc(hidden)]\npub mod a;', {"src/x/y.rs"}),
        ("src/lib.rs", '#[path = "gone.rs"] mod a;', set()),
        ("src/lib.rs", '#[path = "x/y.rs"] fn f() {} mod a;', {"src/a.rs"}),
        ("src/lib.rs", '#[cfg_attr(w, path = "x/y.rs")] mod a;', {"src/a.rs", "src/x/y.rs"}),
        ("src/lib.rs", 'mod inline { #[path = "y.rs"] mod z; }', {"src/inline/y.rs"}),
        ("src/a.rs", '#[path = "x/y.rs"] mod z;', {"src/x/y.rs"}),
        ("src/a.rs", 'mod inline { #[path = "y.rs"] mod z; }', {"src/a/inline/y.rs"}),
        ("src/x/y.rs", "mod z;", {"src/x/z.rs"}),
    ],
)
def test_where_a_path_attribute_leads(path: str, code: str, needed: set[str]):
    names = ("src/a.rs", "src/x/y.rs", "src/x/z.rs", "src/inline/y.rs", "src/a/inline/y.rs")
    files = {"Cargo.toml": MANIFEST, "src/lib.rs": 'mod a; #[path = "x/y.rs"] mod y;'}
    files |= dict.fromkeys(names, "") | {path: code}
    assert needs(files, path) == needed


@pytest.mark.parametrize(
    ("dependency", "code", "needed"),
    [
        ('[dependencies]\nmy-core = { path = "../core" }', "use my_core::x::f;", "core/src/x.rs"),
        ('[dependencies]\nmy-core = "1"', "use my_core::x::f;", "core/src/x.rs"),
        ('[dev-dependencies.my-core]\npath = "../core"', "my_core::f!();", "core/src/lib.rs"),
        ("[dependencies]\nmy-core.workspace = true", "use my_core::x;", "core/src/x.rs"),
        (
            '[dependencies]\nc = { path = "../core", package = "my-core" }',
            "use c::x;",
            "core/src/x.rs",
        ),
        ('[target."cfg(unix)".dependencies]\nmy-core = "1"', "use my_core::x;", "core/src/x.rs"),
        ('[dependencies]\nmy-core = { path = "../gone" }', "use my_core::x;", None),
        ("", "use my_core::x;", None),
        ('[dependencies]\nnamed = { path = "../named" }', "use other::f;", None),
        ("[dependencies]\nnot toml, so that names alone count", "use my_core::x;", "core/src/x.rs"),
    ],
)
def test_crates_of_the_same_repository(dependency: str, code: str, needed: str | None):
    files = {
        "Cargo.toml": '[workspace.dependencies]\nmy-core = { path = "core" }',
        "core/Cargo.toml": '[package]\nname = "my-core"\nedition = "2021"',
        "core/src/lib.rs": "pub mod x;",
        "core/src/x.rs": "",
        "app/Cargo.toml": f'[package]\nname = "app"\nedition = "2021"\n{dependency}',
        "app/src/main.rs": code,
    }
    assert needs(files, "app/src/main.rs") == ({needed} if needed else set())


def test_a_library_may_lie_elsewhere_under_another_name():
    library = '[lib]\nname = "other"\npath = "code/top.rs"\n[[bin]]\nname = "b"\npath = "code/b.rs"'
    files = {
        "Cargo.toml": f"{MANIFEST}{library}",
        "code/top.rs": "mod x;",
        "code/x.rs": "use crate::f;",
        "code/b.rs": "use other::x;",
    }
    assert resolve(files).edges == {
        "code/top.rs": {"code/x.rs"},
        "code/x.rs": {"code/top.rs"},
        "code/b.rs": {"code/x.rs"},
    }


def test_before_2018_uses_start_at_the_root():
    old = {**CRATE, "Cargo.toml": '[package]\nname = "my-app"', "src/b/deep.rs": "use a::inner::f;"}
    assert needs(old, "src/b/deep.rs") == {"src/a/inner.rs"}
    assert needs({**old, "src/b/deep.rs": "use ::a::f;"}, "src/b/deep.rs") == {"src/a.rs"}
    outer = {**CRATE, "Cargo.toml": '[package]\nname = "my-app"\nedition.workspace = true'}
    outer = {f"m/{path}": text for path, text in outer.items()} | {"m/src/b/deep.rs": "use a::f;"}
    outer["Cargo.toml"] = '[workspace.package]\nedition = "2021"'
    assert needs(outer, "m/src/b/deep.rs") == set()


def test_modules_whose_parent_is_missing_are_told_from_their_place():
    files = {"src/lib.rs": "", "src/a/b.rs": "use super::c::f; use crate::g;", "src/a/c.rs": ""}
    assert needs(files, "src/a/b.rs") == {"src/a/c.rs", "src/lib.rs"}
    assert needs({**files, "Cargo.toml": MANIFEST}, "src/a/b.rs") == {"src/a/c.rs", "src/lib.rs"}
    assert needs({"x.rs": "mod y;", "x/y.rs": "use super::f;"}, "x/y.rs") == {"x.rs"}


def test_modules_that_include_each_other_or_themselves_end():
    cycle = {"src/lib.rs": '#[path = "lib.rs"] mod a; #[path = "b.rs"] mod b; use a::b::a::f;'}
    cycle |= {"src/b.rs": '#[path = "lib.rs"] mod a; use x::y; use y as x; include!("lib.rs");'}
    assert resolve(cycle).edges == {"src/lib.rs": {"src/b.rs"}, "src/b.rs": {"src/lib.rs"}}


words = st.sampled_from(
    ["mod a;", "mod a {", "mod b;", "use", "crate", "self", "super", "::", "a", "b", "{", "}", ";"]
    + ["*", ",", "as", "r#", '"', "'", "/*", "*/", "//", "\n", "extern crate", "$", "\\", 'r#"']
    + ['#[path = "b.rs"]', 'include!("a.rs")', "#[cfg_attr(x, path ="]
)


@given(st.lists(words | st.text(max_size=4), max_size=40), st.text(max_size=30))
def test_any_text_is_read_and_leads_to_files_of_the_repository(parts: list[str], setting: str):
    source = " ".join(parts)
    files = dict.fromkeys(["src/lib.rs", "src/a.rs", "src/b.rs", "src/a/b.rs"], source)
    manifest = f'{MANIFEST}[dependencies]\na = {{ path = "." }}\n{setting}'
    index = rust.build_index(files, {"Cargo.toml": manifest})
    for path, text in files.items():
        assert rust.targets(path, text, index) <= files.keys()


@pytest.mark.parametrize(
    "piece",
    [
        "{",
        "mod a{",
        "mod a;",
        "use a::",
        "use a::{",
        "use ",
        "a::",
        "::",
        "a,",
        "r#",
        "'",
        '"',
        "/*",
    ]
    + ['r#"', '#[path="a.rs"]', "#[cfg_attr(", 'include!("', "extern crate a;", "crate::a ", "}"]
    + ["use super::*;", "use a as b;use b as a;", "a ", "\0\udc80"],
)
def test_a_megabyte_of_anything_would_take_under_a_second(piece: str):
    source = piece * ((1 << 18) // len(piece))
    start = time.process_time()
    index = rust.build_index({"src/lib.rs": source, "src/a.rs": "use super::*; a::b();"}, {})
    for path in ("src/lib.rs", "src/a.rs"):
        rust.targets(path, source, index)
    for hostile in (piece, "a.", '"a".', "[", "a=[", "a={a="):
        settings = {"Cargo.toml": hostile * ((1 << 18) // len(hostile))}
        rust.build_index({"src/lib.rs": ""}, settings)
    assert time.process_time() - start < 5
