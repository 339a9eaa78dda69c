# SPDX-License-Identifier: Apache-2.0
"""The examples pipeline: the same bytes for any workers, the same texts for all variants."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beam_pipelines import examples
from coder.data import packing
from coder.data.tfrecord import read_shard
from tests.data.samples import CODE, SENTINELS, TOKENIZER, document, write_corpus
from tests.data.test_fim import restore as restore_fim
from tests.data.test_spans import restore as restore_spans

WINDOWS = ("--granularity", "window", "--sequence-length", "80", "--line-aligned", "0.5")
LITERAL = "text = '<｜fim▁hole｜><｜end▁of▁sentence｜>'\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, `corpus`, and a tokenizer, `tokenizer.json`."""
    folder = tmp_path_factory.mktemp("examples")
    parts = CODE.split("\ndef ")
    train = [document(f"r{n}", *parts[n::8], LITERAL) for n in range(8)]
    write_corpus(folder / "corpus", [*train, document("h", LITERAL, split="held_out")])
    TOKENIZER.save(folder / "tokenizer.json")
    return folder


def flags(place: Path, output: Path | str, *more: str) -> list[str]:
    return [
        *("--documents", str(place / "corpus")),
        *("--tokenizer", str(place / "tokenizer.json")),
        *("--output", str(place / output)),
        *more,
    ]


def run(place: Path, output: str, *more: str) -> dict[str, Any]:
    with pytest.raises(SystemExit) as exit_:
        examples.main(flags(place, output, *more))
    assert exit_.value.code == 0
    return json.loads((place / output / "manifest.json").read_text())


