# SPDX-License-Identifier: Apache-2.0
"""Archives: what is read, under which paths; that nothing is lost, and nothing hostile gets far."""

import gzip
import io
import os
import pickle
import tarfile
import zipfile
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pipelines.sources.archive import ArchiveSource
from beam_pipelines.sources.source import (
    FileBatch,
    FileContent,
    FileReference,
    RepositoryInfo,
    SourceError,
    Unit,
)
from coder.data.records import Reject
from tests.beam_pipelines.sources import archives
from tests.beam_pipelines.sources.archives import (
    FILES,
    FORMATS,
    contents,
    details,
    read,
    reasons,
    write,
)
from tests.beam_pipelines.sources.memory_files import MemoryFiles

READ = {"setup.py": FILES[1][1], "pkg/ü.py": FILES[3][1], "pkg/empty.py": b""}

EMPTY_ZIP = archives.zipped([])

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_gives_its_files_below_the_root_folder(tmp_path: Path, ending: str):
    found = read(write(tmp_path / f"pkg-1.0.{ending}", FORMATS[ending](FILES)))
    assert contents(found) == READ
    assert not reasons(found)


@pytest.mark.parametrize("ending", FORMATS)
def test_what_a_file_is_its_bytes_say_not_its_name(tmp_path: Path, ending: str):
    found = read(write(tmp_path / "pkg-1.0.txt", FORMATS[ending](FILES)))
    assert contents(found) == READ


@pytest.mark.parametrize(
    ("file", "names", "pax", "expected"),
    [
        ("repo.tar", ["repo-main/a.py", "repo-main/b/c.py"], None, ["a.py", "b/c.py"]),
        ("main.tar", ["repo-main/", "repo-main/a.py"], None, ["a.py"]),
        ("left-pad-1.3.0.tgz", ["package/index.js"], None, ["index.js"]),
        ("ruamel.yaml-0.18.tar", ["./ruamel_yaml-0.18/x.py"], None, ["x.py"]),
        ("v1.2.tar", ["repo-1.2/x.py"], None, ["x.py"]),
        ("12345.tar", ["o-r-0123456/", "o-r-0123456/x.py"], {"comment": COMMIT}, ["x.py"]),
        ("12345.tar", [".ci/", ".ci/x.py", "y.py"], {"comment": COMMIT}, [".ci/x.py", "y.py"]),
        ("all.tar", ["src/a.py", "tests/a.py"], None, ["src/a.py", "tests/a.py"]),
        ("a.tar", ["data/a.py"], None, ["data/a.py"]),
        ("pkg.tar", ["pkg/a.py", "b.py"], None, ["a.py", "b.py"]),
        ("flat.tar", ["a.py", "flat/a.py"], None, ["a.py", "flat/a.py"]),
        ("any.zip", ["top/", "top/a.py", "top/b.py"], None, ["a.py", "b.py"]),
        ("any.zip", ["src/a.py", "tests/b.py"], None, ["src/a.py", "tests/b.py"]),
        ("any.zip", ["any/a.py", "setup.py"], None, ["any/a.py", "setup.py"]),
        ("any-1-py3-none-any.whl", ["any/a.py"], None, ["any/a.py"]),
    ],
)
def test_the_root_folder_is_taken_off(tmp_path: Path, file, names, pax, expected):
    files = [(name, b"" if name.endswith("/") else b"x") for name in names]
    is_tar = file.endswith(("tar", "tgz"))
    content = archives.tar(files, pax=pax, format=tarfile.PAX_FORMAT if pax else 1)
    found = read(write(tmp_path / file, content if is_tar else archives.zipped(files)))
    assert sorted(contents(found)) == expected
    assert not reasons(found)


