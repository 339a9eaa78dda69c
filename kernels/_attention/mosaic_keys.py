# SPDX-License-Identifier: Apache-2.0
"""The keys and values that a program of queries goes through in Mosaic GPU, block by block."""

from typing import NamedTuple

import jax.experimental.pallas.mosaic_gpu as plgpu
from jax import Array
from jax.experimental import pallas as pl

from kernels import tiles, warpgroup
from kernels._attention.operands import Operands, Visits
from kernels.warpgroup import Ref


class Passing(NamedTuple):
    """Shared memory for as many blocks as are in flight or in use at once."""

    keys: list[Ref]
    """With, where there is one, the rotated key."""
    keys_ready: Ref
    keys_free: Ref
    values: Ref
    values_ready: Ref
    values_free: Ref


def passing(operands: Operands, tile: tiles.Tile) -> Passing:
    """As scratch of a kernel with blocks of `tile.columns` keys."""
    dtype, stages, columns = operands.k_BKTH.dtype, tile.num_stages, tile.columns
    parts = [key.shape[-1] for _, key in operands.pairs()]
    free = plgpu.Barrier(num_arrivals=tile.num_warps // 4, num_barriers=stages)
    return Passing(
        keys=[warpgroup.matrix((stages, columns, part), dtype) for part in parts],
        keys_ready=plgpu.Barrier(num_arrivals=len(parts), num_barriers=stages),
        keys_free=free,
        values=warpgroup.matrix((stages, columns, operands.widths[2]), dtype),
        values_ready=plgpu.Barrier(num_barriers=stages),
        values_free=free,
    )


def stream(
    operands: Operands,
    passing: Passing,
    place: tuple[Array, Array],
    visited: Visits,
    tile: tiles.Tile,
) -> None:
    """Called by the copying warpgroup: has all blocks that are visited pass.

    Args:
        operands: references to what is in global memory.
        passing: where blocks go.
        place: batch row and key head.
        visited: which blocks.
        tile: as in `passing`.
    """
    batch, key_head = place
    begin, _, _, end = visited

    def block(step: Array) -> pl.Slice:
        return pl.ds((begin + step) * tile.columns, tile.columns)

    def fill_keys(step: Array, slot: Array) -> None:
        parts: list[Ref] = [operands.k_BKTH.at[batch, key_head, block(step)]]
        if operands.k_rope_BTP is not None:
            parts.append(operands.k_rope_BTP.at[batch, block(step)])
        for part, smem in zip(parts, passing.keys, strict=True):
            plgpu.copy_gmem_to_smem(part, smem.at[slot], passing.keys_ready.at[slot])

    def fill_values(step: Array, slot: Array) -> None:
        values: Ref = operands.v_BKTW.at[batch, key_head, block(step)]
        plgpu.copy_gmem_to_smem(values, passing.values.at[slot], passing.values_ready.at[slot])

    warpgroup.stream(
        end - begin,
        tile.num_stages,
        [(passing.keys_free, fill_keys), (passing.values_free, fill_values)],
    )
