# SPDX-License-Identifier: Apache-2.0
"""Models through our files and back: import, export, and what transformers makes of the export."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from benchmarks._oracle_checks import Row
from coder.huggingface.export_model import export_model
from coder.huggingface.exportable import read_exportable
from coder.huggingface.import_model import import_model
from coder.huggingface.source import read_source

SHARD_BYTES = 20_000
OLD, NEW = ("rope_theta", "rope_scaling"), ("rope_parameters",)


def convert(folder: Path) -> Iterator[Row]:
    """11, our half: in, out and in again, in all spellings of RoPE; leaves the exported models."""
    import_model(read_source(folder / "model"), folder / "imported")
    model = read_exportable(folder / "imported")
    export_model(model, folder / "exported", "stored", SHARD_BYTES, {})
    yield Row(
        "exported_tensors",
        _different(_tensors(folder / "model"), _tensors(folder / "exported")),
        0.0,
    )
    import_model(read_source(folder / "exported"), folder / "imported_again")
    again = read_exportable(folder / "imported_again")
    yield Row("imported_again", _different(model.parameters, again.parameters), 0.0)
    unequal = 0
    for name, dropped in (("exported_old", NEW), ("exported_new", OLD)):
        _respell(folder / "exported", folder / name, dropped)
        unequal += read_source(folder / name).config != model.config
    yield Row("rope_spellings", unequal, 0.0)


def reread(folder: Path) -> Iterator[Row]:
    """11, after transformers has read what we exported: the largest difference of a logit."""
    with np.load(folder / "arrays.npz") as made, np.load(folder / "read.npz") as read:
        for name in ("exported", "exported_old", "exported_new"):
            yield Row(f"{name}_logits", float(np.max(np.abs(read[name] - made["logits"]))), 0.0)


def _tensors(folder: Path) -> dict[str, np.ndarray]:
    """All tensors of a sharded model."""
    files = sorted(folder.glob("*.safetensors"))
    assert len(files) > 1, f"{folder} is not sharded"
    return {name: array for path in files for name, array in load_file(path).items()}


def _different(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> int:
    """How many arrays only one side has, or differ in a bit, their type or their shape."""
    return sum(
        name not in one or name not in other or not _same(one[name], other[name])
        for name in one.keys() | other.keys()
    )


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    same_kind = (one.dtype, one.shape) == (other.dtype, other.shape)
    return same_kind and one.tobytes() == other.tobytes()


def _respell(source: Path, target: Path, dropped: tuple[str, ...]) -> None:
    """The same model without some fields of its config.json."""
    target.mkdir()
    for path in source.iterdir():
        if path.name != "config.json":
            (target / path.name).hardlink_to(path)
    values = json.loads((source / "config.json").read_text())
    kept = {name: value for name, value in values.items() if name not in dropped}
    (target / "config.json").write_text(json.dumps(kept))
