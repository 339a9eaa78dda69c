# SPDX-License-Identifier: Apache-2.0
"""Repositories of git: read at a revision, with nothing run, fetched or lost."""

import os
import pickle
import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pipelines.sources import git_commands
from beam_pipelines.sources.git import GitSource
from beam_pipelines.sources.source import (
    FileBatch,
    FileContent,
    FileReference,
    RepositoryInfo,
    SourceError,
    Unit,
)
from coder.data.records import Reject
from tests.beam_pipelines.sources.memory_files import MemoryFiles

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}

FILES = {
    "a.py": b"a = 1\n",
    "folder/b c.py": b"b = 2\n" * 50,
    "folder/\u00fc.py": b"",
    "binary": bytes(range(256)),
    "long.txt": b"0123456789" * 1000,
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch):
    """A process that hangs fails its test, within seconds."""
    monkeypatch.setattr(git_commands, "TIMEOUT", 10)


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> str:
    command = ["git", "-c", "init.defaultBranch=main", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, input=stdin, check=True, capture_output=True
    )
    return done.stdout.decode().strip()


def checkout(folder: Path) -> Path:
    """A working tree with two commits: `old` is the first, tagged."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet")
    (folder / "gone.py").write_bytes(b"1")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    git(folder, "tag", "-a", "-m", "old", "old")
    (folder / "gone.py").unlink()
    for path, content in FILES.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "two")
    return folder


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same repository as a checkout, a bare one and a bundle, side by side."""
    folder = tmp_path_factory.mktemp("repositories")
    source = checkout(folder / "work")
    git(folder, "clone", "--quiet", "--bare", "work", "bare.git")
    git(source, "bundle", "create", "--quiet", "../packed.bundle", "HEAD", "main", "old")
    return folder


def read_all(spelling: object, limit: int = 1 << 20) -> dict[str, list[FileContent | Reject]]:
    """What each unit of a source gives, by its name."""
    source = GitSource(str(spelling))
    found = {}
    for unit in source.units():
        assert isinstance(unit, Unit)
        found[unit.name] = results = []
        for batch in source.batches(unit):
            results += [batch] if isinstance(batch, Reject) else source.read(batch, limit)
    return found


def contents(found: list[FileContent | Reject]) -> dict[str, bytes]:
    files = [file for file in found if isinstance(file, FileContent)]
    assert len({file.path for file in files}) == len(files)
    return {file.path: file.content for file in files}


def reasons(found: list[FileContent | Reject]) -> dict[str, str]:
    return {reject.path: reject.reason for reject in found if isinstance(reject, Reject)}


def test_checkouts_bare_repositories_and_bundles_give_the_same(repositories: Path):
    found = read_all(repositories)
    assert list(found) == ["bare", "packed", "work"]
    for files in found.values():
        assert (contents(files), reasons(files)) == (FILES, {})


@pytest.mark.parametrize("place", ["work", "work/.git", "bare.git", "packed.bundle"])
@pytest.mark.parametrize("revision", ["old", "HEAD~1", "main~1"])
def test_a_revision_is_read_without_a_checkout(repositories: Path, place: str, revision: str):
    ((_, files),) = read_all(f"{repositories / place}@{revision}").items()
    assert contents(files) == {"gone.py": b"1"}


@pytest.mark.parametrize("place", ["work", "bare.git", "packed.bundle"])
@pytest.mark.parametrize("revision", ["HEAD", "main", "old"])
def test_the_full_id_of_the_commit_is_the_revision(repositories: Path, place: str, revision: str):
    source = GitSource(f"{repositories / place}@{revision}")
    (unit,) = source.units()
    assert isinstance(unit, Unit)
    (batch,) = source.batches(unit)
    assert isinstance(batch, FileBatch)
    assert batch.info.revision == git(repositories / "work", "rev-parse", f"{revision}^{{commit}}")


def test_uncommitted_files_and_the_working_tree_do_not_matter(tmp_path: Path):
    folder = checkout(tmp_path / "work")
    (folder / "a.py").write_bytes(b"changed")
    (folder / "new.py").write_bytes(b"new")
    assert contents(read_all(folder)["work"]) == FILES


def test_no_more_than_the_limit_is_given(repositories: Path):
    for files in read_all(repositories, limit=7).values():
        assert contents(files) == {path: content[:7] for path, content in FILES.items()}