def test_the_commit_of_git_archive_is_the_revision(tmp_path: Path):
    files = [("r-main/a.py", b"x")]
    write(tmp_path / "r.tar.gz", archives.tar(files, "w:gz", {"comment": COMMIT}))
    noted = io.BytesIO(archives.zipped(files))
    with zipfile.ZipFile(noted, "a") as archive:
        archive.comment = COMMIT.encode()
    write(tmp_path / "s.zip", noted.getvalue())
    write(tmp_path / "t.tar", archives.tar(files, pax={"comment": "made by hand"}))
    source = ArchiveSource(f"{tmp_path}/*")
    units = [unit for unit in source.units() if isinstance(unit, Unit)]
    batches = [batch for unit in units for batch in source.batches(unit)]
    revisions = {b.info.name: b.info.revision for b in batches if isinstance(b, FileBatch)}
    assert revisions == {"r": COMMIT, "s": COMMIT, "t": ""}


def test_of_entries_with_the_same_path_the_first_is_kept(tmp_path: Path):
    files = [("x/1.py", b"1"), ("x/./1.py", b"2"), ("x//1.py", b"3"), ("y", b"4")]
    for name, pack in (("a.tar", archives.tar), ("a.zip", archives.zipped)):
        found = read(write(tmp_path / name, pack(files)))
        assert contents(found) == {"x/1.py": b"1", "y": b"4"}
        assert [f.reason for f in found if isinstance(f, Reject)] == ["duplicate_path"] * 2


def test_archives_in_archives_are_files(tmp_path: Path):
    inner = archives.zipped([("a.py", b"1")])
    found = read(write(tmp_path / "x.tar", archives.tar([("i/inner.zip", inner)])))
    assert contents(found) == {"i/inner.zip": inner}


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"#!/bin/sh\n" * 400, gzip.compress(b"text" * 999)],
    ids=["empty", "letter", "script", "gzip of text"],
)
def test_what_is_no_archive_is_one_reject(tmp_path: Path, content: bytes):
    found = read(write(tmp_path / "x.tar.gz", content))
    assert reasons(found) == {"x.tar.gz": "unreadable"}
    assert "neither a zip nor a tar archive" in details(found)


@pytest.mark.parametrize(
    "content",
    [
        bytes(10240),
        archives.zipped([]),
        archives.zipped([("folder/", b"")]),
        bytes(1000) + EMPTY_ZIP,
    ],
    ids=["tar", "zip", "zip with a folder", "zip behind zeros"],
)
def test_an_archive_without_files_is_one_reject(tmp_path: Path, content: bytes):
    found = read(write(tmp_path / "x.tar", content))
    assert (reasons(found), details(found)) == ({"x.tar": "unreadable"}, "no file in it")


def test_a_directory_that_is_shorter_than_it_says_is_told(tmp_path: Path):
    content = bytearray(archives.zipped([("a", b"1"), ("b", b"2")]))
    content[-12] += 1
    found = read(write(tmp_path / "x.zip", bytes(content)))
    assert len(contents(found)) == 2
    assert "2 entries instead of" in details(found)


def test_what_comes_before_a_damaged_entry_of_a_directory_stays(tmp_path: Path):
    content = archives.zipped([("a", b"1"), ("b", b"2"), ("c", b"3")])
    second = content.index(b"PK\1\2", content.index(b"PK\1\2") + 1)
    found = read(write(tmp_path / "x.zip", content[:second] + b"XX" + content[second + 2 :]))
    assert (contents(found), details(found)) == ({"a": b"1"}, "its directory is damaged at entry 2")


def test_a_file_that_has_gone_or_blocks_is_a_reject(tmp_path: Path):
    source = ArchiveSource(str(write(tmp_path / "x.tar", archives.tar(FILES))))
    (unit,) = source.units()
    assert isinstance(unit, Unit)
    os.remove(tmp_path / "x.tar")
    os.mkfifo(tmp_path / "x.tar")
    (batch,) = source.batches(unit)
    assert isinstance(batch, FileBatch)
    assert reasons(source.read(batch, 9)) == {"x.tar": "unreadable"}
    os.remove(tmp_path / "x.tar")
    assert "No such file" in details(list(source.read(batch, 9)))


def test_no_more_than_the_limit_is_given_of_a_file(tmp_path: Path):
    files = [("d/long.py", b"0123456789" * 1000), ("d/short.py", b"0123"), ("e", b"01234")]
    for name, pack in FORMATS.items():
        found = read(write(tmp_path / f"x.{name}", pack(files)), limit=5)
        assert contents(found) == {"d/long.py": b"01234", "d/short.py": b"0123", "e": b"01234"}


