# SPDX-License-Identifier: Apache-2.0
"""Folders of checkouts: what is refused, that nothing is lost, nor followed out of a repository."""

import os
from pathlib import Path

import pytest
from apache_beam.io.localfilesystem import LocalFileSystem

from beam_pipelines.read_repositories import survey
from beam_pipelines.sources import source as sources
from beam_pipelines.sources.folder import LocalFolder
from beam_pipelines.sources.kinds import source_of
from beam_pipelines.sources.local import printable
from beam_pipelines.sources.source import (
    FileBatch,
    FileContent,
    FileReference,
    RepositoryInfo,
    Source,
    SourceError,
    Unit,
    in_batches,
)
from coder.data.records import Reject
from tests.beam_pipelines.sources.memory_files import MemoryFiles


def write(path: Path, content: bytes = b"x = 1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def listed(source: Source) -> tuple[dict[str, list[FileReference]], dict[str, dict[str, str]]]:
    """The files of each repository, and the reasons against others by path."""
    files: dict[str, list[FileReference]] = {}
    reasons: dict[str, dict[str, str]] = {}
    for unit in source.units():
        for found in [unit] if isinstance(unit, Reject) else source.batches(unit):
            if isinstance(found, Reject):
                reasons.setdefault(found.repository, {})[found.path] = found.reason
            else:
                files.setdefault(found.info.name, []).extend(found.files or ())
    return files, reasons


def paths(files: dict[str, list[FileReference]]) -> dict[str, list[str]]:
    return {name: sorted(file.path for file in found) for name, found in files.items()}


def test_each_child_folder_is_a_repository(tmp_path: Path):
    write(tmp_path / "b/z.py")
    write(tmp_path / "b/a/deep.py")
    write(tmp_path / "b/.git/HEAD")
    write(tmp_path / "b/__pycache__/z.pyc")
    write(tmp_path / "a/one.md", b"hello")
    files, reasons = listed(source_of(f"folder:{tmp_path}"))
    assert paths(files) == {"a": ["one.md"], "b": ["a/deep.py", "z.py"]}
    assert files["a"][0].size == 5
    assert not reasons


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
    files, reasons = listed(LocalFolder(str(tmp_path / "source")))
    assert paths(files) == {"repo": ["real.py"]}
    assert reasons["repo"] == {
        "inside.py": "symlink",
        "up": "symlink",
        "outside.py": "symlink_outside",
        "folder": "symlink_outside",
        "broken.py": "symlink_broken",
        "loop.py": "symlink_loop",
    }


def test_absurd_names_and_devices_are_refused_with_a_printable_path(tmp_path: Path):
    write(tmp_path / "repo/new\nline.py")
    write(tmp_path / os.fsdecode(b"repo/latin-\xe9.py"))
    write(tmp_path / "repo/ü ok.py")
    os.mkfifo(tmp_path / "repo/pipe.py")
    files, reasons = listed(LocalFolder(str(tmp_path)))
    assert paths(files) == {"repo": ["ü ok.py"]}
    assert {path[:20]: reason for path, reason in reasons["repo"].items()} == {
        "new\\nline.py": "path",
        "latin-\\udce9.py": "path",
        "pipe.py": "not_a_file",
    }


def test_loose_files_and_links_are_counted_and_no_repositories(tmp_path: Path):
    write(tmp_path / "repo/a.py")
    write(tmp_path / "README.md")
    write(tmp_path / "bad\nname/a.py")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "linked").symlink_to(tmp_path / "repo")
    (tmp_path / "out").symlink_to("/etc")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "file").symlink_to("README.md")
    files, reasons = listed(LocalFolder(str(tmp_path)))
    assert reasons[""] == {
        "README.md": "outside_repositories",
        "bad\\nname": "path",
        "loop": "symlink_loop",
        "linked": "symlink",
        "out": "symlink_outside",
        "broken": "symlink_broken",
        "file": "symlink",
    }
    assert paths(files) == {"repo": ["a.py"]}


def test_a_folder_of_links_alone_has_no_repository(tmp_path: Path):
    (tmp_path / "out").symlink_to("/etc")
    with pytest.raises(SourceError, match="no child folder"):
        survey(LocalFolder(str(tmp_path)))


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("folder:{}/nowhere", "No such file or directory"),
        ("folder:{}/file", "Not a directory"),
        ("folder:{}/empty", "no child folder"),
        ("folder:test://nowhere", "no child folder"),
        ("folder:", "use installed, folder:DIR"),
        ("instaled", "use installed, folder:DIR"),
        ("installed:x", "use installed, folder:DIR"),
    ],
)
def test_unusable_sources_are_explained(tmp_path: Path, spelling: str, message: str):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "file")
    with pytest.raises(SourceError, match=message):
        survey(source_of(spelling.format(tmp_path)))


def read(folder: Path, path: str, limit: int = 100) -> FileContent | Reject:
    info = RepositoryInfo("repo", "", "", str(folder))
    (found,) = LocalFolder(str(folder)).read(FileBatch(info, (FileReference(path, 1),)), limit)
    return found


def test_a_file_that_vanishes_or_turns_into_a_link_is_a_reject(tmp_path: Path):
    (tmp_path / "link.py").symlink_to(write(tmp_path / "a.py"))
    os.mkfifo(tmp_path / "pipe.py")
    assert read(tmp_path, "a.py") == FileContent("a.py", b"x = 1\n")
    for path, reason in (
        ("gone.py", "unreadable"),
        ("link.py", "unreadable"),
        ("pipe.py", "not_a_file"),
    ):
        found = read(tmp_path, path)
        assert isinstance(found, Reject)
        assert (found.path, found.reason) == (path, reason)


