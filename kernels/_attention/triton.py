# SPDX-License-Identifier: Apache-2.0
"""Attention in Triton, for Ampere and later."""

from kernels import tiles
from kernels._attention import triton_backward, triton_forward


class _Triton:
    name = "pallas_triton"
    forward = staticmethod(triton_forward.forward)
    backward_q = staticmethod(triton_backward.backward_q)
    backward_kv = staticmethod(triton_backward.backward_kv)


BACKEND = _Triton()

# Rows, columns, warps, stages. The best guess comes first: many rows, since keys and values are
# read once for all of them, and loads that are two steps ahead.
_BFLOAT16 = {
    "attention_forward": (
        (128, 128, 8, 3),
        (128, 128, 8, 2),
        (128, 64, 8, 3),
        (128, 64, 8, 2),
        (128, 64, 4, 3),
        (128, 64, 4, 2),
        (128, 32, 4, 3),
        (64, 128, 4, 2),
        (64, 64, 4, 3),
        (64, 64, 4, 2),
        (64, 64, 8, 2),
        (64, 32, 8, 2),
    ),
    "attention_backward_q": (
        (128, 128, 8, 2),
        (128, 64, 8, 3),
        (128, 64, 8, 2),
        (128, 64, 4, 2),
        (128, 32, 8, 3),
        (128, 32, 8, 2),
        (64, 64, 4, 3),
        (64, 64, 4, 2),
        (64, 64, 8, 2),
        (64, 32, 8, 2),
        (32, 64, 4, 2),
    ),
    "attention_backward_kv": (
        (128, 128, 8, 2),
        (128, 64, 8, 3),
        (128, 64, 8, 2),
        (64, 128, 8, 2),
        (128, 32, 8, 3),
        (64, 64, 8, 3),
        (64, 64, 8, 2),
        (64, 32, 8, 2),
        (64, 16, 8, 2),
        (32, 64, 8, 2),
        (32, 64, 4, 2),
    ),
}
# Products in full float32 run outside the tensor cores and hold their operands in registers.
_FLOAT32 = (
    (64, 32, 8, 2),
    (32, 32, 4, 2),
    (32, 32, 8, 2),
    (32, 16, 4, 2),
    (32, 16, 8, 2),
    (16, 16, 8, 2),
)


def candidates(key: tiles.Key) -> tuple[tiles.Tile, ...]:
    """Tiles worth a try for `key`; some do not fit every width and architecture."""
    cuts = _BFLOAT16[key.operation] if key.dtype == "bfloat16" else _FLOAT32
    return tuple(
        tiles.Tile(rows, columns, 0, warps, stages) for rows, columns, warps, stages in cuts
    )
