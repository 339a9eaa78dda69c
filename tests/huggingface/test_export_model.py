# SPDX-License-Identifier: Apache-2.0
"""Exports: the same bits in both directions, and the files that transformers, vLLM and TGI need."""

import json
import math
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from coder import checkpoint
from coder.config import DataConfig, ModelConfig, RunConfig, replace, to_json
from coder.huggingface import export_command
from coder.huggingface.config import from_huggingface
from coder.huggingface.export_model import export_model
from coder.huggingface.exportable import Exportable, read_exportable
from coder.huggingface.import_model import import_model, load
from coder.huggingface.names import parameter_shapes
from coder.huggingface.source import read_source
from coder.model.transformer import Decoder
from tests.data.samples import TOKENIZER
from tests.huggingface.small_models import (
    LLAMA,
    V2,
    Tensors,
    equal,
    read_tensors,
    weights,
    write_source,
)

MODEL = replace(from_huggingface(LLAMA), {"vocab_size": TOKENIZER.vocab_size, "max_positions": 0})


def write_run(folder: Path, model: ModelConfig = MODEL) -> Path:
    """A run with a checkpoint of random parameters."""
    folder.mkdir()
    TOKENIZER.save(folder / "tokenizer.json")
    config = RunConfig(model=model, data=DataConfig(sequence_length=64))
    record = {"run": to_json(config), "tokenizer": str(folder / "tokenizer.json")}
    (folder / "config.json").write_text(json.dumps(record))
    rng = np.random.default_rng(0)
    shapes = nnx.to_pure_dict(nnx.state(nnx.eval_shape(lambda: Decoder(model, nnx.Rngs(0)))))
    parameters = jax.tree.map(lambda leaf: rng.random(leaf.shape, np.float32), shapes)
    checkpoint.save(folder / checkpoint.FOLDER, 5, {"parameters": parameters}, {}, keep=1)
    return folder


def export(source: Path, output: Path, *options: str) -> Path:
    export_command.main(["--source", str(source), "--output", str(output), *options])
    return output


def imported(source: Path, output: Path) -> Path:
    import_model(read_source(source), output)
    return output


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


@pytest.mark.parametrize("values", [LLAMA, V2, LLAMA | {"tie_word_embeddings": True}])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_an_import_is_exported_with_the_same_bits(tmp_path: Path, values: dict, dtype: Any):
    arrays = weights(values, dtype)
    source = write_source(tmp_path / "source", values, arrays, shards=2)
    ours = imported(source, tmp_path / "ours")
    back = export(ours, tmp_path / "back", "--shard-gb", "2e-6")
    assert equal(read_tensors(back), arrays)
    written = read(back / "config.json")
    assert from_huggingface(written) == from_huggingface(values)
    assert written["dtype"] == written["torch_dtype"] == np.dtype(dtype).name
    assert written["eos_token_id"] == values["eos_token_id"]
    assert "auto_map" not in written


def test_shards_are_as_large_as_asked_and_in_the_index(tmp_path: Path):
    source = write_source(tmp_path / "source", V2, weights(V2))
    back = export(imported(source, tmp_path / "ours"), tmp_path / "back", "--shard-gb", "2e-6")
    index = read(back / "model.safetensors.index.json")
    shards = sorted(path.name for path in back.glob("*.safetensors"))
    assert shards[0] == f"model-00001-of-{len(shards):05}.safetensors"
    assert len(shards) > 3
    sizes = dict.fromkeys(shards, 0)
    arrays = read_tensors(back)
    for name, shard in index["weight_map"].items():
        sizes[shard] += arrays[name].nbytes
    assert max(sizes.values()) <= 2000
    assert index["metadata"]["total_size"] == sum(sizes.values())
    assert imported(back, tmp_path / "again").exists()


def test_a_run_is_exported_and_imported_with_the_same_bits(tmp_path: Path):
    run = write_run(tmp_path / "run")
    back = imported(export(run, tmp_path / "out"), tmp_path / "back")
    decoder, config = load(back)
    assert config == replace(MODEL, {"max_positions": 64})
    assert equal(read_exportable(back).parameters, read_exportable(run).parameters)
    assert decoder.embedding_VD[...].dtype == np.float32


def test_a_run_has_the_files_that_readers_need(tmp_path: Path):
    out = export(write_run(tmp_path / "run"), tmp_path / "out", "--dtype", "bfloat16")
    assert (out / "tokenizer.json").read_bytes() == TOKENIZER.definition.encode()
    assert read(out / "tokenizer_config.json") == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<｜begin▁of▁sentence｜>",
        "eos_token": "<｜end▁of▁sentence｜>",
        "pad_token": "<pad>",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 64,
    }
    ids = {
        "bos_token_id": TOKENIZER.bos,
        "eos_token_id": TOKENIZER.eos,
        "pad_token_id": TOKENIZER.pad,
    }
    assert read(out / "generation_config.json") == ids
    values = read(out / "config.json")
    assert values.items() >= ids.items()
    assert values["max_position_embeddings"] == 64
    assert values["dtype"] == values["torch_dtype"] == "bfloat16"
    assert read_tensors(out)["model.norm.weight"].dtype == ml_dtypes.bfloat16


