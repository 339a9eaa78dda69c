# SPDX-License-Identifier: Apache-2.0
"""Which file an include means; `make oracle NAME=imports` compares whole projects with gcc."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder.data.dependencies import c
from coder.data.dependencies.c import Include, includes_of
from tests.data.dependencies.repository import needs

FILES = {
    "include/lib/api.h": "",
    "include/lib/detail/impl.hpp": "",
    "src/lib.c": "",
    "src/util.h": "",
    "src/core/deep.h": "",
    "tests/check.h": "",
    "third_party/zip/zip.h": "",
    "third_party/zip/src/util.h": "",
    "kernels/add.cuh": "",
}


@pytest.mark.parametrize(
    ("path", "line", "needed"),
    [
        ("src/a.c", '#include "util.h"', "src/util.h"),
        ("src/a.c", '#include "core/deep.h"', "src/core/deep.h"),
        ("src/a.c", '#include "../tests/check.h"', "tests/check.h"),
        ("src/a.c", '#include "./core/../util.h"', "src/util.h"),
        ("src/core/a.c", '#include "util.h"', "src/util.h"),
        ("src/core/a.c", '#include "src/util.h"', "src/util.h"),
        ("src/a.c", '#include "lib/api.h"', "include/lib/api.h"),
        ("src/a.c", "#include <lib/api.h>", "include/lib/api.h"),
        ("src/a.c", "#include <util.h>", "src/util.h"),
        ("tests/a.cc", "#include <lib/detail/impl.hpp>", "include/lib/detail/impl.hpp"),
        ("tests/a.cc", '#include "util.h"', "src/util.h"),
        ("include/lib/a.h", '#include "detail/impl.hpp"', "include/lib/detail/impl.hpp"),
        ("third_party/zip/zip.c", '#include "util.h"', "third_party/zip/src/util.h"),
        ("src/a.c", "#include <zip.h>", "third_party/zip/zip.h"),
        ("src/a.c", '#include "zip/zip.h"', "third_party/zip/zip.h"),
        ("a.cu", '#include "kernels/add.cuh"', "kernels/add.cuh"),
        ("src/a.c", '#include "lib.c"', "src/lib.c"),
        ("src/a.c", '#include "core\\deep.h"', "src/core/deep.h"),
        ("src/a.c", '#include "/src/util.h"', None),
        ("src/a.c", '#include "../../src/util.h"', None),
        ("src/a.c", '#include "missing.h"', None),
        ("src/a.c", "#include <stdio.h>", None),
        ("src/a.c", '#include "ip.h"', None),
    ],
)
def test_where_headers_are_looked_for(path: str, line: str, needed: str | None):
    assert needs({**FILES, path: line}, path) == ({needed} if needed else set())


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("#include <a.h>\n  #  include\t<b.h>\n%:include <c.h>", "a.h b.h c.h"),
        ("/* */ # /* */ include /* */ <a.h> // x", "a.h"),
        ("/*\n#include <a.h>\n*/", ""),
        ("// x\\\n#include <a.h>\n#include <b.h>", "b.h"),
        ('char *s = "\\\n#include <a.h>\\\n";', ""),
        ('auto s = R"x(\n#include <a.h>\n)x";\n#include <b.h>', "b.h"),
        ('auto s = u8R"(\n#include <a.h>\n)";', ""),
        ('x = FOOR"(";\n#include <a.h>', "a.h"),
        ("int x = 1'000; /*\n#include <a.h>\n*/", ""),
        ("char c = '\"';\n#include <a.h>", "a.h"),
        ("char c = u8'a'; /*\n#include <a.h> */", ""),
        ("#error don't\n#include <a.h>", "a.h"),
        ("#include \\\n <a.h>", "a.h"),
        ("#include <a.h>\r\n#include <b.h>\r\n", "a.h b.h"),
        ("#define H <a.h>\n#include H\n#include MAKE(b.h)", ""),
        ("#include_next <a.h>\n#import <b.h>\n#includes <c.h>\n#embed <d.h>", "a.h b.h"),
        ("#if __has_include(<a.h>)\n#include <b.h>\n#endif", "b.h"),
        ("x #include <a.h>\n##include <b.h>", ""),
        ("@import Foundation;\nimport std;", ""),
    ],
)
def test_what_is_an_include(source: str, names: str):
    assert [include.name for include in includes_of(source)] == names.split()


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("#if 0\n#include <a.h>\n#endif\n#include <b.h>", "b.h"),
        ("#if 0 // never\n#include <a.h>\n#else\n#include <b.h>\n#endif", "b.h"),
        ("#if (0)\n#include <a.h>\n#elif X\n#include <b.h>\n#endif", "b.h"),
        ("#if 1\n#include <a.h>\n#elif X\n#include <b.h>\n#else\n#include <c.h>\n#endif", "a.h"),
        (
            "#if X\n#include <a.h>\n#elif 1\n#include <b.h>\n#else\n#include <c.h>\n#endif",
            "a.h b.h",
        ),
        ("#if 0\n#ifdef X\n#include <a.h>\n#else\n#include <b.h>\n#endif\n#endif", ""),
        ("#ifdef X\n#include <a.h>\n#else\n#include <b.h>\n#endif", "a.h b.h"),
        ("#if X\n#if 0\n#endif\n#include <a.h>\n#elifdef Y\n#include <b.h>\n#endif", "a.h b.h"),
        ("#if 0 && X\n#include <a.h>\n#endif", "a.h"),
        ("#endif\n#else\n#include <a.h>\n#if 0\n", "a.h"),
    ],
)
def test_branches_that_can_never_be_taken_do_not_count(source: str, names: str):
    assert [include.name for include in includes_of(source)] == names.split()


def test_a_header_of_the_standard_library_is_only_found_among_the_headers_around():
    deep = {"tests/compat/string.h": "", "src/string.h": ""}
    assert needs({**deep, "src/a.c": "#include <string.h>"}, "src/a.c") == set()
    assert needs({**deep, "src/a.c": '#include "string.h"'}, "src/a.c") == {"src/string.h"}
    libc = {**deep, "include/string.h": ""}
    assert needs({**libc, "src/a.c": "#include <string.h>"}, "src/a.c") == {"include/string.h"}
    assert needs({**libc, "src/a.c": "#include <vector>"}, "src/a.c") == set()


def test_an_angled_include_prefers_the_include_folder_to_the_own():
    files = {"include/a.h": "", "src/a.h": "", "src/angled.c": "#include <a.h>"}
    assert needs(files, "src/angled.c") == {"include/a.h"}
    assert needs({**files, "src/quoted.c": '#include "a.h"'}, "src/quoted.c") == {"src/a.h"}


def test_of_several_headers_the_nearest_counts_and_a_tie_leads_nowhere():
    files = {"a/lib/x.h": "", "b/lib/x.h": "", "a/test/t.c": '#include "x.h"'}
    assert needs(files, "a/test/t.c") == {"a/lib/x.h"}
    assert needs({**files, "c/t.c": '#include "x.h"'}, "c/t.c") == set()
    in_use = {**files, "b/lib/only.h": "", "d/t.c": '#include "only.h"', "c/t.c": '#include "x.h"'}
    assert needs(in_use, "c/t.c") == {"b/lib/x.h"}


def test_include_next_passes_over_the_file_itself():
    files = {"include/a.h": "", "port/include/a.h": "#include_next <a.h>"}
    assert needs(files, "port/include/a.h") == {"include/a.h"}


def test_frameworks_are_flat_for_their_users_only():
    files = {"React/Base/Bridge.h": "", "React/Views/View.h": "", "Other/View.h": ""}
    user = {**files, "App/a.m": "#import <React/Bridge.h>\n#import <React/View.h>"}
    assert needs(user, "App/a.m") == {"React/Base/Bridge.h", "React/Views/View.h"}
    assert needs({**files, "App/a.m": "#import <Absent/Bridge.h>"}, "App/a.m") == set()
    assert needs({**files, "App/a.c": "#include <React/Bridge.h>"}, "App/a.c") == set()


def test_a_source_needs_its_header_and_not_the_other_way_round():
    files = {"foo.c": '#include "foo.h"', "foo.h": "void foo(void);", "bar.h": '#include "bar.h"'}
    assert needs(files, "foo.c") == {"foo.h"}
    assert needs(files, "foo.h") == set()
    assert needs(files, "bar.h") == set()


def test_files_of_no_language_of_the_family_are_no_targets():
    files = {"a.c": '#include "table.def"\n#include "a.py"', "table.def": "", "a.py": ""}
    assert needs(files, "a.c") == set()


lines = st.sampled_from(
    ["#if 0", "#if X", "#else", "#elif 1", "#endif", "/*", "*/", '"', "'", "\\", 'R"(', ")", "//"]
    + [
        '#include "a.h"',
        '#include "../a.h"',
        "#include <d/b.h>",
        "#import <d/b.h>",
        "#include_next",
    ]
)


@given(st.lists(lines | st.text(max_size=8), max_size=30), st.sampled_from(["\n", "\\\n", "\r\n"]))
def test_any_text_is_read_and_leads_to_files_of_the_repository(parts: list[str], ends: str):
    files = dict.fromkeys(["a.h", "x/d/b.h", "x/a.c"], ends.join(parts))
    index = c.build_index(files, {})
    for path, text in files.items():
        assert c.targets(path, text, index) <= files.keys()


@pytest.mark.parametrize(
    "piece",
    [
        "#include",
        '#include "',
        "#include <a",
        "#",
        '#include "a.h"\n',
        "#if 0\n",
        "#if (",
        "#if\\\n",
    ]
    + ['R"(', "'", "1'", "\\\n", "//\\\n", "../", "a/", "\0", "\udc80", "import/*"],
)
def test_a_megabyte_of_anything_would_take_under_a_second(piece: str):
    source = piece * ((1 << 18) // len(piece)) + '\n#include "'
    for text in (source, source + source[:1000] + '"', '#include "' + source):
        start = time.process_time()
        index = c.build_index({"a.c": text}, {})
        c.targets("a.c", text, index)
        assert time.process_time() - start < 5


def test_time_is_linear_in_files_that_share_their_names():
    count = 3000
    files = {f"d{at}/sub/config.h": "" for at in range(count)}
    files |= {f"d{at}/use.c": '#include <config.h>\n#include "x/config.h"' for at in range(count)}
    start = time.process_time()
    index = c.build_index(files, {})
    for path, text in files.items():
        assert c.targets(path, text, index) == set()
    assert time.process_time() - start < 5


def test_an_include_is_read_as_it_is_written():
    assert includes_of('#include <a//b.h>\n#import "c\'d.h"') == [
        Include("a//b.h", angled=True),
        Include("c'd.h", directive="import"),
    ]