def test_encrypted_and_unknown_members_are_rejects_and_the_others_stay(tmp_path: Path):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr(archives.zip_info("d/lzma", zipfile.ZIP_LZMA), "x")
        archive.writestr(archives.zip_info("d/secret"), "x")
        archive.writestr(archives.zip_info("e"), "x")
    content = bytearray(written.getvalue())
    place = content.index(b"PK\1\2", content.index(b"PK\1\2") + 1)
    content[place + 8] |= 1
    found = read(write(tmp_path / "x.zip", bytes(content)))
    assert reasons(found) == {"d/lzma": "compression", "d/secret": "encrypted"}
    assert contents(found) == {"e": b"x"}


def test_a_wrong_check_sum_costs_one_member_of_a_zip_archive(tmp_path: Path):
    content = archives.zipped([("d/a", b"aaaa"), ("d/b", b"bbbb"), ("e", b"cccc")], 0)
    found = read(write(tmp_path / "x.zip", content.replace(b"bbbb", b"bBbb")))
    assert contents(found) == {"d/a": b"aaaa", "e": b"cccc"}
    assert (reasons(found), details(found)) == ({"d/b": "unreadable"}, "wrong check sum")


@pytest.mark.parametrize("ending", ["tar.gz", "tar.bz2", "tar.xz"])
def test_a_wrong_check_sum_at_the_end_is_told(tmp_path: Path, ending: str):
    content = bytearray(FORMATS[ending](FILES))
    content[-20 if ending == "tar.xz" else -5] ^= 0xFF
    found = read(write(tmp_path / f"pkg.{ending}", bytes(content)))
    assert reasons(found)[f"pkg.{ending}"] == "unreadable"


@given(cut=st.integers(0, 10**6), ending=st.sampled_from(sorted(FORMATS)))
@settings(deadline=None, max_examples=60)
def test_what_comes_before_a_cut_stays(tmp_path_factory, cut: int, ending: str):
    files = [(f"x/{n}", os.urandom(300)) for n in range(9)]
    whole = FORMATS[ending](files)
    path = tmp_path_factory.mktemp("cut") / "x.dat"
    found = read(write(path, whole[: cut % len(whole)]))
    kept = contents(found)
    expected = {name.removeprefix("x/"): content for name, content in files}
    assert kept.items() <= expected.items()
    assert list(kept) == list(expected)[: len(kept)]
    lost = reasons(found)
    tail_only = ending == "tar" and cut % len(whole) >= 9 * 1024 + 512
    zst_tail = ending == "tar.zst" and len(kept) == 9
    assert tail_only or zst_tail or lost.pop("x.dat") == "unreadable"
    assert len(lost) <= 1


NAMES = st.text(alphabet="ab/.ü", min_size=1, max_size=8)
MEMBERS = st.lists(st.tuples(NAMES, st.binary(max_size=600)), max_size=8)


@given(members=MEMBERS, ending=st.sampled_from(sorted(FORMATS)), format=st.integers(0, 2))
@settings(deadline=None, max_examples=120)
def test_every_member_is_once_a_file_or_a_reject(tmp_path_factory, members, ending, format):
    members = [(name, content) for name, content in members if not name.endswith("/")]
    pack = FORMATS[ending]
    if ending == "tar":
        pack = partial(archives.tar, format=format)
    path = write(tmp_path_factory.mktemp("any") / "zzz.whl", pack(members))
    found = read(path)
    if not members:
        found = [result for result in found if result.path != path.name]
    assert len(found) == len(members)
    by_path = {}
    for (name, content), result in zip(members, found, strict=True):
        parts = [part for part in name.split("/") if part not in ("", ".")]
        clean = "/".join(parts)
        if name.startswith("/") or ".." in parts or not clean:
            assert isinstance(result, Reject)
        elif clean in by_path:
            assert isinstance(result, Reject)
            assert result.reason == "duplicate_path"
        else:
            by_path[clean] = content
            assert result == FileContent(clean, content)


