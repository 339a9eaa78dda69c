# SPDX-License-Identifier: Apache-2.0
"""How fast a run is, against how fast the device could be.

MFU (model FLOPs utilisation; Chowdhery et al., 2022) = FLOPs per token * tokens per second / peak
FLOPs per second. FLOPs per token are `coder.model.transformer.flops_per_token`, which counts causal
attention and no recomputation. Tokens are those with a loss: padding and the last token of a
document count as waste. The peak is the data sheet's for dense bfloat16 where the device is known,
else that of a large matrix product measured here.
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from coder.config import write_json

DATA_SHEET = {"A100": 312e12, "H100": 989e12, "H200": 989e12}
"""FLOPs per second, dense bfloat16, by a part of the device's name."""


@dataclass(frozen=True)
class Peak:
    """The most FLOPs per second that all devices of the run could do."""

    flops_per_second: float
    source: str
    """Where the figure is from."""


def recorded_peak(path: Path) -> Peak:
    """The peak that `path` records; written on first use, so that a resumed run has only one."""
    if path.exists():
        return Peak(**json.loads(path.read_text(encoding="utf-8")))
    peak = _peak()
    write_json(path, asdict(peak))
    return peak


def _peak() -> Peak:
    devices = jax.devices()
    name, count = devices[0].device_kind, len(devices)
    for part, flops_per_second in DATA_SHEET.items():
        if part in name:
            return Peak(count * flops_per_second, f"data sheet, {count} x {name}, bfloat16")
    if devices[0].platform == "cpu":
        return Peak(_measure(1024, jnp.float32), f"measured, {name}, float32 matrix product")
    measured = count * _measure(8192, jnp.bfloat16)
    return Peak(measured, f"measured, {count} x {name}, bfloat16 matrix product")


def _measure(size: int, dtype: DTypeLike, seconds: float = 0.5) -> float:
    """FLOPs per second of the fastest product of two matrices within `seconds`, one device."""
    x = jnp.ones((size, size), dtype)
    product = jax.jit(jnp.matmul).lower(x, x).compile()
    fastest = float("inf")
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        product(x, x).block_until_ready()
        fastest = min(fastest, time.perf_counter() - begin)
    return 2 * size**3 / fastest
