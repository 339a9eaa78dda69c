# SPDX-License-Identifier: Apache-2.0
"""Sources and files: what is refused, that nothing is lost, nor followed out of a repository."""

import os
from pathlib import Path

import pytest

from beam_pipelines import read_repositories
from beam_pipelines.read_repositories import (
    FileBatch,
    FileReference,
    Repository,
    RepositoryInfo,
    SourceError,
    batches,
    input_digest,
    list_folder,
    list_installed,
    list_repositories,
    printable,
    read_file,
)
from coder.data.records import Reject


def write(path: Path, content: bytes = b"x = 1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def reasons(repository: Repository) -> dict[str, str]:
    return {reject.path: reject.reason for reject in repository.rejects}


def test_each_child_folder_is_a_repository_with_sorted_files(tmp_path: Path):
    write(tmp_path / "b/z.py")
    write(tmp_path / "b/a/deep.py")
    write(tmp_path / "b/.git/HEAD")
    write(tmp_path / "b/__pycache__/z.pyc")
    write(tmp_path / "a/one.md", b"hello")
    first, second = list_repositories(f"folder:{tmp_path}")
    assert (first.info.name, [file.path for file in first.files]) == ("a", ["one.md"])
    assert (second.info.name, [file.path for file in second.files]) == ("b", ["a/deep.py", "z.py"])
    assert first.files[0].size == 5


def test_links_are_refused_and_never_followed(tmp_path: Path):
    write(tmp_path / "secret.txt")
    repository = tmp_path / "source/repo"
    write(repository / "real.py")
    (repository / "inside.py").symlink_to("real.py")
    (repository / "outside.py").symlink_to(tmp_path / "secret.txt")
    (repository / "folder").symlink_to(tmp_path)
    (repository / "broken.py").symlink_to("nowhere.py")
    (repository / "loop.py").symlink_to("loop.py")
    (repository / "up").symlink_to(repository)
    (listed,) = list_folder(tmp_path / "source")
    assert [file.path for file in listed.files] == ["real.py"]
    assert reasons(listed) == {
        "inside.py": "symlink",
        "up": "symlink",
        "outside.py": "symlink_outside",
        "folder": "symlink_outside",
        "broken.py": "symlink_broken",
        "loop.py": "symlink_loop",
    }


def test_absurd_names_are_refused_with_a_printable_path(tmp_path: Path):
    write(tmp_path / "repo/new\nline.py")
    write(tmp_path / os.fsdecode(b"repo/latin-\xe9.py"))
    write(tmp_path / "repo/ü ok.py")
    (listed,) = list_folder(tmp_path)
    assert [file.path for file in listed.files] == ["ü ok.py"]
    bad = {reject.path[:20]: reject.reason for reject in listed.rejects}
    assert bad == {"new\\nline.py": "path", "latin-\\udce9.py": "path"}


def test_devices_are_refused_and_vendored_trees_too(tmp_path: Path):
    os.makedirs(tmp_path / "repo")
    os.mkfifo(tmp_path / "repo/pipe.py")
    write(tmp_path / "repo/pkg/_vendor/other.py")
    write(tmp_path / "repo/pkg/vendor.py")
    (listed,) = list_folder(tmp_path)
    assert reasons(listed) == {"pipe.py": "not_a_file", "pkg/_vendor/other.py": "vendored"}
    assert [file.path for file in listed.files] == ["pkg/vendor.py"]


def test_loose_files_are_counted(tmp_path: Path):
    write(tmp_path / "repo/a.py")
    write(tmp_path / "README.md")
    write(tmp_path / "bad\nname/a.py")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "linked").symlink_to(tmp_path / "repo")
    loose, linked, listed = list_folder(tmp_path)
    assert reasons(loose) == {
        "README.md": "outside_repositories",
        "bad\\nname": "path",
        "loop": "outside_repositories",
    }
    assert [file.path for file in linked.files] == [file.path for file in listed.files] == ["a.py"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("folder:{}/nowhere", "No such file or directory"),
        ("folder:{}/file", "Not a directory"),
        ("folder:{}/empty", "no child folder"),
        ("folder:", "use installed, or folder:DIR"),
        ("instaled", "use installed, or folder:DIR"),
    ],
)
def test_unusable_sources_are_explained(tmp_path: Path, source: str, message: str):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "file")
    with pytest.raises(SourceError, match=message):
        list_repositories(source.format(tmp_path))


def test_installed_reads_the_lock(tmp_path: Path):
    lock = tmp_path / "requirements.txt"
    lock.write_text(
        "# made by hand\npackaging>=20 \\\n    --hash=sha256:00\n    # via nothing\n"
        "pytest\nnot-there==1 ; sys_platform == 'plan9'\n"
    )
    first, second = list_installed(lock)
    assert (first.info.name, second.info.name) == ("packaging", "pytest")
    paths = [file.path for file in first.files]
    assert "packaging/version.py" in paths
    assert not [path for path in paths if "__pycache__" in path or "dist-info" in path]
    assert first.info.licence
    content = read_file(first.info, "packaging/version.py")
    assert isinstance(content, bytes)
    assert b"class Version" in content


def test_installed_names_all_that_is_missing(tmp_path: Path):
    lock = tmp_path / "requirements.txt"
    lock.write_text("not-there==1\npackaging==0.1\n")
    with pytest.raises(
        SourceError, match=r"not-there==1 \(missing\), packaging==0.1 \(installed: "
    ):
        list_installed(lock)


def test_a_file_that_vanishes_or_turns_into_a_link_is_a_reject(tmp_path: Path):
    info = RepositoryInfo("repo", "", "", str(tmp_path))
    (tmp_path / "link.py").symlink_to(write(tmp_path / "a.py"))
    os.mkfifo(tmp_path / "pipe.py")
    for path, reason in (
        ("gone.py", "unreadable"),
        ("link.py", "unreadable"),
        ("pipe.py", "not_a_file"),
    ):
        read = read_file(info, path)
        assert isinstance(read, Reject)
        assert (read.path, read.reason) == (path, reason)


def test_no_more_than_the_limit_is_read(tmp_path: Path):
    with open(tmp_path / "huge.py", "wb") as file:
        file.truncate(1 << 40)
    assert read_file(RepositoryInfo("repo", "", "", str(tmp_path)), "huge.py", limit=8) == b"\0" * 8


def test_batches_hold_every_file_once_and_balance_giants():
    sizes = [3_000_000, 10, 10, 1_500_000, 1_500_000, *[1] * 600]
    files = tuple(FileReference(f"{number:04}.py", size) for number, size in enumerate(sizes))
    repository = Repository(RepositoryInfo("r", "", "", "/"), files)
    cut = list(batches(repository))
    assert [file for batch in cut for file in batch.files] == list(files)
    assert cut[0] == FileBatch(repository.info, files[:1])
    assert max(len(batch.files) for batch in cut) == read_repositories.BATCH_FILES


def test_the_input_digest_follows_the_files(tmp_path: Path):
    file = write(tmp_path / "repo/a.py")
    before = input_digest(list_folder(tmp_path))
    assert input_digest(list_folder(tmp_path)) == before
    os.utime(file, (1, 1))
    touched = input_digest(list_folder(tmp_path))
    write(tmp_path / "repo/b.py")
    assert len({before, touched, input_digest(list_folder(tmp_path))}) == 3


def test_printable_leaves_text_alone():
    assert printable("a b ü 漢字.py") == "a b ü 漢字.py"
    assert printable("a\nb\u2028\x7f\udc80") == "a\\nb\\u2028\\x7f\\udc80"