def test_an_import_keeps_its_files_but_for_the_class_of_the_tokenizer(tmp_path: Path):
    source = write_source(tmp_path / "source", V2, weights(V2))
    (source / "generation_config.json").write_text('{"top_p":  0.95}')
    (source / "chat_template.jinja").write_text("{{ messages[0] }}")
    out = export(imported(source, tmp_path / "ours"), tmp_path / "out")
    for name in ("tokenizer.json", "generation_config.json", "chat_template.jinja"):
        assert (out / name).read_bytes() == (source / name).read_bytes()
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": "{{ messages }}"}
    assert read(out / "tokenizer_config.json") == told


def test_an_export_without_a_tokenizer_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = write_source(tmp_path / "source", LLAMA, weights(LLAMA))
    (source / "tokenizer.json").unlink()
    out = export(imported(source, tmp_path / "ours"), tmp_path / "out")
    assert "ours has no tokenizer.json, so" in capsys.readouterr().err
    assert not (out / "tokenizer.json").exists()


def test_a_tied_v2_is_written_untied(tmp_path: Path):
    values = V2 | {"tie_word_embeddings": True}
    arrays = weights(values)
    ours = imported(write_source(tmp_path / "source", values, arrays), tmp_path / "ours")
    out = export(ours, tmp_path / "out")
    assert read(out / "config.json")["tie_word_embeddings"] is False
    assert equal(
        read_tensors(out), arrays | {"lm_head.weight": arrays["model.embed_tokens.weight"]}
    )


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--shard-gb", "0"], "--shard-gb 0.0: must be more than 0"),
        (["--adapter", "absent"], "absent"),
    ],
)
def test_options_that_cannot_be_are_told(tmp_path: Path, options: list[str], problem: str):
    source = write_source(tmp_path / "source", LLAMA, weights(LLAMA))
    ours = imported(source, tmp_path / "ours")
    with pytest.raises(SystemExit, match=problem):
        export(ours, tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_exported_is_told(tmp_path: Path):
    with pytest.raises(SystemExit, match="error: .*is no run and no imported model"):
        export(tmp_path, tmp_path / "out")
    run = write_run(tmp_path / "run", replace(MODEL, {"num_heads": 6}))
    with pytest.raises(SystemExit, match="cannot be exported: model.d_model=16 is no multiple"):
        export(run, tmp_path / "out")
    (run / "tokenizer.json").unlink()
    with pytest.raises(SystemExit, match="cannot read its tokenizer"):
        export(run, tmp_path / "out")


def test_what_is_there_is_not_overwritten(tmp_path: Path):
    ours = imported(write_source(tmp_path / "source", LLAMA, weights(LLAMA)), tmp_path / "ours")
    with pytest.raises(SystemExit, match="source exists: delete it"):
        export(ours, tmp_path / "source")


def models() -> st.SearchStrategy[ModelConfig]:
    """Small models of both architectures."""
    small = st.integers(1, 3)
    own = st.fixed_dictionaries(
        {
            "num_layers": small,
            "vocab_size": st.integers(1, 9),
            "d_ff": st.integers(1, 9),
            "tie_embeddings": st.booleans(),
        }
    )
    llama = st.fixed_dictionaries({"num_kv_heads": st.sampled_from([1, 2, 4])})
    v2 = st.fixed_dictionaries(
        {
            "mla.q_lora_rank": st.sampled_from([0, 5]),
            "mla.kv_lora_rank": st.integers(1, 5),
            "mla.v_head_dim": small,
            "moe.num_shared_experts": st.integers(0, 2),
            "moe.first_dense_layers": st.integers(0, 1),
            "num_layers": st.integers(2, 3),
            "tie_embeddings": st.just(False),
        }
    )
    return st.one_of(
        st.builds(lambda own, more: replace(from_huggingface(LLAMA), own | more), own, llama),
        st.builds(lambda own, more: replace(from_huggingface(V2), own | more), own, v2),
    )


@settings(max_examples=12, deadline=None)
@given(models(), st.booleans(), st.integers(100, 100_000))
def test_any_model_goes_out_and_comes_back(
    tmp_path_factory: pytest.TempPathFactory, config: ModelConfig, half: bool, shard_bytes: int
):
    folder = tmp_path_factory.mktemp("models")
    dtype = ml_dtypes.bfloat16 if half else np.float32
    parameters: Tensors = {
        path: np.arange(math.prod(shape)).astype(dtype).reshape(shape)
        for path, shape in parameter_shapes(config).items()
    }
    model = Exportable(config, parameters, {}, {})
    export_model(model, folder / "out", "stored", shard_bytes, {})
    again = read_exportable(imported(folder / "out", folder / "back"))
    assert again.config == config
    assert equal(again.parameters, parameters)
