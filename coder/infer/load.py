# SPDX-License-Identifier: Apache-2.0
"""A model as what a user of it needs, be it a trained run or an imported checkpoint."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax

from coder.checkpoint import CheckpointError, load_parameters, tokenizer_file
from coder.config import ModelConfig, RunConfig
from coder.data.chat import Template
from coder.data.tokenizer import BOS, FIM_BEGIN, FIM_END, FIM_HOLE, Tokenizer, TokenizerError
from coder.huggingface import import_model
from coder.huggingface.adapters import load_adapter
from coder.huggingface.export_model import DType
from coder.huggingface.kind import is_imported
from coder.huggingface.source import read_json
from coder.infer.prompt import Format, trained_format
from coder.model.transformer import Decoder


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to be asked."""

    model: Decoder
    tokenizer: Tokenizer
    context_length: int
    """Tokens that it can read, its own answer included."""
    infill: Format | None
    """How it was taught to fill in a middle; None: it was not."""
    chat: Template | None
    """How it was taught to converse; None: it was not."""
    end_ids: frozenset[int]
    """Tokens that end an answer."""

    @property
    def bos_ids(self) -> list[int]:
        """What a text begins with: bos, or nothing where the tokenizer has none."""
        return [self.tokenizer.bos] if self.tokenizer.has(BOS) else []


def load(directory: Path, adapter: Path | None = None, dtype: DType = "stored") -> Loaded:
    """Reads the folder of a run or of an imported checkpoint.

    Args:
        directory: the folder.
        adapter: folder of an adapter in PEFT's layout, to use beside the model's matrices.
        dtype: of the model's parameters.

    Raises:
        CheckpointError: it is neither, or a part of it is missing, damaged or of another version;
            or the adapter is, or belongs to another model.
    """
    loaded = _imported(directory) if is_imported(directory) else _trained(directory)
    if dtype != "stored":
        loaded = replace(loaded, model=jax.tree.map(lambda x: x.astype(dtype), loaded.model))
    if adapter is None:
        return loaded
    return replace(loaded, model=load_adapter(loaded.model, adapter))


def load_run(run_dir: Path | str) -> tuple[Decoder, Tokenizer, RunConfig]:
    """The model of a run at its newest checkpoint, its tokenizer, and its settings.

    Raises:
        CheckpointError: `run_dir` is no run, has no checkpoint that can be read, or its tokenizer
            is gone.
    """
    model, config = load_parameters(run_dir)
    try:
        tokenizer = Tokenizer.load(tokenizer_file(run_dir))
    except (OSError, TokenizerError) as error:
        raise CheckpointError(f"{run_dir}: cannot read its tokenizer: {error}") from error
    _check_sizes(tokenizer, config.model, Path(run_dir))
    return model, tokenizer, config


def _trained(directory: Path) -> Loaded:
    model, tokenizer, run = load_run(directory)
    return Loaded(
        model,
        tokenizer,
        run.model.max_positions or run.data.sequence_length,
        trained_format(run.data),
        chat=None,
        end_ids=tokenizer.control_ids,
    )


def _imported(directory: Path) -> Loaded:
    source = directory / import_model.FILES
    try:
        tokenizer = Tokenizer.load(source / "tokenizer.json")
    except (OSError, TokenizerError) as error:
        raise CheckpointError(
            f"{directory}: cannot read its tokenizer: {error}: put the model's tokenizer.json into "
            "the folder that it was imported from, and import it again"
        ) from error
    try:
        model, config = import_model.load(directory)
    except ValueError as error:  # a setting that this version does not know
        raise CheckpointError(f"{directory}: {error}; import it again") from None
    _check_sizes(tokenizer, config, directory)
    return Loaded(
        model,
        tokenizer,
        config.max_positions,
        _released_format(tokenizer, config),
        _chat_template(source),
        _end_ids(source, tokenizer, config.vocab_size),
    )


def _check_sizes(tokenizer: Tokenizer, config: ModelConfig, directory: Path) -> None:
    if tokenizer.vocab_size > config.vocab_size:
        raise CheckpointError(
            f"{directory}: its tokenizer has {tokenizer.vocab_size} tokens, its model "
            f"{config.vocab_size}: they do not belong together"
        )


def _released_format(tokenizer: Tokenizer, config: ModelConfig) -> Format | None:
    """PSM where the tokenizer has its tokens and the model is none that never saw them.

    Those are v1.5, a Llama with V2's vocabulary (v1's report, section 5), and the 236B model of
    V2 (V2's report, section 3.1), which share their tokenizers with others.
    """
    latent = config.mla.kv_lora_rank > 0
    is_v1_5 = not latent and config.vocab_size == 102_400
    is_236b = latent and config.vocab_size == 102_400 and config.num_layers == 60
    if is_v1_5 or is_236b or not tokenizer.has(BOS, FIM_BEGIN, FIM_HOLE, FIM_END):
        return None
    return "psm"


def _chat_template(source: Path) -> Template | None:
    """The template whose marks the checkpoint's own has; None: it has no template, or another."""
    text = json.dumps(_kept(source / "tokenizer_config.json").get("chat_template", ""))
    jinja = source / "chat_template.jinja"
    if jinja.is_file():
        text = jinja.read_text(encoding="utf-8", errors="replace")
    if "### Instruction:" in text and "### Response:" in text:
        return "v1"
    return "v2" if "User: " in text and "Assistant:" in text else None


def _end_ids(source: Path, tokenizer: Tokenizer, vocab_size: int) -> frozenset[int]:
    """The control tokens, and what config.json and generation_config.json say: one or several."""
    found = set(tokenizer.control_ids)
    for name in ("config.json", "generation_config.json"):
        stated = _kept(source / name).get("eos_token_id")
        ids = stated if isinstance(stated, list) else [stated]
        found.update(id_ for id_ in ids if isinstance(id_, int) and 0 <= id_ < vocab_size)
    return frozenset(found)


def _kept(path: Path) -> dict[str, Any]:
    """The values of a file that the source may have had; empty where it had none."""
    return read_json(path) if path.exists() else {}