def test_links_submodules_and_odd_paths_are_rejects(tmp_path: Path):
    git(tmp_path, "init", "--quiet", "--bare", "odd.git")
    bare = tmp_path / "odd.git"
    blob = git(bare, "hash-object", "-w", "--stdin", stdin=b"x")
    commit = "1" * 40

    def tree(*lines: str) -> str:
        entries = "\0".join(lines).encode() + b"\0"
        return git(bare, "mktree", "-z", "--missing", stdin=entries)

    inner = tree(f"100644 blob {blob}\tinner.py", f"100755 blob {blob}\trun")
    top = raw_tree(
        bare,
        ("40000", b"..", inner),
        ("40000", b".git", inner),
        ("100644", b"back\\slash", blob),
        ("40000", b"folder", inner),
        ("100644", b"line\nbreak", blob),
        ("120000", b"link", blob),
        ("160000", b"module", commit),
        ("100644", b"nothing", "2" * 40),
        ("100644", b"twice", blob),
        ("100644", b"twice", blob),
    )
    git(bare, "update-ref", "HEAD", git(bare, "commit-tree", "-m", "x", top))
    (files,) = read_all(bare).values()
    assert contents(files) == {"folder/inner.py": b"x", "folder/run": b"x", "twice": b"x"}
    assert reasons(files) == {
        "back\\slash": "path",
        "link": "symlink",
        "line\\nbreak": "path",
        "module": "submodule",
        "nothing": "unreadable",
        "../inner.py": "path_outside",
        "../run": "path_outside",
        ".git/inner.py": "ignored_folder",
        ".git/run": "ignored_folder",
        "twice": "duplicate_path",
    }


def raw_tree(bare: Path, *entries: tuple[str, bytes, str]) -> str:
    """A tree that git's own commands would refuse to write."""
    content = b"".join(
        mode.encode() + b" " + name + b"\0" + bytes.fromhex(id_) for mode, name, id_ in entries
    )
    return git(bare, "hash-object", "--literally", "-t", "tree", "-w", "--stdin", stdin=content)


def test_a_bundle_may_lie_in_another_file_system(repositories: Path, monkeypatch):
    bundle = (repositories / "packed.bundle").read_bytes()
    path = "memory://user@host/b/packed.bundle"
    monkeypatch.setattr(MemoryFiles, "FILES", {path: bundle, "memory://user@host/b/x": b""})
    for spelling in (path, f"{path}@main", "memory://user@host/b@main", "memory://user@host/b"):
        assert contents(read_all(spelling)["packed"]) == FILES


def test_bundles_that_are_broken_are_rejects(repositories: Path, tmp_path: Path):
    whole = (repositories / "packed.bundle").read_bytes()
    start = whole.index(b"\n\n")
    more = str(tmp_path / "more.bundle")
    git(repositories / "work", "bundle", "create", "--quiet", more, "old..main")
    (tmp_path / "cut.bundle").write_bytes(whole[:-30])
    (tmp_path / "wrong.bundle").write_bytes(b"# v2 git bundles\n\n")
    (tmp_path / "empty.bundle").write_bytes(b"")
    (tmp_path / "damaged.bundle").write_bytes(whole[: start + 40] + b"X" + whole[start + 41 :])
    for name, files in read_all(tmp_path).items():
        assert reasons(files) == {name: "unreadable"}, name
    assert len(read_all(tmp_path)) == 5
    (tmp_path / "more.bundle").write_bytes(whole)
    assert reasons(read_all(f"{tmp_path}@nowhere")["more"]) == {"more": "revision"}


def test_a_revision_that_is_not_there_is_named(repositories: Path):
    for place in ("work", "bare.git"):
        with pytest.raises(SourceError, match=r"no commit is called 'v9'"):
            list(GitSource(f"{repositories / place}@v9").units())
    for name, files in read_all(f"{repositories}@v9").items():
        assert reasons(files) == {name: "revision"}
        (reject,) = files
        assert isinstance(reject, Reject)
        assert "'v9'" in reject.detail


def test_a_repository_without_commits_is_a_reject(tmp_path: Path):
    git(tmp_path, "init", "--quiet", "new")
    assert reasons(read_all(tmp_path)["new"]) == {"new": "revision"}


