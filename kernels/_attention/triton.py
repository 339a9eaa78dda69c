# SPDX-License-Identifier: Apache-2.0
"""Attention in Triton, for Ampere and later."""

from jax import Array

from kernels import tiles
from kernels._attention.fused import Towards
from kernels._attention.operands import Operands, Spans


class _Triton:
    name = "pallas_triton"

    def forward(
        self, operands: Operands, spans: Spans, scale: float, tile: tiles.Tile
    ) -> tuple[Array, Array]:
        raise NotImplementedError

    def backward_q(
        self, operands: Operands, spans: Spans, towards: Towards, scale: float, tile: tiles.Tile
    ) -> tuple[Array, Array | None]:
        raise NotImplementedError

    def backward_kv(
        self, operands: Operands, spans: Spans, towards: Towards, scale: float, tile: tiles.Tile
    ) -> tuple[Array, Array, Array | None]:
        raise NotImplementedError


BACKEND = _Triton()
