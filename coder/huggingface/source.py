# SPDX-License-Identifier: Apache-2.0
"""A folder in Hugging Face's layout: which model it is, and where each of its tensors lies.

Nothing of the weights is read, but for a tied table that is there twice. What does not fit
config.json is found here, before any work.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coder.checkpoint import CheckpointError
from coder.config import ModelConfig
from coder.huggingface.config import architecture, from_huggingface
from coder.huggingface.names import Tensor, tensors
from coder.huggingface.tensor_file import TYPES, Entry, read_entries

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_RECOMPUTED = ".rotary_emb.inv_freq"
"""Ends the names of tensors that old files have and nobody reads: RoPE's frequencies."""
_HEAD, _TABLE = "lm_head.weight", "model.embed_tokens.weight"
_NAMED_AT_MOST = 5


@dataclass(frozen=True)
class Source:
    """A model that can be imported."""

    folder: Path
    architecture: str
    config: ModelConfig
    dtype: str
    """Of all tensors, in the format's words."""
    tensors: list[tuple[Tensor, Entry]]
    """What a tensor is, and where; in the order of the files."""

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return sum(entry.end - entry.start for _, entry in self.tensors)


def read_source(folder: Path) -> Source:
    """Reads config.json, the index and the headers of the files.

    Raises:
        CheckpointError: they cannot be read, are not supported, or do not fit each other.
    """
    _check_exists(folder)
    values = read_json(folder / "config.json")
    try:
        kind, config = architecture(values), from_huggingface(values)
    except ValueError as error:
        raise CheckpointError(f"{folder / 'config.json'}: {error}") from None
    entries = _entries(folder)
    head = entries.pop(_HEAD, None) if config.tie_embeddings else None
    expected = {tensor.name: tensor for tensor in tensors(config)}
    _check_names(folder, expected, entries)
    [(dtype, _)] = Counter(entry.dtype for entry in entries.values()).most_common(1)
    for name, tensor in expected.items():
        _check(tensor, entries[name], dtype)
    if head is not None:
        _check_tied(head, entries[_TABLE])
    found = sorted(entries.items(), key=lambda item: (item[1].path, item[1].start))
    return Source(folder, kind, config, dtype, [(expected[name], entry) for name, entry in found])


def read_json(path: Path) -> dict[str, Any]:
    """The values of a JSON file.

    Raises:
        CheckpointError: there is no such file, or it holds no JSON object.
    """
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds no JSON object, but {type(values).__name__}")
    return values


def _check_exists(folder: Path) -> None:
    """Raises CheckpointError where there is no such folder; it may be a name of the hub's."""
    if folder.exists():
        return
    hint = ""
    if len(folder.parts) == 2 and not folder.is_absolute():
        hint = (
            f"; if {folder} is a model of the hub's, download it: hf download {folder} "
            f"--local-dir {folder.name} --exclude '*.bin', and give --source {folder.name}"
        )
    raise CheckpointError(f"{folder} does not exist{hint}")


def _entries(folder: Path) -> dict[str, Entry]:
    """Every tensor of the folder's files; the one file counts before an index, as elsewhere."""
    if (folder / WHOLE).exists():
        entries = read_entries(folder / WHOLE)
    elif (folder / INDEX).exists():
        entries = _indexed(folder)
    else:
        raise CheckpointError(f"{folder} has neither {WHOLE} nor {INDEX}{_hint(folder)}")
    return {name: entry for name, entry in entries.items() if not name.endswith(_RECOMPUTED)}


def _hint(folder: Path) -> str:
    """What to do with the weights that a folder has in another form."""
    for path in sorted(folder.glob("*.safetensors")):
        return (
            f"; it has {path.name}, and only the index tells which files belong to the model: "
            f"download {INDEX} too"
        )
    for path in sorted(folder.glob("*.bin")):
        return (
            f"; it has {path.name}, which can hold programs and is not read: convert it to "
            "safetensors, as by transformers' save_pretrained"
        )
    return ""


def _indexed(folder: Path) -> dict[str, Entry]:
    """The tensors that the index places, each in the file that it says."""
    entries: dict[str, Entry] = {}
    for shard, named in _shards(folder).items():
        found = read_entries(folder / shard)
        if absent := named - found.keys():
            raise CheckpointError(
                f"{folder / shard} lacks {min(absent)}, which {INDEX} places there"
            )
        if surplus := found.keys() - named:
            raise CheckpointError(
                f"{folder / shard} has {min(surplus)}, which {INDEX} does not place there"
            )
        entries |= found
    return entries


def _shards(folder: Path) -> dict[str, set[str]]:
    """The files that the index names, all of which are there, and their tensors."""
    places = read_json(folder / INDEX).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f"{folder / INDEX} has no weight_map of tensors to files")
    shards: dict[str, set[str]] = {}
    for name, shard in places.items():
        shards.setdefault(str(shard), set()).add(name)
    for shard, named in shards.items():
        if Path(shard).name != shard:
            raise CheckpointError(
                f"{folder / INDEX} places tensors in {shard!r}, outside of its folder"
            )
        if not (folder / shard).exists():
            raise CheckpointError(
                f"{folder / shard} is missing: {INDEX} places {len(named)} tensors there, as "
                f"{min(named)}"
            )
    return shards


def _check_names(folder: Path, expected: dict[str, Tensor], entries: dict[str, Entry]) -> None:
    """Raises CheckpointError unless the tensors are those of the model."""
    missing = [name for name in expected if name not in entries]
    if missing:
        shapes = [f"{name} {list(expected[name].shape)}" for name in missing]
        raise CheckpointError(
            f"{folder} lacks {_some(shapes)}: config.json describes a model that has them"
        )
    surplus = [
        f"{name} {list(entry.shape)}" for name, entry in entries.items() if name not in expected
    ]
    if surplus:
        raise CheckpointError(
            f"{folder} has {_some(surplus)}: config.json describes a model without"
        )


def _check(tensor: Tensor, entry: Entry, dtype: str) -> None:
    """Raises CheckpointError unless a tensor has the shape and type that it should have."""
    where = f"{entry.path}: {tensor.name}"
    if entry.shape != tensor.shape:
        raise CheckpointError(
            f"{where} is {list(entry.shape)}; config.json describes a model in which it is "
            f"{list(tensor.shape)}"
        )
    if entry.dtype not in TYPES:
        raise CheckpointError(
            f"{where} is {entry.dtype}: only {', '.join(TYPES)} are read; convert it, as by "
            "transformers' from_pretrained with dtype='bfloat16' and save_pretrained"
        )
    if entry.dtype != dtype:
        raise CheckpointError(
            f"{where} is {entry.dtype}, and other tensors are {dtype}: they must be of one type"
        )


def _check_tied(head: Entry, table: Entry) -> None:
    """Raises CheckpointError unless an output projection is the token table that it is tied to."""
    if (head.dtype, head.shape) == (table.dtype, table.shape):
        rows = zip(head.array(), table.array(), strict=True)
        if all(one.tobytes() == other.tobytes() for one, other in rows):
            return
    raise CheckpointError(
        f"{head.path}: {_HEAD} differs from {_TABLE}, and config.json says that they are one: set "
        "its tie_word_embeddings to false if both are meant"
    )


def _some(names: list[str]) -> str:
    """The first of many names, and how many more there are."""
    more = f" and {len(names) - _NAMED_AT_MOST} more" if len(names) > _NAMED_AT_MOST else ""
    return ", ".join(names[:_NAMED_AT_MOST]) + more
