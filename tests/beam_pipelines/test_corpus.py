# SPDX-License-Identifier: Apache-2.0
"""The corpus pipeline as a whole, on small folders: what it keeps, rejects, counts and refuses."""

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines import corpus, manifest
from beam_pipelines.corpus import CorpusOptions, main, run
from beam_pipelines.read_repositories import survey
from beam_pipelines.sources import source as sources
from beam_pipelines.sources.folder import LocalFolder
from beam_pipelines.sources.kinds import source_of
from beam_pipelines.split_held_out import HeldOut
from coder.data.records import Document
from coder.data.tfrecord import read_shard

NAMES = [f"repository{number}" for number in range(100)]
HELD_OUT = [name for name in NAMES if name in HeldOut(0)]
TRAIN = sorted(set(NAMES).difference(HELD_OUT))

LONG = "".join(
    f"def function_{n}(argument_{n}):\n    return argument_{n} * {n}\n" for n in range(50)
)
OTHER = "".join(f"class Kind{n}:\n    def method_{n}(self):\n        pass\n" for n in range(50))


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def package(folder: Path, seed: str) -> None:
    """Three files, `z_base` imported by `middle`, that by `a_top`: names run against the order."""
    write(folder / "pkg/__init__.py", f'"""Package {seed}."""\n')
    write(folder / "pkg/z_base.py", f"def base_{seed}():\n    return 1\n")
    write(folder / "pkg/middle.py", f"from pkg.z_base import base_{seed}\n\nuse = base_{seed}\n")
    write(folder / "pkg/a_top.py", f"from . import middle\n\ntop = middle.use  # {seed}\n")
    write(folder / "README.md", f"# The project {seed}\n\nIt does many things, none well.\n")


def documents(output: Path, split: str = "*") -> list[Document]:
    shards = sorted(output.glob(f"{split}-*.tfrecord"))
    return [Document.decode(record) for shard in shards for record in read_shard(shard)]


def rejects(output: Path) -> dict[str, str]:
    rows = [
        json.loads(line)
        for shard in sorted(output.glob("rejects-*.jsonl"))
        for line in shard.read_text().splitlines()
    ]
    return {f"{row['repository']}/{row['path']}": row["reason"] for row in rows}


def read_manifest(output: Path) -> dict[str, Any]:
    return json.loads((output / "manifest.json").read_text())


def contents(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(output.iterdir())}


def hostile(folder: Path) -> None:
    """A repository of everything that goes wrong, beside two good ones."""
    bad = folder / TRAIN[0]
    write(bad / "fine.py", "import os\n\nprint(os.name)\n")
    write(bad / "empty.py", "")
    write(bad / "library.so", os.urandom(100))
    write(bad / "binary.py", b"x = 1\n\0\0\0")
    write(bad / "latin.py", "name = 'caf\xe9'\n".encode("latin-1"))
    with open(bad / "one_line.json", "wb") as file:
        file.truncate(50 << 20)
    write(bad / "long_line.py", "x = '" + "a" * 2000 + "'\n")
    write(bad / "nested.py", "import fine\nx = " + "(" * 50_000 + "1" + ")" * 50_000 + "\n")
    write(bad / "deep.py", "import fine\nx = " + "not \\\n" * 9_000 + "1\n")
    write(bad / "open.py", "import fine\nx = '''a text without an end\n")
    write(bad / "digits.py", "1234567890\n" * 20)
    write(bad / "new\nline.py", "x = 1\n")
    write(bad / "third_party/copy.py", LONG)
    (bad / "loop.py").symlink_to("loop.py")
    (bad / "away.py").symlink_to("/etc/passwd")
    os.mkfifo(bad / "pipe.py")
    package(folder / TRAIN[1], "one")
    package(folder / HELD_OUT[0], "two")
    write(folder / TRAIN[1] / "original.py", LONG)
    write(folder / TRAIN[2] / "duplicate.py", LONG)
    write(folder / HELD_OUT[1] / "copy.py", LONG.replace("50", "51") + "x = 1\n")
    write(folder / HELD_OUT[1] / "own.py", OTHER)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    hostile(folder)
    return folder


@pytest.fixture(scope="module")
def options(source: Path, tmp_path_factory: pytest.TempPathFactory) -> CorpusOptions:
    output = tmp_path_factory.mktemp("corpus") / "new" / "folder"
    return CorpusOptions(output=str(output), source=f"folder:{source}", shards=2)


@pytest.fixture(scope="module")
def built(options: CorpusOptions) -> Path:
    assert run(options) == 0
    return Path(options.output)


