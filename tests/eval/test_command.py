# SPDX-License-Identifier: Apache-2.0
"""`python -m coder eval` on a run folder, without training one."""

import json
from pathlib import Path

import pytest
from flax import nnx

from coder import checkpoint
from coder.config import DataConfig, EvalConfig, ModelConfig, RunConfig, to_json, write_json
from coder.data import tokenizer
from coder.data.records import Document, DocumentFile, Split
from coder.data.tfrecord import write_shard
from coder.eval.command import main
from coder.model.transformer import init_decoder

SHARD = "held_out-00000-of-00001.tfrecord"
TEXT = "".join(f"def function_{number}(x):\n    return x + {number}\n\n" for number in range(60))


def make_document(repository: str, split: Split, text: str = TEXT) -> Document:
    file = DocumentFile("a.py", "Python", "", text, 0)
    return Document(f"{repository}#a.py", repository, "1", split, "dependency", (file,))


def write_documents(folder: Path, documents: list[Document]) -> Path:
    folder.mkdir()
    shards = []
    for split in {document.split for document in documents}:
        records = [document.encode() for document in documents if document.split == split]
        info = write_shard(folder / f"{split}-00000-of-00001.tfrecord", records)
        shards.append({"path": info.path, "records": info.records})
    write_json(folder / "manifest.json", {"digest": "0123", "by_split": {}, "shards": shards})
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    vocabulary = tokenizer.train([TEXT], 256 + len(tokenizer.CONTROL_TOKENS) + 20)
    vocabulary.save(folder / "tokenizer.json")
    config = RunConfig(
        model=ModelConfig(
            vocab_size=vocabulary.vocab_size, d_model=16, num_layers=1, num_heads=1, num_kv_heads=1,
            head_dim=8, d_ff=16,
        ),
        data=DataConfig(sequence_length=48),
        eval=EvalConfig(documents=4, lines=4, spans=4, context_tokens=32, batch_size=4),
    )  # fmt: skip
    record = {"run": to_json(config), "tokenizer": str(folder / "tokenizer.json")}
    write_json(folder / "config.json", record)
    parameters = nnx.to_pure_dict(nnx.state(init_decoder(config.model, seed=0)))
    checkpoint.save(folder / checkpoint.FOLDER, 1, {"parameters": parameters}, {}, keep=1)
    return folder


def test_a_row_for_every_item_and_a_table(run, tmp_path, capsys):
    documents = [make_document("a", "held_out"), make_document("b", "train")]
    folder = write_documents(tmp_path / "documents", documents)
    main(["--run", str(run), "--documents", str(folder)])
    result = json.loads((run / "eval.json").read_text())
    assert (result["format"], result["split"], result["documents_digest"]) == (
        1,
        "held_out",
        "0123",
    )
    assert result["seconds"] > 0
    for columns in result["items"].values():
        assert columns["repository"] == ["a"] * 4
        assert {len(values) for values in columns.values()} == {4}
    assert "single_line exact" in capsys.readouterr().out

    main(["--run", str(run), "--documents", str(folder), "--split", "train"])
    trained = json.loads((run / "eval_train.json").read_text())
    assert trained["items"]["span"]["repository"] == ["b"] * 4
    assert json.loads((run / "eval.json").read_text()) == result


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json does not exist"),
        (lambda folder: (folder / SHARD).unlink(), "lacks held_out-.*tfrecord"),
        (lambda folder: (folder / SHARD).write_bytes(b"12345"), "record 0 at byte 0"),
        (lambda folder: write_shard(folder / SHARD, []), "no held_out document has half of"),
    ],
)
def test_bad_documents_are_a_sentence(run, tmp_path, damage, message):
    folder = write_documents(tmp_path / "documents", [make_document("a", "held_out")])
    damage(folder)
    with pytest.raises(SystemExit, match=message):
        main(["--run", str(run), "--documents", str(folder)])


def test_a_folder_that_is_no_run_is_a_sentence(tmp_path):
    folder = write_documents(tmp_path / "documents", [make_document("a", "held_out")])
    with pytest.raises(SystemExit, match="is no run"):
        main(["--run", str(tmp_path), "--documents", str(folder)])


def test_windows_longer_than_the_sequences_of_training_are_refused(run, tmp_path):
    folder = write_documents(tmp_path / "documents", [make_document("a", "held_out")])
    config = json.loads((run / "config.json").read_text())
    config["run"]["eval"]["context_tokens"] = 60
    other = tmp_path / "run"
    write_json(other / "config.json", config)
    (other / checkpoint.FOLDER).symlink_to(run / checkpoint.FOLDER)
    with pytest.raises(SystemExit, match="do not fit data.sequence_length=48"):
        main(["--run", str(other), "--documents", str(folder)])
