# SPDX-License-Identifier: Apache-2.0
"""Which implementation serves, where none is named."""

from jax import Array

from kernels import tiles
from kernels.target import architecture, pallas_implementations

OPERATIONS = ("grouped_matmul", "grouped_matmul_transposed")
"""What an implementation in Pallas needs tiles for."""


def pick(x_TI: Array) -> str:
    """The fastest Pallas implementation that has tiles for this type, else XLA; on CPUs blocks."""
    for name in pallas_implementations():
        if all(tiles.has(name, operation, x_TI.dtype) for operation in OPERATIONS):
            return name
    return "blocks" if architecture() == "cpu" else "xla"
