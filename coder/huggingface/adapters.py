# SPDX-License-Identifier: Apache-2.0
"""Low-rank adapters in PEFT's layout, in and out.

A folder has adapter_config.json and adapter_model.safetensors with the tensors
base_model.model.MODULE.lora_A.weight [r, in] and .lora_B.weight [out, r] of every module that
`target_modules` reaches; MODULE is the base model's name for a matrix, as in `names`. Whatever else
PEFT can do changes what a model computes, and is refused by name.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from safetensors.numpy import save_file

from coder.checkpoint import CheckpointError
from coder.config import ModelConfig, write_json
from coder.huggingface.names import TABLE, Tensor, tensors
from coder.huggingface.source import read_json
from coder.huggingface.tensor_file import TYPES, Entry, read_entries
from coder.model.lora import LowRank, adapters_of, with_adapters
from coder.model.transformer import Decoder

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_FACTORS = ("lora_A", "lora_B")
_V2_TRAP = (
    "PEFT turns adapters of gate_proj, up_proj and down_proj of a DeepseekV2 model into others, of "
    "all experts at once, and loses those of dense layers and shared experts: only adapters of the "
    "attention are exchanged"
)
_HARMLESS = frozenset(
    {
        *("auto_mapping", "base_model_name_or_path", "inference_mode", "lora_dropout"),
        *("megatron_core", "peft_version", "qalora_group_size", "revision", "runtime_config"),
    }
)
"""Fields of adapter_config.json that do not change what a finished adapter computes."""
_ONLY = {
    "bias": ("none",),
    "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal"),
    "peft_type": ("LORA",),
    "task_type": ("CAUSAL_LM",),
}
"""Values of a field that can be honoured, beside none. Other ways to initialise (PiSSA, OLoRA and
their like) move a part of the base model into the adapter."""


class _Settings(NamedTuple):
    """What adapter_config.json says."""

    rank: int
    alpha: float
    rank_stabilised: bool
    targets: str | list[str]
    """Names of modules or ends of them, or a regular expression of whole names."""


def load_adapter(decoder: Decoder, directory: Path) -> Decoder:
    """The decoder, whose parameters are shared, with the adapters of a folder beside its matrices.

    Raises:
        CheckpointError: they are not of this model, are damaged, or need what cannot be honoured.
    """
    return with_adapters(decoder, read_adapters(decoder.config, directory))


def read_adapters(config: ModelConfig, directory: Path) -> dict[str, LowRank]:
    """The adapters of a folder by the paths of the matrices that they are beside.

    Raises:
        CheckpointError: as for `load_adapter`.
    """
    settings, path = _read_settings(directory / _CONFIG), directory / _WEIGHTS
    other = path.with_suffix(".bin")
    if other.exists() and not path.exists():
        raise CheckpointError(
            f"{directory} has no {_WEIGHTS}; it has {other.name}, which can hold programs and is "
            "not read: convert it to safetensors, as by PEFT's save_pretrained"
        )
    entries = read_entries(path)
    try:
        targeted = _targeted(config, settings.targets)
        _check_tensors(entries, targeted, settings.rank)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None

    def stacked(of_path: list[Tensor], factor: str) -> Array:
        return jnp.stack([entries[_key(tensor, factor)].array().T for tensor in of_path])

    return {
        path: LowRank(
            *(stacked(of_path, factor) for factor in _FACTORS),
            alpha=settings.alpha,
            rank_stabilised=settings.rank_stabilised,
        )
        for path, of_path in _by_path(targeted).items()
    }


def save_adapter(decoder: Decoder, directory: Path) -> None:
    """Writes the decoder's adapters, and nothing else of it, as PEFT does.

    Raises:
        ValueError: it has none, or such as PEFT's files cannot hold.
    """
    adapters = adapters_of(decoder)
    settings = _common_settings(decoder.config, adapters)
    targeted = _by_path(_targeted(decoder.config, settings.targets))
    if missing := sorted(targeted.keys() - adapters.keys()):
        raise ValueError(
            f"no adapter is beside {missing[0]}: PEFT goes by the last part of a module's name, "
            f"and {', '.join(settings.targets)} means that one too"
        )
    arrays = {
        _key(tensor, factor): np.ascontiguousarray(stacked[...][tensor.index].T)
        for path, of_path in targeted.items()
        for factor, stacked in zip(
            _FACTORS, (adapters[path].down_IR, adapters[path].up_RO), strict=True
        )
        for tensor in of_path
    }
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / _WEIGHTS, arrays)
    write_json(directory / _CONFIG, _peft_config(settings))


def _read_settings(path: Path) -> _Settings:
    """Reads adapter_config.json; CheckpointError for what cannot be honoured."""
    values = read_json(path)
    try:
        _refuse_others(values)
        rank, alpha = values["r"], values.get("lora_alpha", 8)
        targets = values["target_modules"]
        if type(rank) is not int or rank < 1:
            raise ValueError(f"r={rank!r}: must be an integer, at least 1")
        if type(alpha) not in (int, float):
            raise ValueError(f"lora_alpha={alpha!r}: must be a number")
        names = targets if isinstance(targets, list) else [targets]
        if not names or not all(isinstance(name, str) for name in names):
            raise ValueError(f"target_modules={targets!r}: must be names, or a regular expression")
    except KeyError as error:
        raise CheckpointError(f"{path}: {error.args[0]} is missing") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None
    return _Settings(rank, float(alpha), bool(values.get("use_rslora")), targets)


def _refuse_others(values: dict[str, Any]) -> None:
    """Raises ValueError, which names the field, for one that asks for what is not there."""
    if values.get("target_parameters"):
        raise ValueError(f"target_parameters is not supported: {_V2_TRAP}")
    known = _HARMLESS | _ONLY.keys() | {"r", "lora_alpha", "target_modules", "use_rslora"}
    for name, value in values.items():
        if name not in known and value:
            raise ValueError(f"{name}={value!r} is not supported: only adapters without it")
    for name, allowed in _ONLY.items():
        if values.get(name) is not None and values[name] not in allowed:
            choices = ", ".join(map(repr, allowed))
            raise ValueError(f"{name}={values[name]!r} is not supported: only {choices}")


def _targeted(config: ModelConfig, targets: str | Sequence[str]) -> list[Tensor]:
    """The base model's matrices that `target_modules` reaches.

    Raises:
        ValueError: it names what no model has, or reaches what cannot have an adapter, or nothing.
    """
    names = {module.rpartition(".")[2] for module, _ in TABLE}
    for target in [] if isinstance(targets, str) else targets:
        if target.rpartition(".")[2] not in names:
            raise ValueError(f"target_modules: there is no module {target!r} in any model")
    try:
        found = [tensor for tensor in tensors(config) if _reaches(targets, _module(tensor))]
    except re.error as error:
        raise ValueError(f"target_modules={targets!r}: {error}") from None
    if not found:
        raise ValueError(f"target_modules={targets!r} names no matrix of this model")
    for tensor in found:
        is_matrix = tensor.transposed and len(tensor.index) == 1 and "router" not in tensor.path
        if config.mla.kv_lora_rank and "/mlp/" in tensor.path:
            raise ValueError(f"target_modules reaches {_module(tensor)}: {_V2_TRAP}")
        if not is_matrix:
            raise ValueError(
                f"target_modules reaches {_module(tensor)}: only matrices of the attention and the "
                "MLP of a layer have adapters"
            )
    _check_all_layers(config, found)
    return found


def _check_all_layers(config: ModelConfig, found: list[Tensor]) -> None:
    """Raises ValueError where only some layers of a stack are reached: ours are one array."""
    whole = _by_path(tensors(config))
    for path, reached in _by_path(found).items():
        if left := [tensor for tensor in whole[path] if tensor not in reached]:
            raise ValueError(
                f"target_modules reaches {_module(reached[0])} and not {_module(left[0])}: an "
                "adapter must be beside a matrix of every layer"
            )


def _reaches(targets: str | Sequence[str], module: str) -> bool:
    if isinstance(targets, str):
        return re.fullmatch(targets, module) is not None
    return any(module == target or module.endswith(f".{target}") for target in targets)


def _check_tensors(entries: Mapping[str, Entry], targeted: list[Tensor], rank: int) -> None:
    """Raises ValueError, which names the tensor, where the file has not just what it should."""
    expected = {}
    for tensor in targeted:
        outputs, inputs = tensor.shape
        expected[_key(tensor, "lora_A")] = (rank, inputs)
        expected[_key(tensor, "lora_B")] = (outputs, rank)
    for name, shape in expected.items():
        if name not in entries:
            raise ValueError(f"tensor {name} is missing, of shape {list(shape)}")
        if entries[name].dtype not in TYPES:
            raise ValueError(
                f"tensor {name} is of type {entries[name].dtype}: only {', '.join(TYPES)}"
            )
        if entries[name].shape != shape:
            raise ValueError(
                f"tensor {name} has the shape {list(entries[name].shape)}, expected "
                f"{list(shape)} with r={rank} and this base model"
            )
    if others := sorted(entries.keys() - expected.keys()):
        raise ValueError(
            f"tensor {others[0]} belongs to no module of this model that target_modules reaches: "
            "was the adapter made for another model?"
        )


def _common_settings(config: ModelConfig, adapters: Mapping[str, LowRank]) -> _Settings:
    """What all adapters have in common.

    Raises:
        ValueError: there are none, or they differ.
    """
    kinds = {(one.rank, float(one.alpha), one.rank_stabilised) for one in adapters.values()}
    if not kinds:
        raise ValueError("the model has no adapters")
    if len(kinds) > 1:
        raise ValueError(
            "adapters of different kinds cannot be written together; rank, alpha and whether the "
            f"rank is stabilised: {', '.join(map(str, sorted(kinds)))}"
        )
    reached = {_module(tensor) for tensor in tensors(config) if tensor.path in adapters}
    return _Settings(*kinds.pop(), sorted({module.rpartition(".")[2] for module in reached}))


def _peft_config(settings: _Settings) -> dict[str, Any]:
    """adapter_config.json; what is left out has PEFT's default."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": settings.rank,
        "lora_alpha": int(settings.alpha) if settings.alpha.is_integer() else settings.alpha,
        "lora_dropout": 0.0,
        "use_rslora": settings.rank_stabilised,
        "bias": "none",
        "target_modules": settings.targets,
    }


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes tensors, atomically."""
    temporary = path.with_name(f"{path.name}.tmp")
    save_file(dict(arrays), temporary, metadata={"format": "pt"})
    temporary.replace(path)


def _by_path(found: Iterable[Tensor]) -> dict[str, list[Tensor]]:
    """The tensors of each of our parameters, by layer."""
    by_path: dict[str, list[Tensor]] = {}
    for tensor in found:
        by_path.setdefault(tensor.path, []).append(tensor)
    return by_path


def _module(tensor: Tensor) -> str:
    return tensor.name.removesuffix(".weight")


def _key(tensor: Tensor, factor: str) -> str:
    return f"base_model.model.{_module(tensor)}.{factor}.weight"
