# SPDX-License-Identifier: Apache-2.0
"""What one file needs is the part of the whole graph that can be reached from it."""

from collections.abc import Mapping

import pytest

from coder.data import dependencies
from coder.data.dependencies import Needs
from tests.data.dependencies.repository import LANGUAGE_OF, resolve

FILES = {
    "a.py": "import b, c\n",
    "b.py": "import d\n",
    "c.py": "import d, e\n",
    "d.py": "import b\n",
    "e.py": "x = 1\n",
    "f.py": "import a\n",
    "broken.py": "import e\n'''\n",
    "main.c": '#include "list.h"\n',
    "list.h": "",
    "notes.txt": "import a",
}


def needed_by(path: str, files: Mapping[str, str] = FILES) -> Needs:
    languages = {one: LANGUAGE_OF.get(one.rpartition(".")[2], "Text") for one in files}
    return dependencies.needed_by(path, files, languages)


@pytest.mark.parametrize("path", FILES)
def test_its_edges_are_those_of_the_graph(path: str):
    needs, edges = needed_by(path), resolve(FILES).edges
    assert {one: needed for one, needed in needs.edges.items() if needed} == {
        one: edges[one] for one in needs.hops if one in edges
    }
    assert needs.hops.keys() == {path}.union(*needs.edges.values())


def test_hops_are_those_of_the_shortest_way():
    assert needed_by("a.py").hops == {"a.py": 0, "b.py": 1, "c.py": 1, "d.py": 2, "e.py": 2}
    assert needed_by("main.c").hops == {"main.c": 0, "list.h": 1}


def test_a_file_that_cannot_be_read_has_no_edges_but_is_reached():
    assert needed_by("broken.py") == Needs({"broken.py": 0}, {})
    found = needed_by("x.py", {**FILES, "x.py": "import broken\n"})
    assert found.hops == {"x.py": 0, "broken.py": 1} and "broken.py" not in found.edges


def test_relatives_are_the_languages_of_a_family():
    assert dependencies.relatives("C") >= {"C", "C++"}
    assert dependencies.relatives("Markdown") == frozenset()
