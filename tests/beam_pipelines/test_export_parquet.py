# SPDX-License-Identifier: Apache-2.0
"""Parquet exports: the same content as the corpus, and a card that says so."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from beam_pipelines import export_parquet
from beam_pipelines.dataset_card import hub_licences, size_category, yaml_lines
from beam_pipelines.export_parquet import Rows, export, main
from beam_pipelines.sources.row_columns import file_of
from coder.data.documents import read_documents
from coder.data.records import Reject
from tests.beam_pipelines.finished_corpus import document, finish


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    documents = [
        document(f"owner/r{n}", {"a.py": f"x = {n}\n", "ü/b.py": "é = '😀'"}) for n in range(7)
    ]
    documents += [
        document("web", {"index.md": "# Title\n"}, "Markdown", "", "held_out"),
        document("dual", {"a.py": "y = 1\n"}, licence="MIT OR Apache-2.0"),
    ]
    return finish(tmp_path_factory.mktemp("corpus"), documents, shards=3)


def front_matter(folder: Path) -> dict[str, Any]:
    _, front, _ = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front)


@pytest.mark.parametrize("rows", ["file", "document"])
@pytest.mark.parametrize("group", [1, 10_000])
def test_what_is_read_back_is_the_corpus(
    rows: Rows, group: int, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_parquet, "GROUP_ROWS", group)
    export(corpus, tmp_path / "out", rows)
    for shard in sorted(corpus.glob("*.tfrecord")):
        found = pq.read_table(tmp_path / "out/data" / f"{shard.stem}.parquet").to_pylist()
        stored = list(read_documents(shard))
        if rows == "document":
            assert [row["text"] for row in found] == [d.text() for d in stored]
            assert [row["paths"] for row in found] == [[f.path for f in d.files] for d in stored]
        else:
            files = [(d, n, f) for d in stored for n, f in enumerate(d.files)]
            assert [(row["document"], row["position"], row["content"]) for row in found] == [
                (d.id, n, f.text) for d, n, f in files
            ]
            assert [(row["path"], row["licence"], row["split"]) for row in found] == [
                (f.path, f.licence, d.split) for d, _, f in files
            ]
        assert all(
            row["size"] == len(row.get("content", row.get("text")).encode()) for row in found
        )


@pytest.mark.parametrize("rows", ["file", "document"])
def test_the_front_matter_describes_the_files(rows: Rows, corpus: Path, tmp_path: Path) -> None:
    export(corpus, tmp_path, rows)
    front = front_matter(tmp_path)
    assert front["license"] == ["mit", "other", "unknown"]
    assert front["language"] == ["code"]
    assert front["size_categories"] == ["n<1K"]
    (default,) = front["configs"]
    splits = {split["name"]: split for split in front["dataset_info"]["splits"]}
    assert {entry["split"] for entry in default["data_files"]} == splits.keys()
    total = 0
    for entry in default["data_files"]:
        paths = sorted(tmp_path.glob(entry["path"]))
        tables = [pq.read_table(path) for path in paths]
        assert sum(table.num_rows for table in tables) == splits[entry["split"]]["num_examples"]
        total += sum(path.stat().st_size for path in paths)
        described = [
            (f["name"], f.get("dtype") or f"list<element: {f['list']}>")
            for f in front["dataset_info"]["features"]
        ]
        assert [(field.name, str(field.type)) for field in tables[0].schema] == described
    assert front["dataset_info"]["download_size"] == total


def test_the_card_tells_how_it_was_made_and_what_it_is_not(corpus: Path, tmp_path: Path) -> None:
    export(corpus, tmp_path, "file")
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    for part in ("## Columns", "## How it was made", "**read**", "| Python |", "`MIT`", "## Known"):
        assert part in card
    assert "not known" in card and '"max_line": 1000' in card


def test_an_export_of_files_is_a_source_again(corpus: Path, tmp_path: Path) -> None:
    export(corpus, tmp_path, "file")
    shards = corpus.glob("*.tfrecord")
    stored = {
        (d.repository, f.path): (d.revision, f.licence, f.text.encode())
        for shard in shards
        for d in read_documents(shard)
        for f in d.files
    }
    for path in tmp_path.glob("data/*.parquet"):
        for number, row in enumerate(pq.read_table(path).to_pylist(), start=1):
            found = file_of(row, path.name, number)
            assert not isinstance(found, Reject)
            info, file = found
            known = stored.pop((info.name, file.path))
            assert known == (info.revision, info.licence, file.content)
    assert not stored


def test_a_split_without_rows_is_left_out(tmp_path: Path) -> None:
    corpus = finish(tmp_path / "corpus", [document("a", {"a.py": "x = 1\n"})])
    assert list(export(corpus, tmp_path / "out", "file")) == ["train"]
    (default,) = front_matter(tmp_path / "out")["configs"]
    assert [entry["split"] for entry in default["data_files"]] == ["train"]


def test_nothing_is_written_over_and_errors_are_said(corpus: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for run, output, message in (
        (corpus, tmp_path, "is not empty"),
        (corpus, tmp_path / "mine.txt", "cannot be written"),
        (tmp_path, tmp_path / "new", "no finished output"),
    ):
        with pytest.raises(SystemExit) as error:
            main(["--run", str(run), "--output", str(output)])
        assert error.value.code == 2
        assert message in capsys.readouterr().err


def test_a_damaged_shard_is_an_error(tmp_path: Path, capsys) -> None:
    corpus = finish(tmp_path / "corpus", [document("a", {"a.py": "x = 1\n"})], shards=1)
    shard = corpus / "train-00000-of-00001.tfrecord"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(SystemExit) as error:
        main(["--run", str(corpus), "--output", str(tmp_path / "out")])
    assert error.value.code == 2
    assert "check sum" in capsys.readouterr().err
    assert not (tmp_path / "out/README.md").exists()


def test_the_hub_is_told_its_own_names() -> None:
    licences = {"MIT": {}, "GPL-2.0-only": {}, "": {}, "Our own": {}, "MIT AND ISC": {}}
    assert hub_licences(licences) == ["gpl-2.0", "mit", "other", "unknown"]
    assert [size_category(n) for n in (0, 1000, 9_999_999, 10**12)] == [
        "n<1K",
        "1K<n<10K",
        "1M<n<10M",
        "n>1T",
    ]


def test_yaml_says_what_was_meant() -> None:
    value = {
        "a": [1, "two: 'x'", 'quo"te', "no", ""],
        "b": {"c": [{"d": "# é", "e": [{"f": 1}]}, {"d": "-"}]},
    }
    assert yaml.safe_load("\n".join(yaml_lines(value))) == value
