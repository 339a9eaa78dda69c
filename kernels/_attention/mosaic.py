# SPDX-License-Identifier: Apache-2.0
"""Attention in Mosaic GPU, for Hopper: TMA, wgmma and specialised warpgroups."""

from kernels import tiles
from kernels._attention import mosaic_backward_kv, mosaic_backward_q, mosaic_forward

_CUTS: dict[str, dict[tuple[int, ...], list[tuple[int, int, int, int]]]] = {
    "attention_forward": {
        (64, 0, 64): [(128, 128, 8, 3), (256, 64, 8, 3), (256, 64, 16, 3), (128, 128, 8, 4)],
        (128, 0, 128): [(128, 128, 8, 2), (128, 128, 8, 3), (128, 64, 8, 4), (128, 64, 8, 3)],
        (256, 0, 256): [(128, 64, 8, 2)],
        (128, 64, 128): [(128, 128, 8, 2), (128, 64, 8, 4), (128, 64, 8, 3)],
    },
    "attention_backward_q": {
        (64, 0, 64): [(128, 128, 8, 3), (128, 128, 8, 4), (256, 64, 8, 4), (128, 64, 8, 4)],
        (128, 0, 128): [(128, 64, 8, 4), (128, 64, 8, 3)],
        (128, 64, 128): [(128, 64, 8, 3), (128, 64, 8, 2)],
    },
    "attention_backward_kv": {
        (64, 0, 64): [(128, 64, 8, 4), (128, 64, 8, 6)],
        (128, 0, 128): [(128, 64, 8, 4), (128, 64, 8, 3)],
        (128, 64, 128): [(256, 64, 8, 3), (256, 64, 8, 2), (128, 64, 8, 3)],
    },
}
"""Rows, columns, warps and stages that fit into registers and shared memory, by widths."""


def candidates(key: tiles.Key) -> tuple[tiles.Tile, ...]:
    """Tiles worth a try for `key`, the most promising first."""
    cuts = _CUTS.get(key.operation, {}).get(key.widths, [])
    return tuple(
        tiles.Tile(rows, columns, 0, warps, stages) for rows, columns, warps, stages in cuts
    )


class _Mosaic:
    name = "pallas_mosaic"
    forward = staticmethod(mosaic_forward.forward)
    backward_q = staticmethod(mosaic_backward_q.backward_q)
    backward_kv = staticmethod(mosaic_backward_kv.backward_kv)


BACKEND = _Mosaic()
