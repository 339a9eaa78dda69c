# SPDX-License-Identifier: Apache-2.0
"""Attention in Mosaic GPU, for Hopper: TMA, wgmma and specialised warpgroups."""

from jax import Array

from kernels import tiles
from kernels._attention import mosaic_backward_kv, mosaic_backward_q, mosaic_forward
from kernels._attention.fused import Towards
from kernels._attention.operands import Operands, Spans


class _Mosaic:
    name = "pallas_mosaic"

    def forward(
        self, operands: Operands, spans: Spans, scale: float, tile: tiles.Tile
    ) -> tuple[Array, Array]:
        return mosaic_forward.forward(operands, spans, scale, tile)

    def backward_q(
        self, operands: Operands, spans: Spans, towards: Towards, scale: float, tile: tiles.Tile
    ) -> tuple[Array, Array | None]:
        return mosaic_backward_q.backward_q(operands, spans, towards, scale, tile)

    def backward_kv(
        self, operands: Operands, spans: Spans, towards: Towards, scale: float, tile: tiles.Tile
    ) -> tuple[Array, Array, Array | None]:
        return mosaic_backward_kv.backward_kv(operands, spans, towards, scale, tile)


BACKEND = _Mosaic()
