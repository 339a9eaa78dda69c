# SPDX-License-Identifier: Apache-2.0
"""Which implementation serves, where none is named."""

from jax import Array

from kernels import tiles
from kernels._attention.operands import Operands
from kernels.target import architecture


def pick(operands: Operands, segment_ids_BT: Array | None) -> str:
    """The fastest that can do the job: Mosaic on Hopper, Triton on other GPUs, XLA elsewhere."""
    del segment_ids_BT
    where = architecture()
    if not where.startswith("sm"):
        return "xla"
    candidates = ("pallas_mosaic", "pallas_triton") if where == "sm90" else ("pallas_triton",)
    dtype, widths = operands.q_BNTH.dtype, operands.widths
    for name in candidates:
        if all(
            tiles.has(name, f"attention_{kernel}", dtype, widths)
            for kernel in ("forward", "backward_q", "backward_kv")
        ):
            return name
    return "xla"
