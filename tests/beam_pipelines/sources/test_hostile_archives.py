# SPDX-License-Identifier: Apache-2.0
"""Hostile archives end as rejects, in bounded time and memory, and what is honest in them stays."""

import gzip
import io
import os
import stat
import subprocess
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pipelines.sources import zip_members
from beam_pipelines.sources.archive import ArchiveSource
from beam_pipelines.sources.source import (
    FileBatch,
    FileContent,
    RepositoryInfo,
)
from beam_pipelines.sources.streams import Limits
from coder.data.records import Reject
from tests.beam_pipelines.sources import archives
from tests.beam_pipelines.sources.archives import (
    FILES,
    FORMATS,
    contents,
    details,
    local_header,
    read,
    reasons,
    write,
)

HOSTILE_NAMES = {
    "../../etc/passwd": "path_outside",
    "/etc/passwd": "path_outside",
    "a/../../b.py": "path_outside",
    "C:/windows.py": "path_outside",
    "c:evil.py": "path_outside",
    "..\\..\\evil.py": "path",
    "a\\b.py": "path",
    "new\nline.py": "path",
    "bidi\u202etxt.py": "path",
    "a" * 5000: "path",
    ".git/hooks/post-checkout": "ignored_folder",
}


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("pack", [archives.tar, archives.zipped])
def test_hostile_names_are_rejects(tmp_path: Path, name: str, pack):
    found = read(
        write(tmp_path / "x.dat", pack([("z/1.py", b"1"), (name, b"2"), ("y/3.py", b"3")]))
    )
    assert contents(found) == {"z/1.py": b"1", "y/3.py": b"3"}
    (reject,) = [reject for reject in found if isinstance(reject, Reject)]
    assert reject.reason == HOSTILE_NAMES[name]
    assert reject.path.isprintable()
    assert len(reject.path) <= 500


def test_a_nul_and_undecodable_bytes_in_names_are_rejects(tmp_path: Path):
    named = archives.zipped([("a?b.py", b"1"), ("c.py", b"2")]).replace(b"a?b.py", b"a\0b.py")
    assert reasons(read(write(tmp_path / "x.zip", named))) == {"a\\x00b.py": "path"}
    flagged = archives.zipped([("ü.py", b"1"), ("c.py", b"2")]).replace("ü".encode(), b"\xff\xfe")
    assert reasons(read(write(tmp_path / "y.zip", flagged))) == {"\\udcff\\udcfe.py": "path"}
    latin = archives.tar([("????.py", b"1"), ("c.py", b"2")], format=1)
    header = bytearray(latin)
    header[:4] = b"\xfc\xfc\xfc\xfc"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    found = read(write(tmp_path / "z.tar", bytes(header)))
    assert (list(reasons(found).values()), list(contents(found))) == (["path"], ["c.py"])


LINKS = {
    "pkg/inside": ("a.py", "symlink"),
    "pkg/up": ("../setup.py", "symlink"),
    "pkg/out": ("../../secret", "symlink_outside"),
    "pkg/absolute": ("/etc/passwd", "symlink_outside"),
    "pkg/windows": ("C:\\secret", "symlink_outside"),
}


def test_links_are_never_followed(tmp_path: Path):
    written, packed = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for path, (target, _) in LINKS.items():
            archives.add(archive, f"p-1/{path}", type=tarfile.SYMTYPE, linkname=target)
        archives.add(archive, "p-1/hard", type=tarfile.LNKTYPE, linkname="p-1/a.py")
        archives.add(archive, "p-1/hard_out", type=tarfile.LNKTYPE, linkname="../../etc/passwd")
        archives.add(archive, "p-1/a.py", b"1")
    with zipfile.ZipFile(packed, "w") as archive:
        for path, (target, _) in LINKS.items():
            archive.writestr(archives.zip_info(f"p-1/{path}", mode=stat.S_IFLNK | 0o777), target)
        archive.writestr(archives.zip_info("p-1/a.py"), "1")
    expected = {path: reason for path, (_, reason) in LINKS.items()}
    found = read(write(tmp_path / "p-1.zip", packed.getvalue()))
    assert (contents(found), reasons(found)) == ({"a.py": b"1"}, expected)
    expected |= {"hard": "hardlink", "hard_out": "hardlink_outside"}
    found = read(write(tmp_path / "p-1.tar", written.getvalue()))
    assert (contents(found), reasons(found)) == ({"a.py": b"1"}, expected)


