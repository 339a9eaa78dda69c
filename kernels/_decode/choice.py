# SPDX-License-Identifier: Apache-2.0
"""Which implementation serves, where none is named."""

from kernels import tiles
from kernels._decode.operands import Operands


def pick(operands: Operands) -> str:
    """The fastest Pallas implementation that has a tile for these types and widths, else XLA."""
    return next(iter(tiles.serving(["decode"], operands.q_BNH.dtype, operands.widths)), "xla")
