# SPDX-License-Identifier: Apache-2.0
"""What is put before a file of a repository: what it imports, as a document would have it."""

from pathlib import Path

import pytest

from coder.data import dependencies, ordering, tokenizer
from coder.data.languages import PRESETS, Languages
from coder.data.records import Document, DocumentFile
from coder.infer import repository
from coder.infer.place import Place, PlaceError, read_place
from coder.infer.repository import nearest_within, neighbourhood

TOKENIZER = tokenizer.train(["import a\ndef f(x):\n    return x\n" * 3], 340)
FILES = {
    "app/main.py": "from app import views\nfrom app.models import User\n\nprint(views, )\n",
    "app/__init__.py": "VERSION = 'one'\n",
    "app/views.py": "from app.models import User\nfrom app.forms import Form\nx = User\n",
    "app/models.py": "from app.base import Base\n\n\nclass User(Base):\n    pass",
    "app/forms.py": "class Form:\n    pass\n",
    "app/base.py": "class Base:\n    pass\n",
    "app/tests.py": "import app.main\n",
    "other.py": "class Unrelated:\n    pass\n",
    "notes.md": "# Notes on models\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path, FILES)


def write(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(text.encode())
    return root


def at(root: Path, path: str, line: int = 1) -> Place:
    return read_place(f"{root / path}:{line}")


def test_a_file_comes_after_all_that_it_imports_in_dependency_order(root):
    found = neighbourhood(root, at(root, "app/main.py"))
    assert (found.path, found.language) == ("app/main.py", "Python")
    assert [(one.path, one.hops) for one in found.neighbours] == [
        ("app/base.py", 2),
        ("app/forms.py", 2),
        ("app/models.py", 1),
        ("app/views.py", 1),
    ]


def test_the_texts_are_those_of_a_training_document(root):
    """The document that the corpus makes of the file and its neighbours begins with the same."""
    found = neighbourhood(root, at(root, "app/main.py"))
    paths = [one.path for one in found.neighbours] + [found.path]
    texts = {path: FILES[path] for path in paths}
    of = Languages(PRESETS["core"]).of
    edges = dependencies.resolve(texts, {path: of(path, texts[path]) or "" for path in texts}).edges
    files = [
        DocumentFile(path, of(path, texts[path]) or "", "", texts[path], 0)
        for path in ordering.dependency_order(texts, edges)
    ]
    document = Document("r#a", "r", "", "train", "dependency", tuple(files))
    context = "".join(one.text for one in found.neighbours)
    assert document.text() == context + "# app/main.py\n" + FILES["app/main.py"]


def test_the_nearest_are_kept_where_not_all_fit(root):
    neighbours = neighbourhood(root, at(root, "app/main.py")).neighbours
    lengths = {one.path: len(TOKENIZER.encode(one.text)) for one in neighbours}

    def kept(room: int) -> list[str]:
        return [one.path for one in nearest_within(neighbours, TOKENIZER, room)]

    total = sum(lengths.values())
    near = lengths["app/models.py"] + lengths["app/views.py"]
    assert kept(total) == [one.path for one in neighbours]
    assert kept(total - 1) == ["app/base.py", "app/models.py", "app/views.py"]
    assert kept(near) == ["app/models.py", "app/views.py"]
    assert "app/models.py" in kept(near - 1) and "app/views.py" not in kept(near - 1)
    assert kept(0) == kept(-5) == []


def test_files_that_import_each_other_stand_before_the_one_at_hand(tmp_path):
    root = write(tmp_path, {"a.py": "import b\n", "b.py": "import c\n", "c.py": "import a, b\n"})
    found = neighbourhood(root, at(root, "a.py"))
    assert {one.path: one.hops for one in found.neighbours} == {"b.py": 1, "c.py": 2}


def test_a_file_that_is_being_written_is_read_without_its_line(tmp_path):
    root = write(tmp_path, {"a.py": "import b\nx = '''unfinished\nimport c\n", "b.py": "y = 1\n"})
    assert [one.path for one in neighbourhood(root, at(root, "a.py", 2)).neighbours] == ["b.py"]


def test_other_languages_have_their_resolvers(tmp_path):
    root = write(
        tmp_path,
        {
            "src/main.c": '#include "list.h"\nint main(void) { return size(); }\n',
            "src/list.h": "int size(void);\n",
            "src/list.py": "size = 1\n",
        },
    )
    found = neighbourhood(root, at(root, "src/main.c"))
    assert [one.text for one in found.neighbours] == ["// src/list.h\nint size(void);\n"]


def test_a_language_without_a_resolver_has_no_neighbours(root):
    found = neighbourhood(root, at(root, "notes.md"))
    assert (found.language, found.neighbours) == ("Markdown", ())


def test_what_is_no_text_of_the_repository_is_no_neighbour(tmp_path):
    root = write(
        tmp_path,
        {
            "a.py": "import b, c, d, e, f\n",
            "b.py": "#" * (2**20 + 1),
            ".venv/c.py": "z = 1\n",
            "env/pyvenv.cfg": "home = /usr\n",
            "env/d.py": "z = 1\n",
            "real.py": "z = 1\n",
        },
    )
    (root / "c.py").write_bytes(b"x = '\xff'\n")
    (root / "d.py").symlink_to(root / "real.py")
    (root / "e.py").mkdir()
    (root / "f.py").write_bytes(b"x = '\0'\n")
    assert neighbourhood(root, at(root, "a.py")).neighbours == ()


def test_a_place_outside_of_the_repository_is_refused(root, tmp_path_factory):
    with pytest.raises(PlaceError, match="is not in --repository"):
        neighbourhood(tmp_path_factory.mktemp("elsewhere"), at(root, "other.py"))
    with pytest.raises(PlaceError, match="gone: no such folder"):
        neighbourhood(root / "gone", at(root, "other.py"))


def test_a_repository_with_too_much_text_is_refused(root, monkeypatch):
    monkeypatch.setattr(repository, "LARGEST", 100)
    with pytest.raises(PlaceError, match="has over 0 MiB of text: name a folder in it"):
        neighbourhood(root, at(root, "app/main.py"))