def test_no_more_than_the_limit_is_read(tmp_path: Path):
    with open(tmp_path / "huge.py", "wb") as file:
        file.truncate(1 << 40)
    assert read(tmp_path, "huge.py", limit=8) == FileContent("huge.py", b"\0" * 8)


def test_a_folder_that_turns_into_a_link_is_not_followed(tmp_path: Path):
    write(tmp_path / "secret/a.py")
    write(tmp_path / "repo/real/a.py")
    (tmp_path / "repo/link").symlink_to(tmp_path / "secret")
    assert read(tmp_path / "repo", "real/a.py") == FileContent("real/a.py", b"x = 1\n")
    found = read(tmp_path / "repo", "link/a.py")
    assert isinstance(found, Reject)
    assert (found.path, found.reason) == ("link/a.py", "symlink_outside")


def test_a_local_folder_may_have_a_colon_in_its_name(tmp_path: Path, monkeypatch):
    write(tmp_path / "a:b/repo/x.py")
    (tmp_path / "a:b/repo/link.py").symlink_to(write(tmp_path / "secret.py"))
    monkeypatch.chdir(tmp_path)
    files, reasons = listed(source_of("folder:a:b"))
    assert paths(files) == {"repo": ["x.py"]}
    assert reasons == {"repo": {"link.py": "symlink_outside"}}


def test_batches_hold_every_file_once_and_balance_giants():
    sizes = [3_000_000, 10, 10, 1_500_000, 1_500_000, *[1] * 600]
    files = tuple(FileReference(f"{number:04}.py", size) for number, size in enumerate(sizes))
    refused = Reject("r", "x", "path", "")
    info = RepositoryInfo("r", "", "", "/")
    first, second, *others = in_batches(info, [*files[:1], refused, *files[1:]])
    assert {type(first), type(second)} == {Reject, FileBatch}
    cut = [batch for batch in (first, second, *others) if isinstance(batch, FileBatch)]
    assert [file for batch in cut for file in batch.files or ()] == list(files)
    assert cut[0] == FileBatch(info, files[:1])
    assert max(len(batch.files or ()) for batch in cut) == sources.BATCH_FILES


def test_the_survey_follows_the_files(tmp_path: Path):
    file = write(tmp_path / "repo/a.py")
    source = LocalFolder(str(tmp_path))
    before = survey(source)
    assert survey(source) == before
    os.utime(file, (1, 1))
    touched = survey(source)
    write(tmp_path / "repo/b.py", b"1234")
    last = survey(source)
    assert len({before.digest, touched.digest, last.digest}) == 3
    assert (before.bytes, touched.bytes, last.bytes) == (6, 6, 10)


def test_printable_leaves_text_alone():
    assert printable("a b ü 漢字.py") == "a b ü 漢字.py"
    assert printable("a\nb\u2028\x7f\udc80") == "a\\nb\\u2028\\x7f\\udc80"


class Elsewhere(LocalFileSystem):
    """A file system whose `test:` addresses stand for local paths."""

    @classmethod
    def scheme(cls):
        return "test"

    def exists(self, path):
        return super().exists(path.removeprefix("test:"))

    def _list(self, dir_or_prefix):
        for metadata in super()._list(dir_or_prefix.removeprefix("test:")):
            metadata.path = "test:" + metadata.path
            yield metadata

    def open(self, path, *arguments, **named):
        return super().open(path.removeprefix("test:"), *arguments, **named)


def test_a_folder_in_another_file_system_gives_the_same(tmp_path: Path):
    write(tmp_path / "b/z.py")
    write(tmp_path / "b/[a]*/deep.py", b"deep")
    write(tmp_path / "b/.git/HEAD")
    write(tmp_path / "[b]/x.py")
    write(tmp_path / "loose.md")
    there, here = source_of(f"folder:test:/{tmp_path}"), LocalFolder(str(tmp_path))
    assert paths(listed(there)[0]) == paths(listed(here)[0])
    assert listed(there)[1] == listed(here)[1]
    assert survey(there).bytes > 0
    units = [unit for unit in there.units() if isinstance(unit, Unit)]
    (batch,) = [batch for unit in units[1:] for batch in there.batches(unit)]
    assert isinstance(batch, FileBatch)
    assert [*there.read(batch, 2)] == [
        FileContent("[a]*/deep.py", b"de"),
        FileContent("z.py", b"x "),
    ]


def test_objects_whose_names_are_no_paths_are_rejects(monkeypatch):
    names = ["repo/ok.py", "repo//x.py", "repo/../y.py", "repo/new\nline.py", "repo/a\\b.py"]
    names += ["repo/C:/z.py", "bad\nname/a.py", "bad\nname/b.py", "../a.py", "/z.py", "loose\n"]
    names += ["repo/full/", ".git/HEAD", "repo/.git/HEAD"]
    objects = {f"memory://in/{name}": b"x = 1\n" for name in names}
    folders = {f"memory://in/{name}": b"" for name in ("", "repo/", "repo/folder/", "empty/")}
    monkeypatch.setattr(MemoryFiles, "FILES", objects | folders)
    files, reasons = listed(source_of("folder:memory://in"))
    assert paths(files) == {"repo": ["ok.py"]}
    assert reasons == {
        "": {
            "bad\\nname/a.py": "path",
            "bad\\nname/b.py": "path",
            "../a.py": "path_outside",
            "/z.py": "path",
            "loose\\n": "outside_repositories",
        },
        "repo": {
            "/x.py": "path_outside",
            "../y.py": "path_outside",
            "new\\nline.py": "path",
            "a\\b.py": "path",
            "C:/z.py": "path_outside",
            "full/": "path",
        },
    }
