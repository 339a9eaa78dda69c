# SPDX-License-Identifier: Apache-2.0
"""Which implementation serves, where none is named."""

from kernels import tiles
from kernels._attention.operands import Operands
from kernels.target import pallas_implementations


def pick(operands: Operands) -> str:
    """The fastest Pallas implementation that has tiles for these types and widths, else XLA."""
    dtype, widths = operands.q_BNTH.dtype, operands.widths
    for name in pallas_implementations():
        if all(
            tiles.has(name, f"attention_{kernel}", dtype, widths)
            for kernel in ("forward", "backward_q", "backward_kv")
        ):
            return name
    return "xla"
