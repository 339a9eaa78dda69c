# SPDX-License-Identifier: Apache-2.0
"""Which file an import of JavaScript or TypeScript needs; the oracle compares whole packages."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coder.data.dependencies import javascript
from coder.data.dependencies.javascript.specifiers import MAX_SPECIFIER, specifiers_of
from tests.data.dependencies.repository import needs


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('import a from "x"', {"x"}),
        ("import 'x'", {"x"}),
        ("import'x';import{a}from'y'", {"x", "y"}),
        ('import a, { b as c, "d e" as f }\n  from\n  "x"', {"x"}),
        ('import * as a from /* ; */ // \n "x" with { type: "json" }', {"x"}),
        ('export * from "x"; export { a as b } from "y"; export * as z from "z"', {"x", "y", "z"}),
        ('import type { A } from "x"; export type { B } from "y"', {"x", "y"}),
        ('import x = require("x"); export import y = require("y")', {"x", "y"}),
        (
            'const a = require("x"), b = {...require("y")}, c = require.resolve("z")',
            {"x", "y", "z"},
        ),
        ('await import("x"); import(`y`); import(/* hint */ "z", { with: {} })', {"x", "y", "z"}),
        ('let a: typeof import("x"); let b: import("y").B', {"x", "y"}),
        ("if (a) { try { require('x') } catch {} }", {"x"}),
        ('#!/usr/bin/env node\nrequire("x")', {"x"}),
        ('/* a */\n/// <reference path="a.ts" />\n/// <reference types="b" />', {"./a.ts"}),
        ('let a\n/// <reference path="a.ts" />', set()),
        ("require(x); require('a' + b); import(`a${b}`); require('a', 'b')", {"a"}),
        ('a.require("x"); b.import("x"); prerequire("x"); $import("x")', set()),
        ("let a = 'import \"x\"'; /* import 'x' */ // import 'x'\n", set()),
        ('let a = `import "x" ${`from "y"`} require("z")`', set()),
        (
            "let a = `${require('x') + `${require('y')}`} } require('z')`; require('w')",
            {"x", "y", "w"},
        ),
        ("let a = /['\"`]/; import('x')", {"x"}),
        ("let a = b / c; require('x') / d", {"x"}),
        ("let a = /[/]'/.test(b) ? '/' : /'/; require('x')", {"x"}),
        ("if (a) /`/.test(b); require('x')", {"x"}),
        ("let a = (b) / 2; let c = '`'; require('x') / 2", {"x"}),
        ("return /'/.source; require('x')", {"x"}),
        ("let a = b++ / 2 + '`'; let c = d.return / 2; require('x') + '/'", {"x"}),
        ("let a = b! / 2 + `'`; require('x') + '/'", {"x"}),
        ("let a = \"\\\"; require('y')\"; require('x')", {"x"}),
        ('let a = "unterminated\nrequire("x")', {"x"}),
        ('let a = { from: "x", import: "y" }; Array.from("z"); from("w")', set()),
        ('declare module "x" { }', set()),
    ],
)
def test_what_is_imported(source: str, found: set[str]):
    assert specifiers_of("a.ts", source) == found
    assert specifiers_of("a.js", source) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("let a = <p>don't `ask` // here</p>; require('x')", {"x"}),
        ('let a = <p>import x from "x"; require("y")</p>', set()),
        (
            "let a = <A b='/*' c=\"`\" d={require('x')}>{require('y')}</A>; import('z')",
            {"x", "y", "z"},
        ),
        ("let a = <><b/>it's {c ? <i>it's</i> : `${<u>'</u>}`} '</>; require('x')", {"x"}),
        ("let a = <a.b:c-d e /* ' */ {...f} />; require('x')", {"x"}),
        ("return <A\n  b\n>\n  {c.map(d => <E key={d}>{`'`}</E>)} '\n</A>\n}; require('x')", {"x"}),
        ("let f = <T,>(x: T) => x; let g = <T extends U<V>>(y: T) => '`'; require('x')", {"x"}),
        ("type F = <T>(x: T) => void; let s = '`'; require('x')", {"x"}),
        ("if (a < b && c > d) { require('x') }", {"x"}),
        ("let a = <Select<string> b='`'>'</Select>; require('x')", {"x"}),
    ],
)
def test_text_between_tags_is_no_code(source: str, found: set[str]):
    assert specifiers_of("a.tsx", source) == found


def test_type_assertions_are_no_elements():
    assert specifiers_of("a.ts", "let a = <any>b; require('x'); '</any>'") == {"x"}


@pytest.mark.parametrize("ending", ["vue", "svelte"])
def test_only_the_scripts_of_a_component_are_code(ending: str):
    source = """<!-- <script>import "a"</script> -->
    <script setup lang="ts" generic="T extends A<B>">import B from "./b"</script>
    <template><p>it's import "c"</p></template>
    <script src="./d.ts"></script><SCRIPT>require("e")</SCRIPT><style>@import "f";</style>"""
    assert specifiers_of(f"a.{ending}", source) == {"./b", "./d.ts", "e"}


FILES = dict.fromkeys(
    [
        "src/a.ts",
        "src/b.js",
        "src/b/index.js",
        "src/c/index.tsx",
        "src/d.vue",
        "src/e.d.ts",
        "src/e.js",
        "src/f.mts",
        "src/g.cjs",
        "src/h.jsx",
        "src/i.d.mts",
        "src/j.test.ts",
        "main.ts",
    ],
    "",
)


@pytest.mark.parametrize(
    ("specifier", "needed"),
    [
        ("./a", "src/a.ts"),
        ("./a.ts", "src/a.ts"),
        ("./a.js", "src/a.ts"),
        ("./a?raw", "src/a.ts"),
        ("./b", "src/b.js"),
        ("./b/", "src/b/index.js"),
        ("./c", "src/c/index.tsx"),
        ("./c/index.js", "src/c/index.tsx"),
        ("./d", "src/d.vue"),
        ("./d.vue", "src/d.vue"),
        ("./f.mjs", "src/f.mts"),
        ("./i.mjs", "src/i.d.mts"),
        ("./g", "src/g.cjs"),
        ("./h.js", "src/h.jsx"),
        ("./j.test", "src/j.test.ts"),
        ("../main", "main.ts"),
        ("../src/./../main.js", "main.ts"),
        ("../../main", None),
        ("./missing", None),
        ("./a.css", None),
        ("/src/a.ts", None),
        ("src/a", None),
        ("react", None),
    ],
)
def test_relative_specifiers(specifier: str, needed: str | None):
    new = {"src/new.ts": f'import "{specifier}"'}
    assert needs(FILES | new, "src/new.ts") == ({needed} if needed else set())


def test_each_language_prefers_its_own_files():
    files = FILES | {"src/x.ts": 'import "./e"', "src/x.js": 'import "./e"'}
    assert needs(files, "src/x.ts") == {"src/e.d.ts"}
    assert needs(files, "src/x.js") == {"src/e.js"}


def test_a_folder_with_a_package_file_leads_to_its_entry():
    files = {
        "lib/package.json": '{"main": "./core"}',
        "lib/core.js": "",
        "a.js": 'require("./lib")',
    }
    assert needs(files, "a.js") == {"lib/core.js"}


def test_files_of_no_component_reach_components_and_back():
    files = {"a.ts": 'import "./B.vue"', "B.vue": '<script>import "./a"</script>'}
    assert needs(files, "a.ts") == {"B.vue"}
    assert needs(files, "B.vue") == {"a.ts"}


ALIASED = {
    "tsconfig.base.json": """{
        // comments and commas, as here, are allowed
        "compilerOptions": {"baseUrl": "./src", "paths": {
            "@/*": ["*", "generated/*"], "@/special/*": ["other/*"], "exact": ["./one.ts"],
            "pre-*-post": ["*/x"], "http://*": ["never/*"],
        }, /* "paths": {} */ },
    }""",
    "app/tsconfig.json": '\ufeff{"extends": ["./missing.json", "../tsconfig.base"]}',
    "own/tsconfig.json": '{"extends": "../tsconfig.base.json", "compilerOptions": {"paths": {}}}',
    "loop/tsconfig.json": '{"extends": "./tsconfig.b.json"}',
    "loop/tsconfig.b.json": """{
        "extends": "./tsconfig.json", "compilerOptions": {"paths": {"~/*": ["./*"]}}
    }""",
    "moved/tsconfig.json": '{"extends": "./inner/tsconfig.json"}',
    "moved/inner/tsconfig.json": '{"compilerOptions": {"paths": {"$/*": ["${configDir}/x/*"]}}}',
    "src/one.ts": "",
    "src/two/x.ts": "",
    "src/generated/three.ts": "",
    "src/other/four.ts": "",
    "src/special/four.ts": "",
    "loop/five.ts": "",
    "moved/x/six.ts": "",
}


@pytest.mark.parametrize(
    ("folder", "specifier", "needed"),
    [
        ("app", "@/one", "src/one.ts"),
        ("app", "@/three", "src/generated/three.ts"),
        ("app", "@/special/four", "src/other/four.ts"),
        ("app", "exact", "src/one.ts"),
        ("app", "pre-two-post", "src/two/x.ts"),
        ("app", "two/x", "src/two/x.ts"),
        ("app", "@/missing", None),
        ("app", "@/../../one", None),
        ("own", "@/one", None),
        ("own", "one", "src/one.ts"),
        ("loop", "~/five", "loop/five.ts"),
        ("moved", "$/six", "moved/x/six.ts"),
    ],
)
def test_aliases_of_tsconfig(folder: str, specifier: str, needed: str | None):
    path = f"{folder}/deep/new.ts"
    files = ALIASED | {path: f'import "{specifier}"'}
    assert needs(files, path) == ({needed} if needed else set())


def test_aliases_of_a_variant_hold_and_the_nearest_folder_counts():
    files = {
        "tsconfig.json": '{"files": [], "references": [{"path": "./tsconfig.app.json"}]}',
        "tsconfig.app.json": '{"compilerOptions": {"paths": {"@/*": ["./src/*"]}}}',
        "sub/jsconfig.json": '{"compilerOptions": {"paths": {"@/*": ["./lib/*"]}}}',
        "src/a.ts": "",
        "sub/lib/a.ts": "",
        "x.ts": 'import "@/a"',
        "sub/x.ts": 'import "@/a"',
    }
    assert needs(files, "x.ts") == {"src/a.ts"}
    assert needs(files, "sub/x.ts") == {"sub/lib/a.ts"}


def workspace(manifest: dict[str, object], *sources: str) -> dict[str, str]:
    """A repository with a package `@s/p` and another that imports it."""
    return {
        "packages/p/package.json": json.dumps({"name": "@s/p"} | manifest),
        "packages/q/package.json": '{"name": "q"}',
    } | {f"packages/p/{source}": "" for source in sources}


LISTS = {
    "package.json": '{"workspaces": ["packages/*"]}',
    "package.json ": '{"workspaces": {"packages": ["./packages/p/", "packages/q"]}}',
    "pnpm-workspace.yaml": "catalog:\n  a: 1\npackages:\n  # all\n  - 'packages/**' # these\n",
    "lerna.json": '{"version": "1"}',
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    ("manifest", "sources", "specifier", "needed"),
    [
        ({}, ["src/index.ts", "index.js"], "@s/p", "src/index.ts"),
        ({}, ["index.js"], "@s/p", "index.js"),
        ({"main": "lib/main.js"}, ["lib/main.js"], "@s/p", "lib/main.js"),
        ({"main": "dist/main.js"}, ["src/main.ts", "src/index.ts"], "@s/p", "src/main.ts"),
        ({"module": "dist/esm/x.mjs"}, ["src/x.ts", "src/index.ts"], "@s/p", "src/x.ts"),
        ({"types": "dist/i.d.ts"}, ["src/i.ts"], "@s/p", "src/i.ts"),
        ({"main": "dist/x.js"}, ["src/index.ts"], "@s/p", "src/index.ts"),
        ({"exports": "./dist/x.js"}, ["src/x.ts"], "@s/p", "src/x.ts"),
        (
            {"exports": {".": {"browser": "./b.js", "import": {"default": "./dist/a.js"}}}},
            ["src/a.ts", "b.js"],
            "@s/p",
            "b.js",
        ),
        (
            {"exports": {"browser": "./b.js", "require": [None, "./c.cjs"]}},
            ["b.js", "c.cjs"],
            "@s/p",
            "c.cjs",
        ),
        ({"exports": {"./*": "./dist/*.js"}}, ["src/m/n.ts"], "@s/p/m/n", "src/m/n.ts"),
        ({"exports": {"./m": "./dist/m/index.js"}}, ["src/m.ts"], "@s/p/m", "src/m.ts"),
        ({"exports": {"./f/": "./src/f/"}}, ["src/f/g.ts"], "@s/p/f/g.js", "src/f/g.ts"),
        ({}, ["lib/sub.ts"], "@s/p/lib/sub", "lib/sub.ts"),
        ({}, ["src/sub.ts"], "@s/p/sub", "src/sub.ts"),
        ({}, ["src/sub.ts"], "@s/p/dist/sub.js", "src/sub.ts"),
        ({}, ["src/index.ts"], "@s/other", None),
    ],
)
def test_packages_of_a_workspace(
    name: str, manifest: dict[str, object], sources: list[str], specifier: str, needed: str | None
):
    files = workspace(manifest, *sources) | {name.strip(): LISTS[name]}
    files["packages/q/a.ts"] = f'import "{specifier}"'
    expected = {f"packages/p/{needed}"} if needed else set()
    assert needs(files, "packages/q/a.ts") == expected


def test_packages_outside_the_workspace_are_not_seen():
    files = workspace({}, "index.ts") | {"packages/q/a.ts": 'import "@s/p"'}
    assert needs(files, "packages/q/a.ts") == set()
    excluded = {"package.json": '{"workspaces": ["packages/*", "!packages/p"]}'}
    assert needs(files | excluded, "packages/q/a.ts") == set()
    braces = {"package.json": '{"workspaces": ["packages/{p,q}"]}'}
    assert needs(files | braces, "packages/q/a.ts") == {"packages/p/index.ts"}


@pytest.mark.parametrize("version", ["workspace:*", "file:../p", "link:../p"])
def test_packages_asked_for_by_path_are_seen(version: str):
    files = workspace({}, "index.ts") | {"packages/q/a.ts": 'import "@s/p"'}
    files["packages/q/package.json"] = json.dumps({"dependencies": {"@s/p": version}})
    assert needs(files, "packages/q/a.ts") == {"packages/p/index.ts"}


def test_a_package_knows_itself_by_name_and_by_its_imports():
    files = {
        "package.json": json.dumps(
            {
                "name": "p",
                "exports": {".": "./dist/index.js", "./x": {"types": "./dist/x.d.ts"}},
                "imports": {"#internal/*": "./src/internal/*.js", "#env": {"default": "./env.js"}},
            }
        ),
        "src/index.ts": "",
        "src/x.ts": "",
        "src/internal/y.ts": "",
        "env.js": "",
        "test/a.ts": 'import "p"; import "p/x"; import "#internal/y"; import "#env"; import "#no"',
    }
    assert needs(files, "test/a.ts") == {"src/index.ts", "src/x.ts", "src/internal/y.ts", "env.js"}


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["", ".", "./a", "*", "../..", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "name exports imports main types workspaces packages extends paths baseUrl "
                "compilerOptions dependencies . ./* #a a * **".split()
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)
names = st.sampled_from(
    ["package.json", "a/package.json", "tsconfig.json", "a/jsconfig.json", "lerna.json"]
)
specifiers = st.text(st.sampled_from("./a#@*?\0\udc80"), max_size=8)


@settings(deadline=None)
@given(st.dictionaries(names, values), st.lists(specifiers, max_size=4))
def test_strange_settings_and_specifiers_raise_nothing(
    project: dict[str, object], imported: list[str]
):
    files = {"a/x.ts": "", "a.ts": "", "index.js": "", "src/index.ts": ""}
    texts = {path: json.dumps(value) for path, value in project.items()}
    index = javascript.build_index(files, texts)
    text = "".join(f'import "{specifier}"\n' for specifier in imported)
    for path in files:
        assert javascript.targets(path, text, index) <= files.keys()


@settings(deadline=None)
@given(st.text(), names)
def test_unreadable_settings_are_as_good_as_absent(text: str, name: str):
    files = {"a/x.ts": 'import "../b"', "b.ts": ""}
    index = javascript.build_index(files, {name: text, "pnpm-workspace.yaml": text})
    assert javascript.targets("a/x.ts", files["a/x.ts"], index) == {"b.ts"}


PIECES = [*"'\"`/\\<>(){}[]*$=.,;!+- \n\0a", "${", "//", "/*", "*/", "</", "/>", "import ", "from "]
PIECES += ["require(", "return ", "<a>", "</a>", "<script>", "</script", "<!--", "-->", "\udc80"]


@settings(deadline=None)  # time is another test's business
@given(st.lists(st.sampled_from(PIECES), max_size=40), st.sampled_from(["ts", "tsx", "vue"]))
def test_any_text_is_read(pieces: list[str], ending: str):
    found = specifiers_of(f"a.{ending}", "".join(pieces))
    assert all(len(specifier) <= MAX_SPECIFIER for specifier in found)


@pytest.mark.parametrize("piece", ["'\\", "/[", "<a '\"", "<a ", "/* ", "`${", "import('", "({"])
@pytest.mark.parametrize("ending", ["tsx", "vue"])
def test_hostile_text_takes_linear_time(piece: str, ending: str):
    start = "<script lang=tsx>" if ending == "vue" else ""
    source = start + piece * (250_000 // len(piece))
    began = time.process_time()
    specifiers_of(f"a.{ending}", source)
    assert time.process_time() - began < 5
