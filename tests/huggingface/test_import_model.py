# SPDX-License-Identifier: Apache-2.0
"""Imports: every bit where it belongs, nothing half done, and errors that name the tensor."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from coder.checkpoint import CheckpointError
from coder.config import digest, to_json
from coder.huggingface import import_command, import_model
from coder.huggingface.config import from_huggingface
from coder.huggingface.import_model import load
from coder.huggingface.names import tensors
from coder.huggingface.source import read_source
from tests.data.samples import TOKENIZER
from tests.huggingface.small_models import LLAMA, V2, weights, write_index, write_source

WHOLE, SHARD = "model.safetensors", "model-00001-of-00002.safetensors"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A v1 model in one file and a V2 model in three."""
    folder = tmp_path_factory.mktemp("sources")
    write_source(folder / "v1", LLAMA, weights(LLAMA))
    write_source(folder / "v2", V2, weights(V2), shards=3)
    return folder


def imported(source: Path, output: Path) -> Path:
    import_model.import_model(read_source(source), output)
    return output


def parameters(decoder: Any) -> dict[str, np.ndarray]:
    flat, _ = jax.tree_util.tree_flatten_with_path(decoder)
    return {"/".join(str(key.name) for key in path[:-1]): np.asarray(x) for path, x in flat}


@pytest.mark.parametrize(("name", "values"), [("v1", LLAMA), ("v2", V2)])
def test_every_tensor_is_where_the_table_says(
    sources: Path, tmp_path: Path, name: str, values: dict[str, Any]
):
    decoder, config = load(imported(sources / name, tmp_path / "out"))
    found, expected = parameters(decoder), weights(values)
    assert config == from_huggingface(values)
    for tensor in tensors(config):
        array = found[tensor.path][tensor.index]
        array = array.T if tensor.transposed else array
        assert array.dtype == ml_dtypes.bfloat16
        assert array.tobytes() == expected[tensor.name].tobytes(), tensor.name


def test_the_small_files_are_kept_byte_for_byte_and_others_are_not(sources: Path, tmp_path: Path):
    (sources / "v1" / "modeling_deepseek.py").write_text("import os")
    kept = imported(sources / "v1", tmp_path / "out") / "huggingface"
    assert sorted(path.name for path in kept.iterdir()) == [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    for path in kept.iterdir():
        assert path.read_bytes() == (sources / "v1" / path.name).read_bytes()


def test_a_model_can_be_loaded_in_another_type(sources: Path, tmp_path: Path):
    folder = imported(sources / "v2", tmp_path / "out")
    stored, converted = (parameters(load(folder, dtype)[0]) for dtype in (None, "float32"))
    for name, array in converted.items():
        np.testing.assert_array_equal(array, stored[name].astype(np.float32), strict=True)


def test_on_a_cpu_the_arrays_are_the_file_itself(tmp_path: Path):
    values = LLAMA | {"hidden_size": 64, "vocab_size": 64}
    source = write_source(tmp_path / "source", values, weights(values, np.float32))
    decoder, _ = load(imported(source, tmp_path / "out"))
    address = decoder.output_DV[...].unsafe_buffer_pointer()
    ranges = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    [name] = [
        line[-1]
        for line in ranges
        if int(line[0].split("-")[0], 16) <= address < int(line[0].split("-")[1], 16)
    ]
    assert name == str(tmp_path / "out" / "parameters.safetensors")


def test_frequencies_that_old_files_hold_are_passed_over(tmp_path: Path):
    extra = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(2, np.float32)}
    source = write_source(tmp_path / "source", LLAMA, weights(LLAMA) | extra)
    load(imported(source, tmp_path / "out"))


def rewritten(change: Callable[[dict[str, np.ndarray]], Any]) -> Callable[[Path], None]:
    """Changes the tensors of the one file."""

    def rewrite(folder: Path) -> None:
        arrays = weights(LLAMA)
        change(arrays)
        save_file(arrays, folder / WHOLE)

    return rewrite


def indexed(places: Any) -> Callable[[Path], None]:
    """Has an index place tensors in SHARD, which has all, and elsewhere."""

    def index(folder: Path) -> None:
        (folder / WHOLE).rename(folder / SHARD)
        write_index(folder, places)

    return index


def pointer_in_the_index(folder: Path) -> None:
    indexed(dict.fromkeys(weights(LLAMA), SHARD))(folder)
    (folder / SHARD).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d")


