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

BATCH, LENGTH = 2, 4096
SLOTS, PLACES = 8, 8192
SCALE = 0.1

_HEADS = {"mha": (16, 16), "gqa": (56, 8), "mqa": (32, 1)}
"""Of queries and of keys, in v1's 1.3B, 33B and 5.7B."""

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
    place_BT = _array("int32", BATCH, LENGTH)
    found = {}
    for name, (num, key_heads) in ({"v2_lite": (16, 16)} if rope else _HEADS).items():
        operands = Operands(
            array(num, LENGTH, head),
            array(key_heads, LENGTH, head),
            array(key_heads, LENGTH, value),
            array(num, LENGTH, rope) if rope else None,
            array(LENGTH, rope) if rope else None,
        )
        row_BNT = _array("float32", BATCH, num, LENGTH)
        towards = Towards(array(num, LENGTH, value), row_BNT, row_BNT)
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
    # A program takes several heads of one key: V2 has more than V2-Lite.
    latents = {"v2_lite": (16, 1), "v2": (128, 1)}
    found = {}
    for name, (num, key_heads) in (latents if rope else _HEADS).items():
        operands = {
            "q_BNH": array(num, head),
            "k_BKSH": array(key_heads, PLACES, head),
            "v_BKSW": None if rope else array(key_heads, PLACES, value),
            "q_rope_BNP": array(num, rope) if rope else None,
            "k_rope_BSP": array(PLACES, rope) if rope else None,
        }
        found[name] = run, (_array("int32", SLOTS), operands)
    return found


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
