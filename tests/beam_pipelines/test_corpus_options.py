# SPDX-License-Identifier: Apache-2.0
"""What the options of the corpus pipeline change, and that sources of one content agree."""

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pipelines import order_dependencies
from beam_pipelines.corpus import CorpusOptions, make_job, run
from beam_pipelines.read_repositories import survey
from beam_pipelines.sources.folder import LocalFolder
from beam_pipelines.split_held_out import HeldOut
from coder.data.filters import FilterConfig
from coder.data.languages import LanguageError
from coder.data.records import Document
from coder.data.tfrecord import read_shard

NAME = next(name for name in map("project{}".format, range(100)) if name not in HeldOut(0))

FILES = {
    "go.mod": "module example.org/tool\n\ngo 1.22\n",
    "main.go": 'package main\n\nimport "example.org/tool/inner"\n\nfunc main() { inner.Run() }\n',
    "inner/run.go": 'package inner\n\nimport "fmt"\n\nfunc Run() { fmt.Println("running") }\n',
    "scripts/release.sh": "#!/bin/sh\nset -e\necho releasing the current version\n",
    "LICENSE": "Permission to use, copy, modify, and/or distribute this software for any purpose\n"
    "with or without fee is hereby granted, provided that the above copyright notice and\n"
    'this permission notice appear in all copies.\n\nTHE SOFTWARE IS PROVIDED "AS IS" AND THE '
    "AUTHOR DISCLAIMS ALL WARRANTIES\n",
    "other/tool.go": "// SPDX-License-Identifier: MIT\npackage other\n\nfunc Nothing() {}\n",
    "vendor/copy.go": "package vendor\n\nfunc Copied() {}\n",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for path, text in FILES.items():
        place = tmp_path / "source" / NAME / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return tmp_path / "source"


def built(tmp_path: Path, source: str, **options: Any) -> tuple[list[Document], dict[str, Any]]:
    """The documents by id, and the manifest."""
    output = tmp_path / "out"
    chosen = CorpusOptions(output=str(output), source=source, shards=1, **options)
    assert run(chosen) == 0
    shards = output.glob("*.tfrecord")
    documents = [Document.decode(record) for shard in shards for record in read_shard(shard)]
    manifest = json.loads((output / "manifest.json").read_text())
    return sorted(documents, key=lambda document: document.id), manifest


def paths(documents: list[Document]) -> list[list[str]]:
    return [[file.path for file in document.files] for document in documents]


IN_ORDER = [["inner/run.go", "main.go"], ["other/tool.go"], ["scripts/release.sh"]]


def test_a_file_outside_the_corpus_says_where_imports_lead(source: Path, tmp_path: Path):
    documents, manifest = built(tmp_path, f"folder:{source}")
    assert paths(documents) == IN_ORDER
    assert manifest["files"] == {
        "read": 7,
        "kept": 4,
        "rejected": {"language": 2, "vendored": 1},
    }


def test_each_file_has_the_licence_that_is_nearest(source: Path, tmp_path: Path):
    documents, _ = built(tmp_path, f"folder:{source}")
    licences = {file.path: file.licence for document in documents for file in document.files}
    assert licences["main.go"] == licences["inner/run.go"] == "ISC"
    assert licences["other/tool.go"] == "MIT"


def test_languages_and_rules_are_chosen(source: Path, tmp_path: Path):
    documents, manifest = built(
        tmp_path,
        f"folder:{source}",
        languages=("Go",),
        rules=FilterConfig(keep_vendored=True, max_line=35),
    )
    assert paths(documents) == [["main.go"], ["other/tool.go"], ["vendor/copy.go"]]
    assert manifest["files"]["rejected"] == {"language": 3, "longest_line": 1}


def test_an_unknown_language_is_named_with_its_neighbour(source: Path, tmp_path: Path):
    with pytest.raises(LanguageError, match="Pyton.*Python"):
        built(tmp_path, f"folder:{source}", languages=("Pyton",))


def test_a_long_component_falls_apart_and_is_counted(source: Path, tmp_path: Path):
    documents, manifest = built(tmp_path, f"folder:{source}", component_bytes=100)
    assert paths(documents) == [["inner/run.go"], ["main.go"], *IN_ORDER[1:]]
    assert manifest["fallbacks"] == {"component_files": 2, "components": 1}


def test_a_giant_repository_is_not_ordered(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(order_dependencies, "REPOSITORY_BYTES", 300)
    documents, manifest = built(tmp_path, f"folder:{source}")
    assert paths(documents) == [["inner/run.go"], ["main.go"], *IN_ORDER[1:]]
    assert manifest["fallbacks"] == {"repository_files": 4, "repositories": 1}
    assert documents[1].files[0].licence == "ISC"


def test_what_opts_out_is_rejected(source: Path, tmp_path: Path):
    (tmp_path / "list.txt").write_text(f"{NAME} inner/*\n")
    documents, manifest = built(tmp_path, f"folder:{source}", opt_out=tmp_path / "list.txt")
    assert paths(documents) == [["main.go"], *IN_ORDER[1:]]
    assert manifest["files"]["rejected"]["opt_out"] == 1


def as_tarball(source: Path, place: Path) -> str:
    with tarfile.open(place / f"{NAME}.tar.gz", "w:gz") as archive:
        archive.add(source / NAME, f"{NAME}-main")
    return f"archive:{place}/*.tar.gz"


def as_git(source: Path, place: Path) -> str:
    checkout = place / NAME
    subprocess.run(["cp", "-r", source / NAME, checkout], check=True)
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], cwd=checkout, check=True)
    return f"git:{place}@HEAD"