def test_every_bad_input_is_a_counted_reject(built: Path) -> None:
    bad = {name.partition("/")[2]: why for name, why in rejects(built).items() if TRAIN[0] in name}
    assert bad == {
        "empty.py": "empty",
        "library.so": "language",
        "binary.py": "binary",
        "latin.py": "encoding",
        "one_line.json": "too_large",
        "long_line.py": "longest_line",
        "nested.py": "longest_line",
        "digits.py": "alphabetic",
        "new\\nline.py": "path",
        "third_party/copy.py": "vendored",
        "loop.py": "symlink_loop",
        "away.py": "symlink_outside",
        "pipe.py": "not_a_file",
    }
    kept = [file.path for document in documents(built) for file in document.files]
    assert "fine.py" in kept


def test_a_file_whose_imports_cannot_be_read_is_kept_and_counted(built: Path) -> None:
    files = {d.id: [file.path for file in d.files] for d in documents(built)}
    assert files[f"{TRAIN[0]}#open.py"] == ["open.py"]
    assert files[f"{TRAIN[0]}#deep.py"] == ["fine.py", "deep.py"]
    assert read_manifest(built)["unparsed"] == 1


def test_every_file_is_kept_or_rejected_once(built: Path, source: Path) -> None:
    found = [Path(folder, name) for folder, _, names in os.walk(source) for name in names]
    kept = [(d.repository, file.path) for d in documents(built) for file in d.files]
    files = read_manifest(built)["files"]
    assert files["read"] == len(found)
    assert files["kept"] == len(kept) == len(set(kept))
    assert files["rejected"] == Counter(rejects(built).values())
    assert files["read"] == files["kept"] + sum(files["rejected"].values())


def test_the_manifest_tells_what_was_written(built: Path) -> None:
    done = read_manifest(built)
    for shard in done["shards"]:
        path = built / shard["path"]
        assert (shard["records"], shard["bytes"]) == (
            len(list(read_shard(path))),
            path.stat().st_size,
        )
    assert [shard["path"] for shard in done["shards"]] == [
        f"{split}-{number:05}-of-00002.tfrecord"
        for split in ("held_out", "train")
        for number in (0, 1)
    ]
    for split in ("train", "held_out"):
        of_split = documents(built, split)
        assert done["by_split"][split]["documents"] == len(of_split) > 0
        texts = [file.text for document in of_split for file in document.files]
        assert done["by_split"][split]["bytes"] == sum(len(text.encode()) for text in texts)
        assert {document.split for document in of_split} == {split}
    assert done["documents"] == len(documents(built))
    assert set(done["bytes"]) == {"Python", "Markdown"}
    assert not list(built.glob("*.partial"))


def test_files_follow_what_they_import(built: Path) -> None:
    by_id = {document.id: document for document in documents(built)}
    found = by_id[f"{TRAIN[1]}#pkg/a_top.py"]
    paths = [file.path for file in found.files]
    assert paths == ["pkg/z_base.py", "pkg/middle.py", "pkg/a_top.py"]
    assert found.text().startswith("# pkg/")
    assert by_id[f"{TRAIN[1]}#README.md"].text().startswith("<!-- README.md -->\n# The project")


def test_of_equal_files_the_smallest_name_survives(built: Path) -> None:
    assert rejects(built)[f"{TRAIN[2]}/duplicate.py"] == "exact_duplicate"
    assert f"{TRAIN[1]}/original.py" not in rejects(built)


def test_whole_repositories_are_held_out_but_for_near_copies(built: Path) -> None:
    assert {document.repository for document in documents(built, "held_out")} == set(HELD_OUT[:2])
    assert set(HELD_OUT).isdisjoint(document.repository for document in documents(built, "train"))
    assert rejects(built)[f"{HELD_OUT[1]}/copy.py"] == "near_training"
    assert f"{HELD_OUT[1]}/own.py" not in rejects(built)