def test_devices_and_sparse_files_are_rejects(tmp_path: Path):
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name, kind in (("c", tarfile.CHRTYPE), ("b", tarfile.BLKTYPE), ("p", tarfile.FIFOTYPE)):
            archives.add(archive, name, type=kind)
        archives.add(archive, "strange", b"x" * 700, type=b"Q")
        archives.add(archive, "a.py", b"1")
    found = read(write(tmp_path / "x.tar", written.getvalue()))
    assert reasons(found) == dict.fromkeys(["c", "b", "p", "strange"], "not_a_file")
    assert contents(found) == {"a.py": b"1"}
    with open(tmp_path / "holes", "wb") as file:
        for place in range(0, 40 << 16, 1 << 16):
            file.seek(place)
            file.write(b"x")
    write(tmp_path / "after.py", b"2")
    for form in ("gnu", "posix"):
        subprocess.run(
            ["tar", f"--format={form}", "-Scf", f"{form}.tar", "holes", "after.py"],
            cwd=tmp_path,
            check=True,
        )
        found = read(tmp_path / f"{form}.tar")
        assert contents(found) == {"after.py": b"2"}
        assert list(reasons(found).values()) == ["not_a_file"]


def test_ten_gigabytes_in_a_plain_tar_archive_are_stepped_over(tmp_path: Path):
    info = tarfile.TarInfo("huge.bin")
    info.size = 10 << 30
    with open(tmp_path / "x.tar", "wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.seek(info.size, os.SEEK_CUR)
        file.write(archives.tar([("a.py", b"1")]))
    found = read(tmp_path / "x.tar", limit=4)
    assert contents(found) == {"huge.bin": b"\0\0\0\0", "a.py": b"1"}


def test_a_bomb_of_zeros_ends_at_the_ratio_and_what_came_before_stays(tmp_path: Path):
    info = tarfile.TarInfo("bomb.bin")
    info.size = 400 << 20
    packer = zstandard.ZstdCompressor().compressobj()
    parts = [packer.compress(archives.tar([("a.py", b"1")])[:1024])]
    parts += [packer.compress(info.tobuf(tarfile.GNU_FORMAT))]
    parts += [packer.compress(bytes(1 << 20)) for _ in range(400)]
    parts += [packer.compress(archives.tar([("b.py", b"1")])), packer.flush()]
    found = read(write(tmp_path / "x.tar.zst", b"".join(parts)), limit=4)
    assert contents(found) == {"a.py": b"1", "bomb.bin": bytes(4)}
    assert reasons(found) == {"x.tar.zst": "archive_bomb"}


def test_a_zip_bomb_of_many_members_ends_at_the_limits(tmp_path: Path):
    path = write(tmp_path / "x.zip", archives.zipped((f"d/{n}", bytes(1 << 20)) for n in range(40)))
    for limits in (Limits(free_bytes=9 << 20, ratio=100), Limits(bytes=9 << 20)):
        found = read(path, 1 << 20, limits)
        assert len(contents(found)) == 9
        assert sorted(reasons(found)) == ["9", "x.zip"]
        assert set(reasons(found).values()) == {"archive_bomb"}


def test_overlapping_members_of_a_zip_archive_are_rejects(tmp_path: Path):
    packed = zlib.compress(b"x" * 1000, wbits=-15)
    one = local_header(b"a") + packed
    same = archives.raw_zip([(b"a", len(packed), 0), (b"b", len(packed), 0)], one, 1000)
    found = read(write(tmp_path / "same.zip", same), limit=10)
    assert (contents(found), reasons(found)) == ({"a": b"x" * 10}, {"b": "overlapping"})
    two = local_header(b"q") + one
    entries = [(b"q", len(one), 0), (b"a", len(packed), len(two) - len(one))]
    quoted = archives.raw_zip(entries, two, 1000)
    found = read(write(tmp_path / "quoted.zip", quoted), limit=10)
    assert (contents(found), reasons(found)) == ({"a": b"x" * 10}, {"q": "overlapping"})


def test_members_that_lie_about_their_size_are_rejects(tmp_path: Path):
    packed = zlib.compress(bytes(1 << 20), wbits=-15)
    lying = archives.raw_zip([(b"a", len(packed), 0)], local_header(b"a") + packed, size=3)
    found = read(write(tmp_path / "x.zip", lying))
    assert (reasons(found), details(found)) == (
        {"a": "unreadable"},
        "another size than in the directory",
    )
    outside = archives.raw_zip([(b"a", 5, 1 << 31), (b"b", 1 << 30, 0)], b"PK\3\4")
    assert set(reasons(read(write(tmp_path / "y.zip", outside))).values()) == {"overlapping"}


@pytest.mark.parametrize("pack", [archives.tar, archives.zipped])
def test_a_flood_of_empty_files_is_bounded(tmp_path: Path, pack):
    path = write(tmp_path / "x.dat", pack((f"{n}.py", b"") for n in range(50)))
    found = read(path, limits=Limits(members=40))
    assert len(contents(found)) == 40
    assert reasons(found) == {"x.dat": "too_many_members"}
    assert not reasons(read(path, limits=Limits(members=50)))


def test_an_endless_directory_of_a_zip_archive_is_not_read_whole(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(zip_members, "MAX_DIRECTORY", 1000)
    path = write(tmp_path / "x.zip", archives.zipped((f"{n:02}.py", b"") for n in range(50)))
    found = read(path)
    assert len(contents(found)) == 1000 // 51
    assert reasons(found) == {"x.zip": "too_many_members"}


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
def test_extended_headers_are_bounded(tmp_path: Path, kind: bytes):
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, 8 << 30
    flood = archives.tar([("a.py", b"1")])[:1024] + info.tobuf(tarfile.GNU_FORMAT)
    found = read(write(tmp_path / "x.tar", flood))
    assert contents(found) == {"a.py": b"1"}
    assert (list(reasons(found)), "extended header" in details(found)) == (["x.tar"], True)


@pytest.mark.parametrize(
    "records", [b"9999 path=x\n", b"x path=x\n", b"0 a=b\n", b"11 pathx\n", b"14 size=-12\n", b"5"]
)
def test_ill_formed_pax_headers_are_told(tmp_path: Path, records: bytes):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(records)
    content = info.tobuf() + records.ljust(512, b"\0") + archives.tar([("a.py", b"1")])
    assert "ill-formed" in details(read(write(tmp_path / "x.tar", content)))


SEEDS = {name: pack(FILES) for name, pack in FORMATS.items()}


@given(data=st.data(), ending=st.sampled_from(sorted(SEEDS)))
@settings(deadline=None, max_examples=300)
def test_mutated_archives_never_raise_nor_lose_themselves(tmp_path_factory, data, ending: str):
    content = bytearray(SEEDS[ending])
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        length = data.draw(st.integers(0, 40))
        content[place : place + length] = data.draw(st.binary(max_size=40))
        content = content or bytearray(b"x")
    found = read(write(tmp_path_factory.mktemp("fuzz") / "pkg-1.0.dat", bytes(content)), limit=4096)
    contents(found)
    assert found
    assert all(reject.reason for reject in found if isinstance(reject, Reject))


def cheap_tar(number: int, size: int) -> Iterator[bytes]:
    """Members of `size` zeros; headers are patched, as writing them takes longer than reading."""
    info = tarfile.TarInfo("0" * 12)
    info.size = size
    header = bytearray(info.tobuf())
    base = sum(header) - sum(header[148:156]) + 8 * 32 - 12 * 48
    body = bytes(-(-size // 512) * 512)
    for count in range(number):
        name = b"%012d" % count
        header[:12] = name
        header[148:155] = b"%06o\0" % (base + sum(name))
        yield from (bytes(header), body)
    yield bytes(1024)


def test_memory_grows_neither_with_the_size_nor_much_with_the_members(tmp_path: Path):
    with zstandard.open(tmp_path / "large.tar.zst", "wb") as file:
        for part in cheap_tar(200, 1 << 20):
            file.write(part)
    with gzip.open(tmp_path / "many.tar.gz", "wb", 1) as file:
        file.writelines(cheap_tar(10_000, 0))
    names = [b"%012d" % n for n in range(10_000)]
    entries = ((name, 0, n * 42) for n, name in enumerate(names))
    write(tmp_path / "many.zip", archives.raw_zip(entries, b"".join(map(local_header, names))))
    source = ArchiveSource(f"{tmp_path}/*")
    for name, number, megabytes in (
        ("large.tar.zst", 200, 4),
        ("many.tar.gz", 10_000, 3),
        ("many.zip", 10_000, 3),
    ):
        batch = FileBatch(RepositoryInfo("r", "", "", str(tmp_path / name)), None)
        tracemalloc.start()
        found = sum(isinstance(file, FileContent) for file in source.read(batch, 1 << 20))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found == number
        assert peak < megabytes << 20, name
