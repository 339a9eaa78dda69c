# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: Orbax, and a digest of every array beside it.

Orbax writes a step under a temporary name and renames it when it is whole, so that a killed save
leaves the step before as the newest. What it does not do is notice a flipped bit, which loads in
silence: every leaf's digest is stored with the checkpoint, verified when it is loaded, and the step
before is taken when one is wrong.
"""

import hashlib
import json
import logging
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import jax
import numpy as np
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding
from orbax.checkpoint import v1

from coder.config import RunConfig, digest, from_json
from coder.model.transformer import Decoder

logger = logging.getLogger(__name__)

Tree = Any
"""A pytree of arrays."""

FOLDER = "checkpoints"
"""Where a run keeps them."""

_UNREADABLE = (ValueError, OSError, KeyError, TypeError, RuntimeError)
"""What Orbax and tensorstore were seen to raise for damaged files; a missing key and a wrong shape
are among them.
"""


_ANOTHER_VERSION = (
    "written by another version or for another model; use that version, or train in an empty folder"
)


class CheckpointError(Exception):
    """No checkpoint could be read; the message says where and what to do."""


@dataclass(frozen=True)
class Restored:
    """A checkpoint whose arrays are those that were saved."""

    step: int
    trees: dict[str, Tree]
    extras: dict[str, Any]
    """The JSON values that were saved beside the arrays."""


def save(
    directory: Path, step: int, trees: dict[str, Tree], extras: dict[str, Any], keep: int
) -> None:
    """Saves named trees and JSON values as one step, atomically; keeps the newest `keep` steps."""
    contents = {"digests": _digests(trees), "extras": extras}
    metadata = {**contents, "seal": digest(contents)}
    v1.save_checkpointables(str(_path(directory, step)), trees, custom_metadata=metadata)
    for old in steps(directory)[:-keep]:
        delete(directory, old)


def restore_latest(directory: Path, like: dict[str, Tree]) -> Restored | None:
    """The newest step whose arrays are those that were saved; None where nothing was saved.

    Args:
        directory: where `save` put them.
        like: the trees to load, by name, as arrays or `jax.ShapeDtypeStruct`; other trees are not
            read.

    Raises:
        CheckpointError: there are checkpoints, and every one is damaged or of another model.
    """
    problems = []
    for step in reversed(steps(directory)):
        try:
            return _restore(directory, step, like)
        except _UNREADABLE as error:
            problem = f"{_path(directory, step)}: {error.__cause__ or error}"
            logger.warning("damaged checkpoint passed over: %s", problem)
            problems.append(problem)
    if problems:
        raise CheckpointError(
            "no checkpoint can be read; delete the folder to begin anew:\n" + "\n".join(problems)
        )
    return None


def steps(directory: Path) -> list[int]:
    """The saved steps in ascending order; unfinished saves are not among them."""
    if not directory.is_dir():
        return []
    return sorted(int(path.name) for path in directory.iterdir() if path.name.isdecimal())


def delete(directory: Path, step: int) -> None:
    """Deletes a step; renames it first, so that a killed deletion leaves no half of one."""
    doomed = directory / f"deleted-{step}"
    _path(directory, step).rename(doomed)
    shutil.rmtree(doomed)


def clean(directory: Path) -> None:
    """Removes what killed saves and deletions left; only for the one process that writes here."""
    if directory.is_dir():
        for path in directory.iterdir():
            if not path.name.isdecimal():
                shutil.rmtree(path)


def parameters_digest(parameters: Tree) -> str:
    """Sixteen hex digits of blake2b over all leaves and their names: equal means bit-identical."""
    total = hashlib.blake2b(digest_size=8)
    for name, leaf in _leaves(parameters):
        array = np.ascontiguousarray(leaf)
        total.update(f"{name} {array.dtype} {array.shape}\n".encode())
        total.update(array.data)
    return total.hexdigest()


def load_parameters(run_dir: Path | str) -> tuple[Decoder, RunConfig]:
    """The model of a run at its newest verified checkpoint, and the run's settings.

    Raises:
        CheckpointError: `run_dir` is no run, has no checkpoint that can be read, or is of another
            version.
    """
    run_dir = Path(run_dir)
    config = _read_config(run_dir / "config.json")
    try:
        graph, state = nnx.split(nnx.eval_shape(lambda: Decoder(config.model, nnx.Rngs(0))))
    except ValueError as error:
        raise CheckpointError(f"{run_dir}/config.json: {error}") from None
    restored = restore_latest(run_dir / FOLDER, {"parameters": nnx.to_pure_dict(state)})
    if restored is None:
        raise CheckpointError(f"{run_dir} has no checkpoint yet: train it first")
    return nnx.merge(graph, restored.trees["parameters"]), config


def tokenizer_file(run_dir: Path | str) -> Path:
    """A run's own copy of its tokenizer; of an older run, which has none, what it was begun with.

    Raises:
        CheckpointError: neither exists.
    """
    copy = Path(run_dir) / "tokenizer.json"
    if copy.is_file():
        return copy
    record = json.loads((Path(run_dir) / "config.json").read_text(encoding="utf-8"))
    if "tokenizer" not in record:
        raise CheckpointError(f"there is no {copy}, and config.json does not tell the tokenizer")
    if not Path(record["tokenizer"]).is_file():
        raise CheckpointError(
            f"{run_dir}: cannot read its tokenizer: there is neither {copy} nor what config.json "
            f"tells, {record['tokenizer']}: put a copy of that one into the run's folder"
        )
    return Path(record["tokenizer"])


def _read_config(path: Path) -> RunConfig:
    try:
        return from_json(RunConfig, json.loads(path.read_text(encoding="utf-8"))["run"])
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"{path.parent} is no run: it has no config.json") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {os.strerror(error.errno or 0)}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not JSON ({error}): restore it or train again") from None
    except (KeyError, TypeError, AttributeError):
        raise CheckpointError(f"{path} is not the config.json of a run: it has no `run`") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}; {_ANOTHER_VERSION}") from None


def _restore(directory: Path, step: int, like: dict[str, Tree]) -> Restored:
    path = str(_path(directory, step))
    metadata: Any = v1.checkpointables_metadata(path).custom_metadata or {}
    contents = {name: metadata.get(name) for name in ("digests", "extras")}
    if metadata.get("seal") != digest(contents):
        raise ValueError("its metadata are not those that were saved")
    _check_leaves(like, contents["digests"], path)
    trees = v1.load_checkpointables(path, jax.tree.map(placed, like))
    for name, found in _digests(trees).items():
        if found != contents["digests"][name]:
            raise ValueError(f"{name} is not the array that was saved")
    return Restored(step, trees, contents["extras"])


def _check_leaves(like: dict[str, Tree], digests: dict[str, str], path: str) -> None:
    """Raises CheckpointError, which names the first leaf that was not saved, or not so."""
    wanted = dict(_leaves(like))
    for name, leaf in wanted.items():
        if name not in digests:
            raise CheckpointError(f"{path} has no {name}: {_ANOTHER_VERSION}")
        saved = re.findall(r"\[.*\]", digests[name])[0]
        if saved != str(list(leaf.shape) or [1]):  # `_digests` sees scalars so
            raise CheckpointError(
                f"{path}: {name} is {saved}, expected {list(leaf.shape)}: {_ANOTHER_VERSION}"
            )
    for name in digests:
        if name.partition("/")[0] in like and name not in wanted:
            raise CheckpointError(
                f"{path} has {name}, which this model has not: {_ANOTHER_VERSION}"
            )


def placed(leaf: Any) -> jax.ShapeDtypeStruct:
    """Shape, type and place of a leaf to load: where it lies on the mesh, or the first device."""
    mesh = jax.sharding.get_mesh()
    sharding: Sharding = SingleDeviceSharding(jax.devices()[0])
    if not mesh.empty:
        on_mesh = isinstance(leaf.sharding, NamedSharding)
        sharding = NamedSharding(mesh, leaf.sharding.spec if on_mesh else PartitionSpec())
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _digests(trees: dict[str, Tree]) -> dict[str, str]:
    """Type, shape and CRC-32C (it runs at memory speed) of every leaf by its path."""
    found = {}
    for name, leaf in _leaves(trees):
        array = np.ascontiguousarray(leaf)
        found[name] = f"{array.dtype}{list(array.shape)} {google_crc32c.value(array.tobytes()):08x}"
    return found


def _leaves(tree: Tree) -> list[tuple[str, Any]]:
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in flat]


def _path(directory: Path, step: int) -> Path:
    return directory.absolute() / f"{step:08d}"  # Orbax refuses relative paths
