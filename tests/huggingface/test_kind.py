# SPDX-License-Identifier: Apache-2.0
"""Runs and imported models are told apart, and of what is neither it is said what it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coder.checkpoint import CheckpointError
from coder.huggingface.import_model import import_model
from coder.huggingface.kind import is_imported
from coder.huggingface.source import read_source
from tests.huggingface.small_models import LLAMA, weights, write_source


def downloaded(folder: Path) -> Path:
    return write_source(folder, LLAMA, weights(LLAMA))


def unfinished(folder: Path) -> Path:
    import_model(read_source(downloaded(folder.with_name("source"))), folder)
    (folder / "imported.json").unlink()
    return folder


def with_config(text: str) -> Callable[[Path], Any]:
    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / "config.json").write_text(text)

    return make


def test_a_run_and_an_imported_model_are_told_apart(tmp_path: Path):
    import_model(read_source(downloaded(tmp_path / "source")), tmp_path / "out")
    assert is_imported(tmp_path / "out")
    with_config('{"run": {}}')(tmp_path / "run")
    assert not is_imported(tmp_path / "run")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (downloaded, "import it first: python -m coder import-hf --source .*model --output"),
        (with_config('{"model_type": "llama"}'), "is a model in Hugging Face's layout"),
        (unfinished, "model is an import that was not finished: .*import the model again"),
        (lambda folder: None, "model does not exist"),
        (Path.mkdir, "model is no run and no imported model: it has neither config.json nor imp"),
        (Path.touch, "model is no folder"),
    ],
)
def test_what_is_neither_is_told(tmp_path: Path, make: Callable[[Path], Any], problem: str):
    make(tmp_path / "model")
    with pytest.raises(CheckpointError, match=problem):
        is_imported(tmp_path / "model")


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000])
def test_a_damaged_config_is_left_to_its_reader(tmp_path: Path, text: str):
    with_config(text)(tmp_path / "run")
    assert not is_imported(tmp_path / "run")
