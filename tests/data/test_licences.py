# SPDX-License-Identifier: Apache-2.0
"""Licences of files: headers, licence texts as they are found in the wild, and which one holds."""

import importlib.metadata
import re
import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coder.data import licences
from coder.data.licences import LicenceIndex, is_licence_file, licence_of_text, spdx_header

MIT = """Copyright (c) 2020 Somebody

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND.
"""
ISC = """Permission to use, copy, modify, and/or distribute this software for any purpose with
or without fee is hereby granted, provided that the above copyright notice and this permission
notice appear in all copies.
"""
ZERO_BSD = ISC.partition(", provided")[0] + ".\n"
APACHE = """Licensed under the Apache License, Version 2.0 (the "License"); you may not use this
file except in compliance with the License.
"""
UNKNOWN = "You may look at this code on Tuesdays, and never while eating.\n"


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("# SPDX-License-Identifier: MIT\n", "MIT"),
        (
            "/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */\n",
            "GPL-2.0-only WITH Linux-syscall-note",
        ),
        ("<!-- SPDX-License-Identifier: (mit or apache-2.0) -->", "(MIT OR Apache-2.0)"),
        ("#!/bin/sh\n#\n// SPDX-License-Identifier:BSD-3-Clause\r\nexit\n", "BSD-3-Clause"),
        ("# SPDX-License-Identifier: MIT\n# SPDX-License-Identifier: ISC\n", "MIT AND ISC"),
        (
            "# SPDX-License-Identifier: MIT OR ISC\n# SPDX-License-Identifier: Zlib\n",
            "(MIT OR ISC) AND Zlib",
        ),
        ("# SPDX-License-Identifier: LicenseRef-Own\n", "LicenseRef-Own"),
        ("# SPDX-License-Identifier: Whatever you like\n", ""),
        ("# SPDX-License-Identifier:\nMIT\n", ""),
        ("# SPDX-License-Identifier: LicenseRef-My_Own\n", ""),
        ("# SPDX-License-Identifier: SSPL\n", ""),
        ("# SPDX-License-Identifier: MIT/ISC\n", ""),
        ("# SPDX-License-Identifier: MIT, ISC\n", ""),
        ("# SPDX-License-Identifier: MIT OR\n#  ISC\n", ""),
        ("# SPDX-License-Identifier: Apache-2.0 LLVM exception\n", ""),
        ("# SPDX-License-Identifier: MIT\n# SPDX-License-Identifier: SSPL\n", ""),
        ("// SPDX-License-Identifier: GPL-2.0-only Copyright ARM, 2019\n", "GPL-2.0-only"),
        ("// SPDX-License-Identifier: MIT (c) 2020 me\n", "MIT"),
        ("/* SPDX-License-Identifier: MIT */ int x;\n", "MIT"),
        ('puts("SPDX-License-Identifier: MIT\\n")\n', "MIT"),
        ("// SPDX-License-Identifier: MIT // see LICENSE\n", "MIT"),
        ("\n" * 5000 + "# SPDX-License-Identifier: MIT\n", None),
        ("import os\n", None),
    ],
)
def test_a_header_counts_if_it_is_an_expression_at_the_top(text: str, licence: str | None) -> None:
    assert spdx_header(text) == licence


@pytest.mark.parametrize(
    "path",
    [
        "LICENSE",
        "licence.txt",
        "src/third/License.md",
        "COPYING",
        "COPYING.LESSER",
        "UNLICENSE",
        "LICENSE-MIT",
        "LICENSE-APACHE-2.0.txt",
        "LICENSE_1_0.txt",
        "MIT-LICENSE.txt",
        "LICENSES/CC0-1.0.txt",
    ],
)
def test_licence_files_are_known_by_name(path: str) -> None:
    assert is_licence_file(path)