def test_some_files_of_an_archive_are_read_again(tmp_path: Path):
    path = write(tmp_path / "pkg-1.0.tar.gz", archives.tar([*FILES, FILES[1]], "w:gz"))
    info = RepositoryInfo("pkg-1.0", "", "", str(path))
    files = tuple(FileReference(name, 0) for name in ("setup.py", "pkg/ü.py", "gone.py"))
    found = list(ArchiveSource(str(path)).read(FileBatch(info, files), 9))
    assert contents(found) == {"setup.py": READ["setup.py"][:9], "pkg/ü.py": READ["pkg/ü.py"][:9]}
    assert reasons(found) == {"gone.py": "unreadable"}


def test_names_come_from_the_pattern_and_are_unique(tmp_path: Path):
    for name in ("a/x.tar.gz", "a/y.zip", "b/x.tar.gz", "b/x.zip", "b/.zip", "b/x\ny.zip"):
        write(tmp_path / name, b"")
    units = list(ArchiveSource(f"{tmp_path}/**").units())
    names = [unit.name for unit in units if isinstance(unit, Unit)]
    assert names == ["a/x", "a/y", "b/.zip", "b/x.tar.gz", "b/x.zip"]
    wrong = Reject("", "b/x\\ny.zip", "path", "unprintable name of an archive")
    assert [unit for unit in units if isinstance(unit, Reject)] == [wrong]


def test_links_that_lead_nowhere_are_counted(tmp_path: Path):
    write(tmp_path / "a.tar", archives.tar(FILES))
    (tmp_path / "inner").mkdir()
    for link, target in [("b.tar", "nowhere"), ("c.tar", "c.tar"), ("d.tar", "a.tar")]:
        (tmp_path / link).symlink_to(target)
    (tmp_path / "other.zip").symlink_to("nowhere")
    (tmp_path / "inner/e.tar").symlink_to("nowhere")
    for stars, deeper in [("*", {}), ("**", {"inner/e.tar": "symlink_broken"})]:
        found = list(ArchiveSource(f"{tmp_path}/{stars}.tar").units())
        assert {unit.name for unit in found if isinstance(unit, Unit)} == {"a", "d"}
        assert {reject.path: reject.reason for reject in found if isinstance(reject, Reject)} == {
            "b.tar": "symlink_broken",
            "c.tar": "symlink_loop",
        } | deeper


def test_other_file_systems_of_beam_are_read_alike(monkeypatch):
    content = archives.tar(FILES, "w:gz")
    files = {"memory://bucket/o/pkg-1.0.tar.gz": content, "memory://bucket/p/q.zip": b"x"}
    monkeypatch.setattr(MemoryFiles, "FILES", files)
    source = pickle.loads(pickle.dumps(ArchiveSource("memory://bucket/*/*")))
    first, second = source.units()
    assert (first.name, second.name) == ("o/pkg-1.0", "p/q")
    (state,) = source.state(first)
    assert state == ("memory://bucket/o/pkg-1.0.tar.gz", len(content), "7.0")
    (batch,) = source.batches(first)
    assert contents(source.read(batch, 1 << 20)) == READ
    monkeypatch.setattr(MemoryFiles, "SEEKS", False)
    assert "cannot seek" in details(list(source.read(batch, 9)))


def test_the_state_follows_size_and_time(tmp_path: Path):
    path = write(tmp_path / "x.zip", b"1")
    source = ArchiveSource(str(path))

    def state():
        return [list(source.state(unit)) for unit in source.units() if isinstance(unit, Unit)]

    before = state()
    os.utime(path, (1, 1))
    touched = state()
    write(path, b"12")
    assert len({repr(value) for value in (before, touched, state())}) == 3


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "name the files"),
        ("{}/*.zip", "no file matches"),
        ("{}", "is a folder; name its files"),
        ("nowhere://x/*", "cannot be listed"),
    ],
)
def test_unusable_patterns_are_explained(tmp_path: Path, pattern: str, message: str):
    with pytest.raises(SourceError, match=message):
        list(ArchiveSource(pattern.format(tmp_path)).units())