def rows(source: Path) -> list[dict[str, Any]]:
    return [
        {"repo_name": NAME, "path": str(path.relative_to(source / NAME)), "content": text}
        for path in sorted((source / NAME).rglob("*"))
        if path.is_file() and (text := path.read_text())
    ]


def as_parquet(source: Path, place: Path) -> str:
    pq.write_table(pa.Table.from_pylist(rows(source)), place / "rows.parquet", row_group_size=2)
    return f"parquet:{place}/*.parquet"


def as_jsonl(source: Path, place: Path) -> str:
    lines = [json.dumps(row) + "\n" for row in rows(source)]
    (place / "1.jsonl").write_text("".join(lines[:3]))
    (place / "2.jsonl").write_text("".join(lines[3:]))
    return f"jsonl:{place}/*.jsonl"


@pytest.mark.parametrize("pack", [as_tarball, as_git, as_parquet, as_jsonl])
def test_every_source_of_the_same_files_gives_the_same_documents(
    pack: Any, source: Path, tmp_path: Path
):
    (tmp_path / "packed").mkdir()
    expected, manifest = built(tmp_path / "folder", f"folder:{source}")
    documents, packed = built(tmp_path / "other", pack(source, tmp_path / "packed"))
    assert [document.files for document in documents] == [document.files for document in expected]
    assert [document.id for document in documents] == [document.id for document in expected]
    assert packed["files"] == manifest["files"]


def test_of_rows_with_one_path_one_is_kept(tmp_path: Path):
    rows = [
        {"repo_name": NAME, "path": "a.go", "content": f"package a\n\nfunc Number{n}() {{}}\n"}
        for n in (1, 1, 2, 3)
    ]
    for number, row in enumerate(rows):
        (tmp_path / f"{number}.jsonl").write_text(json.dumps(row) + "\n")
    documents, manifest = built(tmp_path, f"jsonl:{tmp_path}/*.jsonl")
    assert paths(documents) == [["a.go"]]
    assert manifest["files"]["rejected"] == {"duplicate_path": 2, "exact_duplicate": 1}


def test_rows_keep_their_own_licences_and_revisions(tmp_path: Path):
    rows = [
        {"repo_name": NAME, "path": "b.go", "license": "MIT", "revision_id": "r1"},
        {"repo_name": NAME, "path": "a.go", "license": "ISC", "revision_id": "r2"},
    ]
    for number, row in enumerate(rows):
        row["content"] = f"package {'ab'[number]}\n\nfunc Number{number}() {{}}\n"
        (tmp_path / f"{number}.jsonl").write_text(json.dumps(row) + "\n")
    documents, _ = built(tmp_path, f"jsonl:{tmp_path}/*.jsonl")
    found = {document.files[0].path: document for document in documents}
    assert {path: found[path].files[0].licence for path in found} == {"a.go": "ISC", "b.go": "MIT"}
    assert {path: found[path].revision for path in found} == {"a.go": "r2", "b.go": "r1"}


def test_what_others_keep_in_the_output_stays(source: Path, tmp_path: Path):
    notes = tmp_path / "out/stages/notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")
    built(tmp_path, f"folder:{source}")
    assert [path.name for path in notes.parent.iterdir()] == ["notes.txt"]


def test_an_output_with_a_colon_is_a_local_folder(tmp_path: Path, monkeypatch):
    (tmp_path / "source/repo").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    source = LocalFolder("source")
    for output, expected in [("a:b", f"{tmp_path}/a:b"), ("gs://bucket/out", "gs://bucket/out")]:
        chosen = CorpusOptions(output=output, source="folder:source")
        assert make_job(chosen, source, survey(source)).output == expected


def test_paths_of_tables_may_begin_with_the_root(tmp_path: Path):
    row = {"repo_name": NAME, "path": "/cmd/a.go", "content": "package a\n\nfunc One() {}\n"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    documents, _ = built(tmp_path, f"jsonl:{tmp_path}/*.jsonl")
    assert paths(documents) == [["cmd/a.go"]]