@pytest.mark.parametrize(
    "path",
    [
        "license.py",
        "licenses.go",
        "LICENSE.mit.py",
        "copying.c",
        "my_license",
        "LICENSES/README.md",
    ],
)
def test_sources_named_after_licences_are_no_licence_files(path: str) -> None:
    assert not is_licence_file(path)


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        (MIT, "MIT"),
        (MIT.replace("\n", "\n// ").replace('"', "“"), "MIT"),
        (MIT.partition("The above")[0], ""),
        (ISC, "ISC"),
        (ZERO_BSD, "0BSD"),
        (APACHE + MIT, "Apache-2.0 AND MIT"),
        (UNKNOWN, ""),
        (UNKNOWN * 60 + MIT, ""),
        ("", ""),
    ],
)
def test_texts_are_known_by_all_their_phrases(text: str, licence: str) -> None:
    assert licence_of_text(text) == licence


def test_installed_distributions_have_the_licence_that_they_state() -> None:
    compared, agreeing, wrong = 0, 0, []
    for distribution in importlib.metadata.distributions():
        metadata = distribution.metadata
        stated = licences.expression(
            metadata.get("License-Expression") or metadata.get("License") or ""
        )
        texts = [
            file.read_text()
            for file in distribution.files or ()
            if ".dist-info" in str(file) and is_licence_file(str(file))
        ]
        found = [each for each in map(licence_of_text, texts) if each]
        if not stated or len(texts) != 1 or not found:
            continue
        compared += 1
        own = re.split(r" AND ", found[0])[0]
        if own in stated.replace("(", " ").replace(")", " ").split():
            agreeing += 1
        else:
            wrong.append((metadata["Name"], stated, found[0]))
    assert compared >= 40
    assert agreeing / compared >= 0.98, wrong


def test_the_nearest_statement_about_a_file_holds() -> None:
    index = LicenceIndex(
        {"LICENSE": MIT, "deps/zip/COPYING": ISC, "deps/odd/LICENSE.txt": UNKNOWN}, "Apache-2.0"
    )
    assert index.of("a.py", "# SPDX-License-Identifier: Zlib\n") == "Zlib"
    assert index.of("a.py", "# SPDX-License-Identifier: SSPL\n") == ""
    assert index.of("src/a.py", "") == "MIT"
    assert index.of("deps/zip/src/a.c", "") == "ISC"
    assert index.of("deps/odd/a.c", "") == ""
    assert LicenceIndex({"LICENSE": UNKNOWN}, "Apache 2.0").of("src/a.py", "") == "Apache-2.0"
    assert LicenceIndex({}, "Our own terms").of("a.py", "") == "Our own terms"
    assert LicenceIndex({}, "").of("a.py", "") == ""


def test_several_files_of_one_folder_hold_together_unless_the_project_says_or() -> None:
    both = {"LICENSE-MIT": MIT, "LICENSE-APACHE": APACHE}
    assert LicenceIndex(both, "").of("a.rs", "") == "Apache-2.0 AND MIT"
    assert LicenceIndex(both, "MIT OR Apache-2.0").of("a.rs", "") == "MIT OR Apache-2.0"
    assert LicenceIndex({"LICENSES/MIT.txt": MIT}, "").of("src/a.py", "") == "MIT"


@settings(max_examples=40)
@given(
    st.text(max_size=300),
    st.text(alphabet="SPDX-License-Identifier: ()MIT\nANDORWITH+", max_size=200),
)
def test_any_text_and_path_has_an_answer(path: str, text: str) -> None:
    assert isinstance(is_licence_file(path), bool)
    header = "# SPDX-License-Identifier: " + text
    stated = spdx_header(header)
    assert stated == "" or (stated or "?")[0] in string.ascii_letters + "("
    assert licence_of_text(text) == ""
    LicenceIndex({path: text}, text).of(path, header)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 2**20,
        "SPDX-License-Identifier: " + "(" * 190,
        "SPDX-License-Identifier: " * 40_000,
        "SPDX-License-Identifier: " + "MIT AND " * 100_000,
        "\0" * 2**20,
        "permission is hereby granted " * 30_000,
        "\ud800" * 2**20,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    start = time.process_time()
    spdx_header(text)
    licence_of_text(text)
    is_licence_file("LICENSE" + ".mit" * 60 + "!" + text)
    assert time.process_time() - start < 5