Q, UP = "model.layers.1.self_attn.q_proj.weight", "model.layers.0.mlp.up_proj.weight"
CASES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (
        lambda folder: (folder / "config.json").unlink(),
        "config.json cannot be read: No such file",
    ),
    "bad json": (
        lambda folder: (folder / "config.json").write_text('{"a": '),
        "config.json is no JSON",
    ),
    "deep json": (
        lambda folder: (folder / "config.json").write_text("[" * 200_000),
        "config.json is no JSON",
    ),
    "no object": (lambda folder: (folder / "config.json").write_text("[]"), "no JSON object"),
    "unknown architecture": (
        lambda folder: (folder / "config.json").write_text('{"architectures": ["Qwen"]}'),
        r"config.json: architecture \['Qwen'\] is not supported: only LlamaForCausalLM, Deepseek",
    ),
    "no weights": (
        lambda folder: (folder / WHOLE).unlink(),
        "has neither model.safetensors nor model.safetensors.index.json$",
    ),
    "only torch's": (
        lambda folder: (folder / WHOLE).rename(folder / "pytorch_model.bin"),
        "it has pytorch_model.bin.*convert it to safetensors",
    ),
    "truncated": (
        lambda folder: os.truncate(folder / WHOLE, (folder / WHOLE).stat().st_size - 1),
        r"model.safetensors is cut short: model\.\S+ ends at byte",
    ),
    "no safetensors": (
        lambda folder: (folder / WHOLE).write_bytes(b"weights"),
        "model.safetensors is no safetensors file",
    ),
    "no index": (
        lambda folder: (folder / WHOLE).rename(folder / SHARD),
        f"it has {SHARD}, and only the index tells .*: download model.safetensors.index.json",
    ),
    "a shard that was not fetched": (
        pointer_in_the_index,
        f"{SHARD} is a pointer of Git LFS, not the file: run `git lfs pull` in ",
    ),
    "missing tensor": (
        rewritten(lambda arrays: arrays.pop(Q)),
        rf"lacks {Q} \[16, 16\]: config.json",
    ),
    "surplus tensor": (
        rewritten(lambda arrays: arrays.update({"extra.bias": arrays[Q]})),
        r"has extra.bias \[16, 16\]: config.json describes a model without",
    ),
    "wrong shape": (
        rewritten(lambda arrays: arrays.update({UP: arrays[UP][:, 1:].copy()})),
        rf"{WHOLE}: {UP} is \[24, 15\].* in which it is \[24, 16\]",
    ),
    "other config": (
        lambda folder: (folder / "config.json").write_text(
            json.dumps(LLAMA | {"num_hidden_layers": 3})
        ),
        "lacks model.layers.2.input_layernorm.weight.* and 4 more: config.json",
    ),
    "two types": (
        rewritten(lambda arrays: arrays.update({Q: arrays[Q].astype(np.float32)})),
        rf"{Q} is F32, and other tensors are BF16",
    ),
    "double precision": (
        rewritten(lambda arrays: arrays.update({Q: arrays[Q].astype(np.float64)})),
        rf"{Q} is F64: only BF16, F16, F32 are read",
    ),
    "missing shard": (
        indexed(dict.fromkeys(weights(LLAMA), SHARD) | {Q: "model-00002-of-00002.safetensors"}),
        f"model-00002-of-00002.safetensors is missing: .* places 1 tensors there, as {Q}",
    ),
    "absent from its shard": (
        indexed(dict.fromkeys([*weights(LLAMA), "absent"], SHARD)),
        f"{SHARD} lacks absent, which model.safetensors.index.json places there",
    ),
    "not in the index": (
        indexed({Q: SHARD}),
        f"{SHARD} has lm_head.weight, which model.safetensors.index.json does not place there",
    ),
    "outside": (indexed({Q: "../secret.safetensors"}), "'../secret.safetensors', outside of its"),
    "empty index": (indexed({}), "has no weight_map"),
    "index of another form": (indexed([Q]), "has no weight_map"),
}


@pytest.mark.parametrize(("spoil", "problem"), CASES.values(), ids=CASES)
def test_what_is_wrong_is_said_and_nothing_is_left(
    tmp_path: Path, spoil: Callable[[Path], Any], problem: str, capsys: pytest.CaptureFixture[str]
):
    source = write_source(tmp_path / "source", LLAMA, weights(LLAMA))
    spoil(source)
    with pytest.raises(SystemExit, match=f"error: .*{problem}"):
        import_command.main(["--source", str(source), "--output", str(tmp_path / "out")])
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_the_command_imports_and_refuses_to_overwrite(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    options = ["--source", str(sources / "v2"), "--output", str(tmp_path / "out")]
    import_command.main(options)
    assert "DeepseekV2ForCausalLM, 65 tensors" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="out exists: delete it"):
        import_command.main(options)


def made_of_sentence_pieces(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"model": {"type": "Unigram"}}')


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is missing:"),
        (
            lambda folder: (folder / "tokenizer.json").rename(folder / "tokenizer.model"),
            "tokenizer.json is missing, and tokenizer.model is not read:",
        ),
        (made_of_sentence_pieces, "model Unigram: only byte-level BPE is supported:"),
        (lambda folder: None, "tokens, and the model 40:"),
    ],
)
def test_weights_without_a_tokenizer_are_imported_with_a_warning(
    tmp_path: Path,
    spoil: Callable[[Path], Any],
    problem: str,
    capsys: pytest.CaptureFixture[str],
):
    source = write_source(tmp_path / "source", LLAMA, weights(LLAMA))
    spoil(source)
    import_command.main(["--source", str(source), "--output", str(tmp_path / "out")])
    told = capsys.readouterr().err
    assert problem in told
    assert "complete and chat will refuse" in told
    load(tmp_path / "out")


