# SPDX-License-Identifier: Apache-2.0
"""Models from Hugging Face's layout into a folder of ours, and from there into a decoder.

A folder of ours holds `parameters.safetensors`, our parameters by path, of the type they had;
`huggingface/`, the source's small files byte for byte; and `imported.json`, the model's settings
and the digest of everything. The source's tensors are written to their places one by one, so that
no more than a part of one is in memory.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import jax
import numpy as np
from flax import nnx

from coder.checkpoint import CheckpointError, placed
from coder.config import ModelConfig, digest, from_json, to_json, write_json
from coder.huggingface.folders import new_folder
from coder.huggingface.names import parameter_shapes, parameters
from coder.huggingface.source import Source, read_json
from coder.huggingface.tensor_file import Writer, checksum, read_entries
from coder.model.transformer import Decoder

RECORD, PARAMETERS, FILES = "imported.json", "parameters.safetensors", "huggingface"
FORMAT = 1
"""Version of the folder."""
KEPT = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "LICENSE",
)
"""The source's files that are kept, as far as it has them."""

Progress = Callable[[str, int], None]
"""Is told of each tensor its name and its bytes when they are written."""


def import_model(source: Source, output: Path, progress: Progress = lambda *_: None) -> None:
    """Imports a model; `output` appears when all of it is there.

    Args:
        source: the model.
        output: the folder to make; must not exist.
        progress: is told of each tensor.

    Raises:
        CheckpointError: the output cannot be written.
    """
    with new_folder(output, source.size) as folder:
        digests = _write_parameters(source, folder / PARAMETERS, progress)
        contents = {
            "format": FORMAT,
            "model": to_json(source.config),
            "architecture": source.architecture,
            "dtype": source.dtype,
            "digests": digests,
            "files": _keep_files(source.folder, folder / FILES),
        }
        write_json(folder / RECORD, contents | {"seal": digest(contents)})


@dataclass(frozen=True)
class Record:
    """What `imported.json` says."""

    config: ModelConfig
    dtype: str
    """Of all parameters, in the words of safetensors."""
    digests: dict[str, list[str]]
    """Of each parameter's parts, in order, by its path."""
    files: tuple[str, ...]
    """Names of the source's files that were kept."""


def load(directory: Path | str, dtype: str | None = None) -> tuple[Decoder, ModelConfig]:
    """The decoder of an imported model, every byte of it verified, and its settings.

    On a CPU its arrays are the mapped file itself, unless they are converted.

    Args:
        directory: what `import_model` made.
        dtype: "float32" or "bfloat16"; None: the type that the source had.

    Raises:
        CheckpointError: it holds no imported model, or not the one that was written.
    """
    directory = Path(directory)
    record = read_record(directory)
    decoder = nnx.eval_shape(lambda: Decoder(record.config, nnx.Rngs(0)))
    expected, leaves = parameters(decoder), []
    shapes = {path: leaf.shape for path, leaf in expected.items()}
    stored = stored_parameters(directory, record, shapes)
    for path, leaf in expected.items():
        array = stored[path].astype(dtype or stored[path].dtype, copy=False)
        leaves.append(jax.device_put(array, placed(leaf).sharding))
    graph, state = nnx.split(decoder)
    tree = jax.tree.unflatten(jax.tree.structure(nnx.to_pure_dict(state)), leaves)
    return nnx.merge(graph, tree), record.config


def read_record(directory: Path) -> Record:
    """Reads `imported.json`.

    Raises:
        CheckpointError: `directory` holds no imported model, or one of another version, or one
            whose record or small files are not those that were written.
    """
    path = directory / RECORD
    if not path.exists():
        raise CheckpointError(f"{directory} holds no imported model: it has no {RECORD}")
    told = read_json(path)
    if told.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is of format {told.get('format')!r}, and this version reads {FORMAT}: "
            "import the model again"
        )
    if told.pop("seal", None) != digest(told):
        raise _damaged(str(path))
    for name, expected in told["files"].items():
        kept = directory / FILES / name
        if not kept.exists() or _file_digest(kept) != expected:
            raise _damaged(str(kept))
    try:
        config = from_json(ModelConfig, told["model"])
    except ValueError as error:
        raise CheckpointError(f"{path} is of another version: {error}; import it again") from None
    return Record(config, told["dtype"], told["digests"], tuple(told["files"]))


def stored_parameters(
    directory: Path, record: Record, shapes: dict[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """The parameters of an imported model by path, mapped, every byte of them verified.

    Args:
        directory: what `import_model` made.
        record: of `read_record`.
        shapes: of `parameter_shapes` for the model's settings.

    Raises:
        CheckpointError: they are not those that were written.
    """
    path = directory / PARAMETERS
    entries = read_entries(path)
    found = {name: (entry.dtype, entry.shape) for name, entry in entries.items()}
    if found != {name: (record.dtype, shape) for name, shape in shapes.items()}:
        raise _damaged(str(path))
    arrays = {name: entry.array() for name, entry in entries.items()}
    for name, digests in record.digests.items():
        parts = arrays[name].reshape(len(digests), -1)
        if [f"{checksum(part):08x}" for part in parts] != digests:
            raise _damaged(f"{name} in {path}")
    return arrays


def _write_parameters(source: Source, path: Path, progress: Progress) -> dict[str, list[str]]:
    """Writes every tensor to its place; the digests of each parameter's parts, in order."""
    shapes = parameter_shapes(source.config)
    crcs: dict[str, dict[tuple[int, ...], int]] = {name: {} for name in shapes}
    with Writer(path, shapes, source.dtype) as writer:
        for tensor, entry in source.tensors:
            array = tensor.swapped(entry.array())
            crcs[tensor.path][tensor.index] = writer.write(tensor.path, tensor.index, array)
            progress(tensor.name, array.nbytes)
    return {
        name: [f"{crc:08x}" for _, crc in sorted(parts.items())] for name, parts in crcs.items()
    }


def _keep_files(source: Path, kept: Path) -> dict[str, str]:
    """Copies the small files; the digest of each."""
    kept.mkdir()
    for name in KEPT:
        if (source / name).exists():
            shutil.copyfile(source / name, kept / name)
    return {path.name: _file_digest(path) for path in sorted(kept.iterdir())}


def _file_digest(path: Path) -> str:
    return f"{google_crc32c.value(path.read_bytes()):08x}"


def _damaged(what: str) -> CheckpointError:
    return CheckpointError(f"{what} is not what was imported: import the model again")
