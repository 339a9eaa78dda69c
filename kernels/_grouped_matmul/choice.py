# SPDX-License-Identifier: Apache-2.0
"""Which implementation serves, where none is named."""

from jax import Array

from kernels import tiles
from kernels.target import architecture

OPERATIONS = ("grouped_matmul", "grouped_matmul_transposed")
"""What an implementation in Pallas needs tiles for."""


def pick(x_TI: Array) -> str:
    """The fastest Pallas implementation that has tiles for this type, else XLA; on CPUs blocks."""
    without_tiles = "blocks" if architecture() == "cpu" else "xla"
    return next(iter(tiles.serving(OPERATIONS, x_TI.dtype)), without_tiles)
