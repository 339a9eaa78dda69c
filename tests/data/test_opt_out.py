# SPDX-License-Identifier: Apache-2.0
"""The opt-out list: what a line covers, what is no line, and how long a look-up takes."""

import fnmatch
import pickle
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder.data.opt_out import OptOut, OptOutError

NAMES = st.text(alphabet="ab/.x", min_size=1, max_size=8)


def read(tmp_path: Path, text: str) -> OptOut:
    path = tmp_path / "opt_out.txt"
    path.write_text(text, encoding="utf-8")
    return OptOut.read(path)


@pytest.mark.parametrize(
    ("line", "repository", "path", "covered"),
    [
        ("octocat/hello", "octocat/hello", "src/a.py", True),
        ("octocat/hello", "OctoCat/Hello", "src/a.py", True),
        ("octocat/hello", "octocat/hello2", "src/a.py", False),
        ("requests", "requests", "a.py", True),
        ("octocat/*", "octocat/anything", "a.py", True),
        ("octocat/*", "octocat2/anything", "a.py", False),
        ("octocat/*", "octocat", "a.py", False),
        ("*/secrets", "somebody/secrets", "a.py", True),
        ("*/dot*files", "a/dotmyfiles", "a.py", True),
        ("*/dot*files", "a/dotmyfiles2", "a.py", False),
        ("octocat/notes drafts/*.md", "octocat/notes", "drafts/deep/a.md", True),
        ("octocat/notes drafts/*.md", "octocat/notes", "Drafts/a.md", False),
        ("octocat/notes drafts/*.md", "octocat/notes", "drafts/a.py", False),
        ("octocat/notes drafts", "octocat/notes", "drafts/a.py", True),
        ("octocat/notes drafts/", "octocat/notes", "drafts/a.py", True),
        ("octocat/notes drafts", "octocat/notes", "drafts2/a.py", False),
        ("octocat/* *.key", "octocat/b", "deep/my.key", True),
        ("octocat/* *.key", "octocat/b", "deep/my.py", False),
        ("my?repo  # with a space", "my repo", "a.py", True),
        ("octocat/c#", "octocat/c#", "a.py", True),
        ("# octocat/hello", "octocat/hello", "a.py", False),
    ],
)
def test_a_line_covers_what_it_names(
    line: str, repository: str, path: str, covered: bool, tmp_path: Path
) -> None:
    listed = read(tmp_path, f"# a list\n\n{line}\nsome/thing\n")
    assert listed.covers(repository, path) is covered
    assert pickle.loads(pickle.dumps(listed)).covers(repository, path) is covered


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("https://forge.example/octocat/hello", "as the source names it"),
        ("octocat/hello a.py b.py", "at most one pattern"),
        ("octocat\\hello", "separated by /"),
        ("octocat/hello /etc/*", "must be relative"),
        ("octocat/hello ../*", "must be relative"),
        ("*", "covers every repository"),
        ("*/*", "covers every repository"),
    ],
)
def test_a_bad_line_is_named(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(OptOutError, match=f"opt_out.txt, line 3: .*{message}"):
        read(tmp_path, f"# a list\nsome/thing\n{line}\n")


def test_a_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptOutError, match="nowhere.txt: No such file"):
        OptOut.read(tmp_path / "nowhere.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(OptOutError, match="latin.txt: not UTF-8 at byte 3"):
        OptOut.read(tmp_path / "latin.txt")


def test_the_digest_follows_what_is_covered_only(tmp_path: Path) -> None:
    first = read(tmp_path, "a/b\nc/d *.py\n").digest
    assert read(tmp_path, "# note\nC/d *.py\na/b\na/b # again\n").digest == first
    assert read(tmp_path, "a/b\nc/d *.pyi\n").digest != first
    assert OptOut().digest == read(tmp_path, "# nothing\n").digest
    assert not OptOut().covers("a/b", "c")


@given(st.text(alphabet="ab/*?.x", min_size=1, max_size=8), NAMES)
def test_path_patterns_mean_what_fnmatch_means_and_all_below(
    tmp_path_factory: pytest.TempPathFactory, glob: str, path: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        listed = read(folder, f"some/thing {glob}\n")
    except OptOutError:
        return
    parents = [path[:end] for end in range(len(path) + 1) if path[end:] == "" or path[end] == "/"]
    expected = any(fnmatch.fnmatchcase(parent, glob.rstrip("/")) for parent in parents)
    assert listed.covers("some/thing", path) is expected


def test_look_ups_stay_fast_in_a_long_list_and_on_hostile_patterns(tmp_path: Path) -> None:
    lines = [f"owner{n}/name{n}" for n in range(50_000)] + [f"owner{n}/*" for n in range(10_000)]
    listed = read(tmp_path, "\n".join([*lines, "a/b " + "*a" * 100 + "b"]))
    assert listed.covers("owner49999/name49999", "a.py")
    start = time.process_time()
    for number in range(10_000):
        assert listed.covers(f"owner{number}/other", "a.py")
        assert not listed.covers(f"nobody{number}/other", "a.py")
    assert not listed.covers("a/b", "a" * 500)
    assert time.process_time() - start < 5