def error(place: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """What the command says when it cannot be carried out."""
    with pytest.raises(SystemExit) as exit_:
        examples.main(flags(place, "refused", *more))
    assert exit_.value.code == 2
    assert not (place / "refused" / "manifest.json").exists()
    return capsys.readouterr().err


def segments(folder: Path, split: str = "train") -> list[list[list[int]]]:
    """The ids of every segment of every example."""
    found = []
    for shard in sorted(folder.glob(f"{split}-*.tfrecord")):
        for record in read_shard(shard):
            example = packing.decode(record)
            ids, tokens = example["segment_ids"], example["tokens"]
            found.append([tokens[ids == n].tolist() for n in range(1, ids.max() + 1)])
    return found


def sources(folder: Path) -> list[list[bytes]]:
    """The source text of every segment: which variant made it does not matter."""
    return [[source(ids) for ids in example] for example in segments(folder)]


def source(ids: list[int]) -> bytes:
    if TOKENIZER.fim_begin in ids:
        return restore_fim(ids, "psm")
    if TOKENIZER.mask(0) in ids:
        return TOKENIZER.decode_bytes(restore_spans(ids)[0])
    return TOKENIZER.decode_bytes(id_ for id_ in ids if id_ not in SENTINELS)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_whole_documents_are_packed_and_counted(place: Path):
    manifest = run(place, "whole", "--sequence-length", "256")
    written = segments(place / "whole")
    assert manifest["examples"] == len(written)
    assert manifest["tokens"]["written"] == 256 * len(written)
    used = sum(len(ids) for example in written for ids in example)
    assert manifest["tokens"]["padding"] == 256 * len(written) - used
    assert manifest["tokens"]["padding_share"] < 0.1
    assert manifest["texts"]["written"] == 8
    assert manifest["texts"]["cut_by_packing"] > 0
    bytes_in = sum(len(text.encode()) for text in texts_of(place / "corpus"))
    assert manifest["bytes"] == bytes_in
    assert sum(shard["records"] for shard in manifest["shards"]) == len(written)
    for shard in manifest["shards"]:
        assert (place / "whole" / shard["path"]).stat().st_size == shard["bytes"]


def texts_of(corpus: Path) -> list[str]:
    from coder.data.records import Document

    shards = sorted(corpus.glob("train-*"))
    return [Document.decode(record).text() for shard in shards for record in read_shard(shard)]


def test_windows_hold_the_whole_split(place: Path):
    manifest = run(place, "windows", *WINDOWS)
    found = Counter(b"".join(text for example in sources(place / "windows") for text in example))
    assert found == Counter("".join(texts_of(place / "corpus")).encode())
    assert manifest["texts"]["parts_of_cut_units"] <= 2
    assert 0.35 < manifest["texts"]["infilling_share"] < 0.65


def test_literal_sentinels_stay_text(place: Path):
    """Every file of the corpus's end spells two; control tokens are those of the format alone."""
    run(place, "literal", "--sequence-length", "2048", "--fim-rate", "0")
    spelled = 0
    for example in segments(place / "literal"):
        for ids in example:
            assert TOKENIZER.fim_hole not in ids
            spelled += TOKENIZER.decode(ids).count("<｜fim▁hole｜>")
    assert spelled == 8


def test_variants_see_the_same_texts_in_the_same_places(place: Path):
    sample = (*WINDOWS, "--window-tokens", "60", "--tokens", "4000", "--shards", "2")
    variants = {
        "no_fim": ("--fim-rate", "0"),
        "psm_50": ("--fim-rate", "0.5"),
        "psm_100": ("--fim-rate", "1"),
        "msp_50": ("--fim-rate", "0.5", "--objective", "msp"),
    }
    found = {}
    for name, options in variants.items():
        manifest = run(place, f"fair/{name}", *sample, *options)
        assert manifest["tokens"]["written"] == 4000
        found[name] = sources(place / "fair" / name)
    assert found["no_fim"] == found["psm_50"] == found["psm_100"] == found["msp_50"]


def test_a_sample_is_exact_and_another_seed_draws_another(place: Path):
    options = (*WINDOWS, "--window-tokens", "24", "--tokens", "1999", "--shards", "3")
    first = run(place, "seed0", *options)
    assert first["tokens"] == first["tokens"] | {"asked": 1999, "written": 24 * 80}
    assert [shard["records"] for shard in first["shards"]] == [8, 8, 8]
    run(place, "seed1", *options, "--seed", "1")
    assert sources(place / "seed0") != sources(place / "seed1")


def test_more_than_there_is_gives_all_there_is(place: Path, capsys: pytest.CaptureFixture[str]):
    manifest = run(place, "more", "--tokens", "10000000", "--sequence-length", "256")
    assert manifest["tokens"]["written"] < 10_000_000
    assert "the documents have no more" in capsys.readouterr().out


def test_worker_processes_make_no_difference(place: Path):
    options = (*WINDOWS, "--tokens", "3000")
    run(place, "one", *options)
    command = [sys.executable, "-m", "beam_pipelines.examples"]
    two = [*flags(place, "two", *options), "--workers", "2"]
    subprocess.run([*command, *two], check=True, capture_output=True)
    assert contents(place / "one") == contents(place / "two")


def test_held_out_documents_can_be_chosen(place: Path):
    manifest = run(place, "held", "--split", "held_out", "--fim-rate", "0")
    ((ids,),) = segments(place / "held", "held_out")
    assert TOKENIZER.decode(ids).endswith(LITERAL + "<｜end▁of▁sentence｜>")
    assert manifest["shards"][0]["path"].startswith("held_out-")


def test_finished_output_is_left_alone(place: Path, capsys: pytest.CaptureFixture[str]):
    run(place, "done", "--sequence-length", "512")
    before = contents(place / "done")
    capsys.readouterr()
    run(place, "done", "--sequence-length", "512")
    assert "is up to date" in capsys.readouterr().out
    with pytest.raises(SystemExit) as exit_:
        examples.main(flags(place, "done", "--sequence-length", "512", "--fim-rate", "1"))
    assert exit_.value.code == 2
    assert "fim_rate: 0.5 -> 1.0" in capsys.readouterr().err
    assert contents(place / "done") == before


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--fim-rat", "0.5"], "--fim-rate"),
        (["--fim-format", "pms"], "psm"),
        (["--fim-rate", "1.5"], "--fim-rate 1.5: at least 0, at most 1"),
        (["--shards", "0"], "--shards 0: at least 1"),
        (["--tokens", "100"], "--tokens 100: 0 for the whole split, or at least the 256"),
        ([*WINDOWS, "--window-tokens", "78"], "--window-tokens 78: at most 75"),
        (["--documents", "nowhere"], "nowhere is no finished output of beam_pipelines.corpus"),
        (["--tokenizer", "nowhere.json"], "nowhere.json"),
        (["--", "--direct_num_worker=2"], "unknown Beam option --direct_num_worker"),
    ],
)
def test_what_cannot_be_done_is_said(
    place: Path, capsys: pytest.CaptureFixture[str], options: Sequence[str], problem: str
):
    assert problem in error(place, capsys, *options)


def test_a_tokenizer_without_masks_is_refused_for_msp(place: Path, tmp_path: Path, capsys):
    parsed = json.loads(TOKENIZER.definition)
    parsed["added_tokens"] = [
        token for token in parsed["added_tokens"] if "mask" not in token["content"]
    ]
    (tmp_path / "released.json").write_text(json.dumps(parsed))
    options = ["--tokenizer", str(tmp_path / "released.json"), "--objective", "msp"]
    assert "no control token <｜mask▁0｜>" in error(place, capsys, *options)


def test_a_corrupt_shard_is_named(place: Path, tmp_path: Path, capsys):
    corpus = write_corpus(tmp_path / "corpus", [document(f"r{n}", CODE) for n in range(4)])
    shard = corpus / "train-00001-of-00002.tfrecord"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    said = error(place, capsys, "--documents", str(corpus))
    assert "train-00001-of-00002.tfrecord: record" in said
    assert "check sum" in said


def test_positions_and_segments_are_those_of_each_text(place: Path):
    run(place, "windows", *WINDOWS)
    for shard in sorted((place / "windows").glob("train-*")):
        for record in read_shard(shard):
            example = packing.decode(record)
            starts = np.flatnonzero(np.diff(example["segment_ids"], prepend=0))
            for start in starts:
                if example["segment_ids"][start]:
                    assert example["positions"][start] == 0
                    assert example["tokens"][start] == TOKENIZER.bos
