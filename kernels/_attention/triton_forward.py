# SPDX-License-Identifier: Apache-2.0
"""Attention's forward pass in Triton (Dao, "FlashAttention-2", 2023, section 3.1).

Further letters: R the queries of a program, C the keys of one of its steps.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.experimental import pallas as pl

from kernels import tiles
from kernels._attention.operands import Operands, Spans, visits
from kernels._attention.triton_launch import (
    Programs,
    call,
    fitting_together,
    over,
    power,
    product,
    scores,
)

# Finite, so that the difference of two masked scores is a number.
_MASKED = -1e30

Carry = tuple[Array, Array, Array]


def forward(
    operands: Operands, spans: Spans, scale: float, tile: tiles.Tile
) -> tuple[Array, Array]:
    """See `kernels._attention.fused.Backend`."""
    programs = query_programs(operands, tile.rows)
    batch, num_heads, length, _ = operands.q_BNTH.shape
    width = operands.v_BKTW.shape[-1]
    return call(
        partial(_kernel, programs=programs, scale=scale, columns=tile.columns),
        "attention_forward",
        programs,
        tile,
        in_specs=(query_specs(programs, operands, tile.rows), programs.of_row(length)),
        out_specs=(programs.own(tile.rows, width), programs.own(tile.rows)),
        out_shape=(
            jax.ShapeDtypeStruct((batch, num_heads, length, width), operands.q_BNTH.dtype),
            jax.ShapeDtypeStruct((batch, num_heads, length), jnp.float32),
        ),
    )(operands, spans.first_BT)


def query_programs(operands: Operands, rows: int) -> Programs:
    """Programs that own `rows` queries each and go over keys and values."""
    batch, num_heads, length, _ = operands.q_BNTH.shape
    _, num_key_heads, _, _ = operands.k_BKTH.shape
    size = sum(operands.widths) * length * operands.q_BNTH.dtype.itemsize
    together = operands.group * fitting_together(num_key_heads, size)
    return Programs(batch, num_heads, length // rows, together, descending=True)


def query_specs(programs: Programs, operands: Operands, rows: int) -> Operands:
    """What such a program reads of each operand: its queries, and its head's keys and values."""
    head_dim, rope, width = operands.widths
    length = operands.q_BNTH.shape[2]

    def of_key_head(width: int) -> Any:
        def index(*at: Array) -> tuple[Array | int, ...]:
            row, head, _ = programs.place(*at)
            return row, head // operands.group, 0, 0

        return pl.BlockSpec((None, None, length, width), index)

    return Operands(
        programs.own(rows, head_dim),
        of_key_head(head_dim),
        of_key_head(width),
        programs.own(rows, rope) if rope else None,
        programs.of_row(length, rope) if rope else None,
    )


def _kernel(
    at: Operands, first_T, out_RW, logsumexp_R, *, programs: Programs, scale: float, columns: int
) -> None:
    rows, width = out_RW.shape
    begin = programs.begin(rows)
    row_R = begin + jnp.arange(rows)
    first_R = first_T[pl.ds(begin, rows)]
    pairs = [(q_RH[...], k_TH) for q_RH, k_TH in at.pairs()]
    factor = scale * math.log2(math.e)

    def step(masked: bool, block: Array, carry: Carry) -> Carry:
        out_RW, largest_R, total_R = carry
        keys = pl.ds(block * columns, columns)
        scores_RC = scores((q_RH, k_TH[keys, :]) for q_RH, k_TH in pairs)
        visible_RC = None
        if masked:
            key_C = block * columns + jnp.arange(columns)
            visible_RC = (first_R[:, None] <= key_C) & (key_C <= row_R[:, None])
            scores_RC = jnp.where(visible_RC, scores_RC, _MASKED)
        new_R = jnp.maximum(largest_R, factor * jnp.max(scores_RC, axis=1))
        weights_RC = power(factor, scores_RC, new_R[:, None])
        if visible_RC is not None:
            # A row that has seen nothing yet has its mask as largest score, and 2 ** 0 here.
            weights_RC = jnp.where(visible_RC, weights_RC, 0.0)
        fade_R = jnp.exp2(largest_R - new_R)
        v_CW = at.v_BKTW[keys, :]
        out_RW = out_RW * fade_R[:, None] + product(weights_RC.astype(v_CW.dtype), v_CW)
        return out_RW, new_R, total_R * fade_R + jnp.sum(weights_RC, axis=1)

    nothing = (
        jnp.zeros((rows, width), jnp.float32),
        jnp.full(rows, _MASKED, jnp.float32),
        jnp.zeros(rows, jnp.float32),
    )
    last = begin + rows - 1
    seen = visits((first_T[begin], last), (first_T[last], begin), columns)
    total_RW, largest_R, total_R = over(seen, step, nothing)
    out_RW[...] = (total_RW / total_R[:, None]).astype(out_RW.dtype)
    logsumexp_R[...] = (largest_R + jnp.log2(total_R)) * math.log(2)