def test_a_tied_table_may_be_there_twice_if_it_is_the_same(tmp_path: Path):
    values = LLAMA | {"tie_word_embeddings": True}
    arrays = weights(values)
    table = arrays["model.embed_tokens.weight"]
    twice = write_source(tmp_path / "twice", values, arrays | {"lm_head.weight": table.copy()})
    found = parameters(load(imported(twice, tmp_path / "out"))[0])
    assert "output_DV" not in found
    assert found["embedding_VD"].tobytes() == table.tobytes()
    for name, other in (("bits", -table), ("shape", table[1:].copy())):
        source = write_source(tmp_path / name, values, arrays | {"lm_head.weight": other})
        with pytest.raises(CheckpointError, match="lm_head.weight differs from model.embed_tokens"):
            read_source(source)


def test_a_name_of_the_hubs_is_not_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="hf download deepseek-ai/base --local-dir base"):
        read_source(Path("deepseek-ai/base"))
    with pytest.raises(CheckpointError, match="absent does not exist$"):
        read_source(tmp_path / "absent")


def test_a_tokenizer_that_can_be_used_needs_no_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    values = LLAMA | {"vocab_size": TOKENIZER.vocab_size}
    source = write_source(tmp_path / "source", values, weights(values))
    import_command.main(["--source", str(source), "--output", str(tmp_path / "out")])
    assert capsys.readouterr().err == ""


def test_a_killed_import_leaves_nothing_that_looks_finished(sources: Path, tmp_path: Path):
    program = (
        "import os, sys; from pathlib import Path; "
        "from coder.huggingface import import_model as m; "
        "from coder.huggingface.source import read_source; "
        "kill = lambda name, size: name == 'model.norm.weight' and os._exit(7); "
        "m.import_model(read_source(Path(sys.argv[1])), Path(sys.argv[2]), kill)"
    )
    command = [sys.executable, "-c", program, str(sources / "v1"), str(tmp_path / "out")]
    assert subprocess.run(command, check=False).returncode == 7
    assert [path.name for path in tmp_path.iterdir()] == [".out.partial"]
    with pytest.raises(CheckpointError, match=r"\.out\.partial holds no imported model"):
        load(tmp_path / ".out.partial")
    imported(sources / "v1", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_interrupted_import_leaves_nothing(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(name: str, size: int) -> None:
        assert (tmp_path / ".out.partial").is_dir()
        raise KeyboardInterrupt

    monkeypatch.setattr(import_command, "writing_bar", lambda size: nullcontext(interrupt))
    with pytest.raises(SystemExit, match="interrupted: nothing is left in .*out"):
        import_command.main(["--source", str(sources / "v1"), "--output", str(tmp_path / "out")])
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_before_anything_is_written(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    full = type("Usage", (), {"free": 1000, "total": 10**9})
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    with pytest.raises(CheckpointError, match="out would take .* are free there"):
        imported(sources / "v1", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_a_folder_is_told(sources: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="link is a link to .*absent, which does not exist"):
        imported(sources / "v1", tmp_path / "link")
    with pytest.raises(CheckpointError, match="/proc is no place for files: choose another"):
        imported(sources / "v1", Path("/proc/model"))
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def flipped(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("file", "place"),
    [
        ("parameters.safetensors", -1),
        ("parameters.safetensors", 0),
        ("parameters.safetensors", 20),
        ("parameters.safetensors", 6000),
        ("huggingface/tokenizer.json", 100),
        ("imported.json", 30),
    ],
)
def test_a_flipped_bit_is_noticed(sources: Path, tmp_path: Path, file: str, place: int):
    folder = imported(sources / "v1", tmp_path / "out")
    flipped(folder / file, place)
    with pytest.raises(CheckpointError, match=Path(file).name):
        load(folder)


def test_a_changed_setting_is_noticed(sources: Path, tmp_path: Path):
    folder = imported(sources / "v1", tmp_path / "out")
    record = json.loads((folder / "imported.json").read_text())
    assert record["model"] == to_json(from_huggingface(LLAMA))
    record["model"]["rope_theta"] = 10_000.0
    (folder / "imported.json").write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match="imported.json is not what was imported"):
        load(folder)
    del record["seal"], record["model"]["rope_theta"]
    record["model"]["rope_base"] = 10_000.0
    (folder / "imported.json").write_text(json.dumps(record | {"seal": digest(record)}))
    with pytest.raises(CheckpointError, match="of another version: unknown setting rope_base"):
        load(folder)
    (folder / "imported.json").write_text(json.dumps(record | {"format": 0}))
    with pytest.raises(CheckpointError, match="of format 0, and this version reads 1"):
        load(folder)


def test_a_folder_of_something_else_is_told(sources: Path):
    with pytest.raises(CheckpointError, match=r"v1 holds no imported model: it has no imported"):
        load(sources / "v1")
