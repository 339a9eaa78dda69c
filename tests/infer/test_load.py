# SPDX-License-Identifier: Apache-2.0
"""What is known of a model when it is loaded, and what is said of one that cannot be."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import pytest

from coder import checkpoint
from coder.checkpoint import CheckpointError
from coder.config import digest
from coder.data import tokenizer
from coder.huggingface.adapters import save_adapter
from coder.infer.load import _released_format, load, load_run
from coder.model.lora import adapters_of, add_adapters
from tests.infer.small_models import LLAMA, TOKENIZER, V2, write_imported, write_run
from tests.model.drawn import drawn_decoder

EOS, LETTER = TOKENIZER.eos, TOKENIZER.encode("a")[0]


def edited(change: Callable[[dict], None]) -> Callable[[Path], None]:
    def edit(run: Path) -> None:
        record = json.loads((run / "config.json").read_text())
        change(record)
        (run / "config.json").write_text(json.dumps(record))

    return edit


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    edited(lambda record: record.update(tokenizer=f"{copy}/tokenizer.json"))(copy)
    return copy


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_imported(
        tmp_path_factory.mktemp("imported") / "v2",
        V2,
        tokenizer_config={"chat_template": "{{ 'User: ' + x }}{{ 'Assistant:' }}"},
        generation_config={"eos_token_id": [EOS, LETTER]},
    )


def test_a_run_is_loaded_with_its_parameters(run):
    model, loaded, config = load_run(run)
    expected = drawn_decoder(config.model, seed=3)
    assert all(
        (a == b).all()
        for a, b in zip(jax.tree.leaves(model), jax.tree.leaves(expected), strict=True)
    )
    assert loaded.encode("def add") == TOKENIZER.encode("def add")


def test_a_run_fills_in_as_its_examples_do_and_does_not_converse(run):
    loaded = load(run)
    assert (loaded.infill, loaded.chat) == ("psm", None)
    assert loaded.end_ids == TOKENIZER.control_ids
    assert (loaded.context_length, loaded.bos_ids) == (256, [TOKENIZER.bos])


def test_a_runs_settings_tell_its_format_and_context(copied):
    edited(lambda record: record["run"]["data"].update(objective="msp"))(copied)
    edited(lambda record: record["run"]["model"].update(max_positions=1024))(copied)
    assert (load(copied).infill, load(copied).context_length) == ("msp", 1024)
    edited(lambda record: record["run"]["data"].update(fim_rate=0.0))(copied)
    assert load(copied).infill is None


def test_an_imported_model_is_what_its_files_say(imported):
    loaded = load(imported)
    assert loaded.model.config.mla.kv_lora_rank == V2.mla.kv_lora_rank
    assert (loaded.infill, loaded.chat, loaded.context_length) == ("psm", "v2", 256)
    assert loaded.end_ids == TOKENIZER.control_ids | {LETTER}


def test_parameters_are_of_the_type_that_is_asked_for(run, imported):
    for directory in (run, imported):
        stored, half = load(directory).model, load(directory, dtype="bfloat16").model
        expected = jax.tree.map(lambda x: x.astype("bfloat16"), stored)
        assert {x.dtype.name for x in jax.tree.leaves(half)} == {"bfloat16"}
        assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), half, expected))


def test_an_adapter_stands_beside_the_matrices_of_either(run, imported, tmp_path):
    for folder, target in ((run, "query_DQ"), (imported, "output_OD")):
        adapted = add_adapters(load(folder).model, rank=2, alpha=4.0, targets=[target], seed=0)
        save_adapter(adapted, tmp_path / target)
        found = adapters_of(load(folder, tmp_path / target).model)
        assert found.keys() == adapters_of(adapted).keys() != set()
    with pytest.raises(CheckpointError, match="expected .* this base model"):
        load(imported, tmp_path / "query_DQ")


def test_a_base_model_has_no_chat(tmp_path):
    path = write_imported(
        tmp_path / "base",
        dataclasses.replace(LLAMA, max_positions=128),
        generation_config={"eos_token_id": EOS},
    )
    loaded = load(path)
    assert (loaded.chat, loaded.context_length) == (None, 128)
    assert loaded.end_ids == TOKENIZER.control_ids


def test_v1s_template_is_known_from_its_own_file_too(tmp_path):
    path = write_imported(
        tmp_path / "v1", LLAMA, tokenizer_config={"chat_template": "none of ours"}
    )
    assert load(path).chat is None
    source = tmp_path / "v1-source"
    (source / "chat_template.jinja").write_text("### Instruction:\n### Response:\n")
    shutil.copy(source / "chat_template.jinja", path / "huggingface")
    assert load(path).chat == "v1"


def without(*names: str) -> str:
    """The tokenizer without some control tokens."""
    definition = json.loads(TOKENIZER.definition)
    added = [token for token in definition["added_tokens"] if token["content"] not in names]
    return json.dumps(definition | {"added_tokens": added})


def test_a_tokenizer_without_fim_tokens_is_of_a_model_that_does_not_fill_in(tmp_path):
    lacking = without(tokenizer.FIM_HOLE, tokenizer.BOS)
    loaded = load(write_imported(tmp_path / "base", LLAMA, definition=lacking))
    assert loaded.infill is None
    assert loaded.bos_ids == []


def test_v15_and_the_largest_v2_never_saw_the_fim_tokens_that_they_have():
    v1_5 = dataclasses.replace(LLAMA, vocab_size=102_400)
    largest = dataclasses.replace(V2, vocab_size=102_400, num_layers=60)
    lite = dataclasses.replace(V2, vocab_size=102_400, num_layers=27)
    v1 = dataclasses.replace(LLAMA, vocab_size=32_256)
    formats = [_released_format(TOKENIZER, config) for config in (v1_5, largest, lite, v1)]
    assert formats == [None, None, "psm", "psm"]


BROKEN = {
    "config.json has no run": (edited(lambda record: record.pop("run")), "it has no `run`"),
    "config.json is cut": (
        lambda run: (run / "config.json").write_text('{"run": {'),
        "config.json is not JSON",
    ),
    "a list": (lambda run: (run / "config.json").write_text("[]"), "it has no `run`"),
    "a setting of the future": (
        edited(lambda record: record["run"]["model"].update(sliding_window=4)),
        "unknown setting model.sliding_window.*another version",
    ),
    "a setting of another type": (
        edited(lambda record: record["run"]["model"].update(num_layers="two")),
        "model.num_layers='two'",
    ),
    "settings that do not fit": (
        edited(lambda record: record["run"]["model"].update(num_kv_heads=5)),
        "model.num_kv_heads=5",
    ),
    "another shape": (
        edited(lambda record: record["run"]["model"].update(d_ff=24)),
        r"parameters/layers/mlp/\w+ is \[1, 1?6, 1?6\], expected .*another version",
    ),
    "a leaf too few": (
        edited(lambda record: record["run"]["model"]["mla"].update(kv_lora_rank=8)),
        "00000005 has no parameters/layers/attention/down_DX",
    ),
    "a leaf too many": (
        edited(lambda record: record["run"]["model"].update(tie_embeddings=True)),
        "has parameters/output_DV, which this model has not",
    ),
    "no tokenizer told": (
        lambda run: (
            (run / "tokenizer.json").unlink(),
            edited(lambda record: record.pop("tokenizer"))(run),
        ),
        "does not tell the tokenizer",
    ),
    "no tokenizer": (
        lambda run: (
            (run / "tokenizer.json").unlink(),
            edited(lambda record: record.update(tokenizer="/gone/tokenizer.json"))(run),
        ),
        "cannot read its tokenizer: .*/run/tokenizer.json .*/gone/tokenizer.json",
    ),
    "no tokenizer.json": (
        lambda run: (run / "tokenizer.json").write_text("{}"),
        "cannot read its tokenizer.*not a tokenizer.json",
    ),
    "no checkpoint": (
        lambda run: shutil.rmtree(run / checkpoint.FOLDER),
        "has no checkpoint yet: train it first",
    ),
    "no config.json": (lambda run: (run / "config.json").unlink(), "is no run"),
}


def test_the_runs_own_copy_of_its_tokenizer_goes_before_the_one_told(copied):
    edited(lambda record: record.update(tokenizer="/gone/tokenizer.json"))(copied)
    assert load(copied).tokenizer.definition == TOKENIZER.definition


def test_an_older_run_has_its_tokenizer_elsewhere(copied, tmp_path):
    elsewhere = (copied / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    edited(lambda record: record.update(tokenizer=str(elsewhere)))(copied)
    assert load(copied).tokenizer.definition == TOKENIZER.definition


@pytest.mark.parametrize("case", BROKEN)
def test_a_run_that_cannot_be_used_is_refused_in_a_sentence(case, copied):
    change, message = BROKEN[case]
    change(copied)
    with pytest.raises(CheckpointError, match=message):
        load(copied)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("parameters.safetensors", "parameters.safetensors"),
        ("huggingface/tokenizer.json", "tokenizer"),
        ("huggingface/config.json", "config.json"),
        ("huggingface", "tokenizer"),
    ],
)
def test_an_imported_folder_that_is_half_there_is_refused(path, message, imported, tmp_path):
    copy = Path(shutil.copytree(imported, tmp_path / "v2"))
    doomed = copy / path
    shutil.rmtree(doomed) if doomed.is_dir() else doomed.unlink()
    with pytest.raises(CheckpointError, match=message):
        load(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.update(format=99), "format 99"),
        (
            lambda record: record["model"].update(sliding_window=4),
            "sliding_window.*import it again",
        ),
    ],
)
def test_an_imported_folder_of_another_version_is_refused(change, message, imported, tmp_path):
    copy = Path(shutil.copytree(imported, tmp_path / "v2"))
    record = json.loads((copy / "imported.json").read_text())
    del record["seal"]
    change(record)
    record["seal"] = digest(record)
    (copy / "imported.json").write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match=message):
        load(copy)


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    small = dataclasses.replace(V2, vocab_size=100)
    with pytest.raises(CheckpointError, match="do not belong together"):
        load(write_imported(tmp_path / "v2", small))