def test_bytes_do_not_depend_on_batches_or_arrival(
    built: Path, options: CorpusOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = survey(source_of(options.source))
    monkeypatch.setattr(sources, "BATCH_FILES", 1)
    units = LocalFolder.units
    monkeypatch.setattr(LocalFolder, "units", lambda self: reversed(list(units(self))))
    monkeypatch.setattr(corpus, "survey", lambda _: found)
    assert run(replace(options, output=str(tmp_path / "again"))) == 0
    assert contents(tmp_path / "again") == contents(built)


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_number_of_processes(
    built: Path, options: CorpusOptions, tmp_path: Path
) -> None:
    assert run(replace(options, output=str(tmp_path / "again"), workers=2)) == 0
    assert contents(tmp_path / "again") == contents(built)


@pytest.mark.parametrize("order", ["path", "random"])
def test_orders_change_only_the_order(
    order: Any, built: Path, options: CorpusOptions, tmp_path: Path
) -> None:
    assert run(replace(options, output=str(tmp_path / order), order=order)) == 0
    ours, theirs = documents(built), documents(tmp_path / order)
    assert {(d.id, frozenset(d.files)) for d in ours} == {
        (d.id, frozenset(d.files)) for d in theirs
    }
    if order == "path":
        assert all(list(d.files) == sorted(d.files, key=lambda file: file.path) for d in theirs)
    else:
        assert [d.files for d in ours] != [d.files for d in theirs]


def test_a_finished_corpus_is_left_alone(
    built: Path, options: CorpusOptions, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(corpus, "execute", lambda *_: pytest.fail("the pipeline ran again"))
    assert run(replace(options, workers=2)) == 0
    assert "up to date" in capsys.readouterr().out
    before = contents(built)
    with pytest.raises(manifest.OutputError, match="seed: 0 -> 1.*choose another --output"):
        run(replace(options, seed=1))
    assert contents(built) == before


def test_a_run_that_was_cut_after_its_manifest_gets_its_report(
    built: Path, options: CorpusOptions
) -> None:
    before = contents(built)
    (built / "corpus_report.md").unlink()
    write(built / "stages/settings.json", "{}")
    assert run(options) == 0
    assert contents(built) == before


def test_a_damaged_or_cut_corpus_is_written_again(
    built: Path, options: CorpusOptions, tmp_path: Path
) -> None:
    output = tmp_path / "copy"
    output.mkdir()
    for name, content in contents(built).items():
        write(output / name, content)
    shard = max(output.glob("train-*"), key=lambda path: path.stat().st_size)
    os.truncate(shard, shard.stat().st_size - 5)
    write(output / "train-00007-of-00009.tfrecord", "of a run with other options, cut")
    write(output / "rejects-00000-of-00002.jsonl.0badc0de.partial", "cut")
    write(output / "notes.txt", "mine")
    assert run(replace(options, output=str(output))) == 0
    after = contents(output)
    assert after.pop("notes.txt") == b"mine"
    assert after == contents(built)


def test_nothing_to_keep_is_an_error_with_the_reasons(tmp_path: Path, capsys: Any) -> None:
    write(tmp_path / "source/binaries/a.so", b"\0")
    write(tmp_path / "source/binaries/b.py", b"\0")
    chosen = CorpusOptions(
        output=str(tmp_path / "out"), source=f"folder:{tmp_path / 'source'}", shards=1
    )
    assert run(chosen) == 1
    assert "none of 2 files" in capsys.readouterr().err
    assert set(rejects(tmp_path / "out").values()) == {"language", "binary"}
    assert not (tmp_path / "out/manifest.json").exists()
    write(tmp_path / "source/binaries/c.py", "print('now there is text')\n")
    assert run(chosen) == 0
    assert read_manifest(tmp_path / "out")["files"]["kept"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "folder:{}/nowhere", "--output", "{}/out"], "No such file or directory"),
        (["--source", "folder:{}/empty", "--output", "{}/out"], "no child folder"),
        (["--source", "instaled", "--output", "{}/out"], "use installed, folder:DIR"),
        (
            ["--source", "folder:{}/source", "--output", "{}/file/out"],
            "cannot be written: Not a directory",
        ),
        (["--source", "folder:{}/source", "--output", "{}/file"], "cannot be written: File exists"),
        (["--source", "folder:{}/source", "--output", "{}/out", "--ordr", "path"], "--order"),
        (["--source", "folder:{}/source", "--output", "{}/out", "--order", "tree"], "tree"),
        (
            ["--source", "folder:{}/source", "--output", "{}/out", "--shards", "-1"],
            "--shards -1: at least 0",
        ),
        (["--source", "folder:{}/source"], "--output"),
        (["--source", "folder:{}", "--output", "{}/out"], "lies in the source"),
        (["--source", "installed", "--output", "nowhere://{}/out"], "cannot be reached"),
        (["--output", "{}/out", "--rules.max-line", "-1"], "--rules.max-line -1: at least 0"),
        (["--output", "{}/out", "--rules.min-alphabetic", "nan"], "--rules.min-alphabetic nan"),
        (
            ["--source", "folder:{}/source", "--output", "{}/out", "--", "--direct_num_worker=2"],
            "unknown Beam option --direct_num_worker=2; nearest: --direct_num_workers",
        ),
        (
            ["--source", "folder:{}/source", "--output", "{}/out", "--", "--runner=PrismRunner"],
            "leave it out",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    arguments: list[str], message: str, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "source/project/a.py", "x = 1\n")
    write(tmp_path / "file", "in the way")
    with pytest.raises(SystemExit) as error:
        main([argument.format(tmp_path) for argument in arguments])
    assert error.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