def test_missing_and_damaged_objects_cost_only_their_files(tmp_path: Path):
    folder = checkout(tmp_path / "work")
    names = ("a.py", "binary", "long.txt")
    ids = {name: git(folder, "rev-parse", f"HEAD:{name}") for name in names}
    paths = {name: folder / ".git/objects" / id_[:2] / id_[2:] for name, id_ in ids.items()}
    for path in paths.values():
        path.chmod(0o644)
    paths["a.py"].unlink()
    paths["binary"].write_bytes(paths["binary"].read_bytes()[:-40] + b"damage" * 6)
    paths["long.txt"].write_bytes(zlib.compress(b"blob 99\0short"))
    (files,) = read_all(folder).values()
    assert reasons(files) == dict.fromkeys(ids, "unreadable")
    rest = {path: content for path, content in FILES.items() if path not in ids}
    assert contents(files) == rest


def test_a_git_that_fails_halfway_costs_only_what_is_left(tmp_path: Path, monkeypatch):
    folder = checkout(tmp_path / "some")
    source = GitSource(str(folder))
    (unit,) = source.units()
    assert isinstance(unit, Unit)
    (batch,) = source.batches(unit)
    assert isinstance(batch, FileBatch)
    blobs = git_commands.blobs

    def full(*arguments):
        yield next(iter(blobs(*arguments)))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(git_commands, "blobs", full)
    first, *others = source.read(batch, 100)
    assert isinstance(first, FileContent)
    assert all(isinstance(other, Reject) for other in others)
    assert sorted([first.path, *(other.path for other in others)]) == sorted(FILES)


def test_a_repository_that_goes_away_or_lacks_its_tree_is_told(tmp_path: Path):
    folder = checkout(tmp_path / "work")
    tree = git(folder, "rev-parse", "HEAD:folder")
    (folder / ".git/objects" / tree[:2] / tree[2:]).unlink()
    (files,) = read_all(folder).values()
    assert reasons(files) == {"work": "unreadable"}
    info = RepositoryInfo("gone", "1" * 40, "", str(tmp_path / "nowhere"))
    batch = FileBatch(info, (FileReference("a.py", 1), FileReference("b.py", 1)))
    found = list(GitSource(str(folder)).read(batch, 9))
    assert reasons(found) == {"a.py": "unreadable", "b.py": "unreadable"}


def test_what_a_repository_asks_git_to_run_is_not_run(tmp_path: Path):
    folder = checkout(tmp_path / "work")
    trap = tmp_path / "trap"
    run = f"touch {trap}"
    (folder / ".gitattributes").write_text("* filter=evil diff=evil\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "three")
    for key, value in {
        "filter.evil.smudge": run,
        "filter.evil.process": run,
        "diff.evil.textconv": run,
        "core.fsmonitor": run,
        "core.pager": run,
        "core.sshCommand": run,
        "core.alternateRefsCommand": run,
        "credential.helper": f"!{run}",
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": f"ext::sh -c '{run}'",
        "remote.origin.uploadpack": run,
        "protocol.allow": "always",
    }.items():
        git(folder, "config", key, value)
    for hook in ("post-checkout", "reference-transaction", "pre-auto-gc", "fsmonitor-watchman"):
        path = folder / ".git/hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{run}\n")
        path.chmod(0o755)
    blob = git(folder, "rev-parse", "HEAD:a.py")
    (folder / ".git/objects" / blob[:2] / blob[2:]).unlink()
    (files,) = read_all(folder).values()
    assert reasons(files) == {"a.py": "unreadable"}
    for remote in (str(tmp_path / "work"), f"ssh://x/{trap}"):
        git(folder, "config", "remote.origin.url", remote)
        assert len(contents(*read_all(folder).values())) == len(FILES)
    assert not trap.exists()


def test_replaced_objects_are_not(tmp_path: Path):
    folder = checkout(tmp_path / "work")
    other = git(folder, "hash-object", "-w", "--stdin", stdin=b"other")
    git(folder, "replace", git(folder, "rev-parse", "HEAD:a.py"), other)
    assert contents(read_all(folder)["work"]) == FILES


