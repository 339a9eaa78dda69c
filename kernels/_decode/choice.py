# SPDX-License-Identifier: Apache-2.0
"""Which implementation serves, where none is named."""

from kernels import tiles
from kernels._decode.operands import Operands
from kernels.target import pallas_implementations


def pick(operands: Operands) -> str:
    """Triton on a GPU, where the table has a tile for these types and widths, else XLA."""
    name, dtype = "pallas_triton", operands.q_BNH.dtype
    if name in pallas_implementations() and tiles.has(name, "decode", dtype, operands.widths):
        return name
    return "xla"
