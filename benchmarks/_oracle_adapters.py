# SPDX-License-Identifier: Apache-2.0
"""Low-rank adapters beside PEFT's: read, merged, written and exported, by the logits they make.

PEFT makes adapters of small random models; we read them, use them beside the matrices and merged
into them, write them again and export the merged model, and PEFT reads both.
"""

import dataclasses
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file

from benchmarks._oracle_cases import LLAMA, V2, Case
from coder.huggingface.adapters import load_adapter, read_adapters, save_adapter
from coder.huggingface.export_model import export_model
from coder.huggingface.exportable import read_exportable
from coder.huggingface.import_model import import_model, load
from coder.huggingface.source import read_source
from coder.model.lora import merged
from coder.model.transformer import Decoder

ROOT = Path(__file__).parents[1]
BAR = 1e-5
"""Of the largest difference of a logit."""
SHARD_BYTES = 20_000
"""Of the exported files: several."""
_SMALL = {"initializer_range": 0.1}
_ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
_LATENT = ["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"]

CASES: tuple[tuple[Case, dict[str, Any]], ...] = (
    (
        Case("peft_llama", "llama", LLAMA | _SMALL | {"num_key_value_heads": 2}),
        {
            "r": 4,
            "lora_alpha": 8,
            "target_modules": [*_ATTENTION, "gate_proj", "up_proj", "down_proj"],
        },
    ),
    (
        Case("peft_llama_stabilised", "llama", LLAMA | _SMALL),
        {"r": 3, "lora_alpha": 5, "target_modules": r".*\.[qv]_proj", "use_rslora": True},
    ),
    (
        Case("peft_v2", "deepseek_v2", V2 | _SMALL | {"q_lora_rank": 10}),
        {"r": 4, "lora_alpha": 8, "target_modules": _LATENT},
    ),
)
"""Models, and PEFT's settings of their adapters."""


class Row(NamedTuple):
    """One comparison."""

    case: str
    check: str
    error: float
    bar: float


def compare(python: Path, directory: Path) -> list[Row]:
    """Runs both sides in turn, PEFT's by the interpreter `python`, and compares them."""
    directory.mkdir(parents=True, exist_ok=True)
    cases = [{"case": dataclasses.asdict(case), "adapter": peft} for case, peft in CASES]
    (directory / "cases.json").write_text(json.dumps(cases))
    folders = [directory / case.name for case, _ in CASES]
    _run_peft(python, "write", directory)
    rows = [row for folder in folders for row in _ours(folder)]
    _run_peft(python, "read", directory)
    return rows + [row for folder in folders for row in _theirs(folder)]


def write_goldens(directory: Path, output: Path) -> None:
    """Writes what `make test` needs of each case: the model, the adapter, tokens and logits."""
    for case, _ in CASES:
        folder = directory / case.name
        with np.load(folder / "made.npz") as made:
            arrays: dict[str, Any] = {name: made[name] for name in ("tokens", "logits")}
        for kind in ("model", "adapter"):
            [path] = (folder / kind).glob("*.safetensors")
            arrays |= {f"{kind}/{name}": array for name, array in load_file(path).items()}
        arrays["config"] = (folder / "model" / "config.json").read_text()
        arrays["adapter_config"] = (folder / "adapter" / "adapter_config.json").read_text()
        np.savez_compressed(output / f"{case.name}.npz", **arrays)


def _run_peft(python: Path, what: str, directory: Path) -> None:
    command = [python, "-m", "benchmarks._oracle_peft", what, directory]
    subprocess.run(command, check=True, cwd=ROOT)


def _ours(folder: Path) -> Iterator[Row]:
    """Reads what PEFT made; leaves what PEFT is to read."""
    import_model(read_source(folder / "model"), folder / "imported")
    model = load_adapter(load(folder / "imported")[0], folder / "adapter")
    with np.load(folder / "made.npz") as made:
        tokens, expected = made["tokens"].astype(np.int32), made["logits"]
        yield _row(folder, "adapter_read", _logits(model, tokens), expected)
        yield _row(folder, "adapter_merged", _logits(merged(model), tokens), made["merged"])
    save_adapter(model, folder / "written")
    source = read_exportable(folder / "imported")
    adapters = read_adapters(source.config, folder / "adapter")
    export_model(source, folder / "exported", "stored", SHARD_BYTES, adapters)


def _theirs(folder: Path) -> Iterator[Row]:
    """Compares what PEFT made of ours."""
    with np.load(folder / "made.npz") as made, np.load(folder / "read.npz") as read:
        for name in ("written", "exported"):
            yield _row(folder, f"adapter_{name}", read[name], made["logits"])


def _logits(model: Decoder, tokens: np.ndarray) -> jax.Array:
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    return jax.jit(Decoder.__call__)(model, tokens, positions, jnp.ones_like(tokens))


def _row(folder: Path, check: str, found: Any, expected: np.ndarray) -> Row:
    return Row(folder.name, check, float(np.max(np.abs(np.asarray(found) - expected))), BAR)
