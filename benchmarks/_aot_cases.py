# SPDX-License-Identifier: Apache-2.0
"""What the entries of the tile table are compiled for: arguments of the sizes of real models."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from kernels import tiles
from kernels._attention.fused import Towards
from kernels._attention.operands import Operands, Spans
from kernels.decode import decode

Case = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function and its arguments, of which only shapes and types are known."""

BATCH, LENGTH, HEADS = 2, 4096, 16
SLOTS, PLACES = 8, 8192
SCALE = 0.1

_EXPERTS, _ROWS = 64, 8192
_MATRICES = {"v2_lite": (2048, 1408), "v2": (5120, 1536)}
"""Of an expert of both DeepSeek-V2."""


def cases(key: tiles.Key, tile: tiles.Tile) -> dict[str, Case]:
    """The kernel of a table's entry, cut so, for each kind of model that runs it."""
    kind = key.operation.split("_")[0]
    return {"attention": _attention, "decode": _decode, "grouped": _grouped}[kind](key, tile)


def _attention(key: tiles.Key, tile: tiles.Tile) -> dict[str, Case]:
    backend = _backend("attention", key.implementation)
    kernel = getattr(backend, key.operation.removeprefix("attention_"))

    def forward(operands: Operands, spans: Spans, _: Towards) -> Any:
        return kernel(operands, spans, SCALE, tile)

    def backward(operands: Operands, spans: Spans, towards: Towards) -> Any:
        return kernel(operands, spans, towards, SCALE, tile)

    head, rope, value = key.widths
    array = partial(_array, key.dtype, BATCH)
    row_BNT, place_BT = (
        _array("float32", BATCH, HEADS, LENGTH),
        _array("int32", BATCH, LENGTH),
    )
    towards = Towards(array(HEADS, LENGTH, value), row_BNT, row_BNT)
    found = {}
    for name, key_heads in _key_heads(key).items():
        operands = Operands(
            array(HEADS, LENGTH, head),
            array(key_heads, LENGTH, head),
            array(key_heads, LENGTH, value),
            array(HEADS, LENGTH, rope) if rope else None,
            array(LENGTH, rope) if rope else None,
        )
        function = forward if key.operation == "attention_forward" else backward
        found[name] = function, (operands, Spans(place_BT, place_BT), towards)
    return found


def _decode(key: tiles.Key, tile: tiles.Tile) -> dict[str, Case]:
    """MLA's latents, which are keys and values at once, or heads of any kind."""

    def run(length_B: Array, operands: dict[str, Any]) -> Array:
        with tiles.using({key: tile}):
            return decode(length_B=length_B, implementation=key.implementation, **operands)

    head, rope, value = key.widths
    array = partial(_array, key.dtype, SLOTS)
    found = {}
    for name, key_heads in _key_heads(key, latent=1).items():
        operands = {
            "q_BNH": array(HEADS, head),
            "k_BKSH": array(key_heads, PLACES, head),
            "v_BKSW": None if rope else array(key_heads, PLACES, value),
            "q_rope_BNP": array(HEADS, rope) if rope else None,
            "k_rope_BSP": array(PLACES, rope) if rope else None,
        }
        found[name] = run, (_array("int32", SLOTS), operands)
    return found


def _key_heads(key: tiles.Key, latent: int = HEADS) -> dict[str, int]:
    """By kind of model."""
    return {"mla": latent} if key.widths[1] else {"mha": HEADS, "gqa": 2, "mqa": 1}


def _grouped(key: tiles.Key, tile: tiles.Tile) -> dict[str, Case]:
    backend = _backend("grouped_matmul", key.implementation)
    found: dict[str, Case] = {}
    for name, (width, out_width) in _MATRICES.items():
        x_TI, y_TO = (_array(key.dtype, _ROWS, size) for size in (width, out_width))
        weight_EIO = _array(key.dtype, _EXPERTS, width, out_width)
        sizes_E = _array("int32", _EXPERTS)
        if key.operation == "grouped_matmul":
            for transposed, rows in ((False, x_TI), (True, y_TO)):
                run = partial(backend.rows_by_matrices, tile=tile, transposed=transposed)
                found[f"{name}_d_x" if transposed else name] = run, (rows, weight_EIO, sizes_E)
        else:
            # Matrices are kept in float32 or in the type of the rows, and so is their gradient.
            for dtype in sorted({key.dtype, "float32"}):
                run = partial(backend.rows_by_rows, dtype=dtype, tile=tile)
                found[f"{name}_to_{dtype}"] = run, (x_TI, y_TO, sizes_E)
    return found


def _backend(operation: str, implementation: str) -> Any:
    """Mosaic's is imported when it is asked for, as the kernels themselves do."""
    module = implementation.removeprefix("pallas_")
    return import_module(f"kernels._{operation}.{module}").BACKEND


def _array(dtype: str, *shape: int) -> Any:
    """Its shape and type, which is all that a compiler needs."""
    return jax.ShapeDtypeStruct(shape, jnp.dtype(dtype))