def test_the_environment_of_the_user_has_no_say(repositories: Path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", "/nowhere")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "broken")
    assert contents(read_all(repositories / "work")["work"]) == FILES


def test_a_silent_git_is_ended(repositories: Path, tmp_path: Path, monkeypatch):
    fake = tmp_path / "git"
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(0o755)
    source = GitSource(str(repositories / "work"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(git_commands, "TIMEOUT", 0.1)
    info = RepositoryInfo("work", "1" * 40, "", str(repositories / "work/.git"))
    (reject,) = source.read(FileBatch(info, (FileReference("a.py", 1),)), 9)
    assert isinstance(reject, Reject)
    assert "silence" in reject.detail


def test_a_flood_of_entries_is_bounded(repositories: Path, monkeypatch):
    monkeypatch.setattr(git_commands, "MAX_ENTRIES", 3)
    (files,) = read_all(repositories / "work").values()
    assert (len(contents(files)), reasons(files)) == (3, {"work": "unreadable"})


def test_a_tree_that_stands_for_billions_of_files_is_bounded(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(git_commands, "MAX_ENTRIES", 2000)
    git(tmp_path, "init", "--quiet", "--bare", "bomb.git")
    bare = tmp_path / "bomb.git"
    id_ = git(bare, "hash-object", "-w", "--stdin", stdin=b"x")
    mode = "100644"
    for _ in range(12):
        id_ = raw_tree(bare, *((mode, b"%d" % n, id_) for n in range(9)))
        mode = "40000"
    git(bare, "update-ref", "HEAD", git(bare, "commit-tree", "-m", "x", id_))
    (files,) = read_all(bare).values()
    assert (len(contents(files)), reasons(files)) == (2000, {"bomb": "unreadable"})


def test_what_is_no_repository_is_a_reject(repositories: Path, tmp_path: Path):
    checkout(tmp_path / "one")
    (tmp_path / "README").write_text("x")
    (tmp_path / "empty").mkdir()
    git(tmp_path / "one", "worktree", "add", "--quiet", "../linked", "old")
    units = list(GitSource(str(tmp_path)).units())
    rejects = {unit.path: unit.reason for unit in units if isinstance(unit, Reject)}
    assert rejects == dict.fromkeys(["README", "empty", "linked"], "outside_repositories")
    assert [unit.name for unit in units if isinstance(unit, Unit)] == ["one"]


def test_names_stay_apart(tmp_path: Path):
    for name in ("a", "a.git", "b.git"):
        git(tmp_path, "init", "--quiet", "--bare", name)
    units = GitSource(str(tmp_path)).units()
    assert [unit.name for unit in units if isinstance(unit, Unit)] == ["a", "a.git", "b"]


def test_the_state_is_the_commit_and_its_files(tmp_path: Path):
    folder = checkout(tmp_path / "work")
    source = GitSource(str(folder))

    def state():
        return [list(source.state(unit)) for unit in source.units() if isinstance(unit, Unit)]

    (before,) = state()
    assert sum(file.size for file in before) == sum(len(content) for content in FILES.values())
    (folder / "a.py").write_bytes(b"2")
    assert state() == [before]
    git(folder, "commit", "--quiet", "-a", "-m", "three")
    assert state() != [before]


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("", "name a folder"),
        ("{}@", "name a folder, and a revision"),
        ("{}/nowhere", "No such file"),
        ("{}", "no repository of git"),
        ("{}@main", "no repository of git"),
        ("memory://b/c@x", "no file matches"),
    ],
)
def test_unusable_places_are_explained(tmp_path: Path, spelling: str, message: str):
    with pytest.raises(SourceError, match=message):
        list(GitSource(spelling.format(tmp_path)).units())


def test_a_machine_without_git_is_told(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="git is not installed"):
        GitSource(str(tmp_path))


def test_an_at_sign_in_a_folder_is_its_own(tmp_path: Path):
    checkout(tmp_path / "a@b")
    source = pickle.loads(pickle.dumps(GitSource(f"{tmp_path}/a@b")))
    assert (source.folder, source.revision) == (f"{tmp_path}/a@b", "HEAD")
    assert GitSource(f"{tmp_path}/a@b@old").revision == "old"
    assert contents(read_all(f"{tmp_path}/a@b@old")["a@b"]) == {"gone.py": b"1"}


@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_mutated_bundles_never_raise(repositories: Path, tmp_path_factory, data):
    content = bytearray((repositories / "packed.bundle").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + 1] = data.draw(st.binary(max_size=9))
    path = tmp_path_factory.mktemp("fuzz") / "x.bundle"
    path.write_bytes(bytes(content))
    (files,) = read_all(path).values()
    assert files
