# SPDX-License-Identifier: Apache-2.0
"""Which implementation serves, where none is named."""

from kernels import tiles
from kernels._attention.operands import Operands

OPERATIONS = ("attention_forward", "attention_backward_q", "attention_backward_kv")
"""What an implementation in Pallas needs tiles for."""


def pick(operands: Operands) -> str:
    """The fastest Pallas implementation that has tiles for these types and widths, else XLA."""
    return next(iter(tiles.serving(OPERATIONS, operands.q_BNTH.dtype, operands.widths)), "xla")
