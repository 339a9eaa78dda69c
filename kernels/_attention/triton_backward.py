# SPDX-License-Identifier: Apache-2.0
"""Attention's gradients in Triton: one kernel for those of queries, one for keys and values.

Further letters: in the first kernel R the queries of a program and C the keys of one of its steps;
in the second C the keys of a program and R the queries of one of its steps, of one query head.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.experimental import pallas as pl

from kernels import tiles
from kernels._attention.fused import Towards
from kernels._attention.operands import Operands, Spans, visits
from kernels._attention.triton_forward import query_programs, query_specs
from kernels._attention.triton_launch import (
    Programs,
    call,
    fitting_together,
    over,
    power,
    product,
    scores,
)

_LOG2_E = math.log2(math.e)

Sums = list[Array]


def backward_q(
    operands: Operands, spans: Spans, towards: Towards, scale: float, tile: tiles.Tile
) -> tuple[Array, Array | None]:
    """See `kernels._attention.fused.Backend`."""
    programs = query_programs(operands, tile.rows)
    specs = query_specs(programs, operands, tile.rows)
    own, width = programs.own(tile.rows), operands.widths[2]
    found = call(
        partial(_queries, programs=programs, scale=scale, columns=tile.columns),
        "attention_backward_q",
        programs,
        tile,
        in_specs=(
            specs,
            Towards(programs.own(tile.rows, width), own, own),
            programs.of_row(spans.first_BT.shape[1]),
        ),
        out_specs=[q for q, _ in specs.pairs()],
        out_shape=[jax.ShapeDtypeStruct(q.shape, q.dtype) for q, _ in operands.pairs()],
    )(operands, towards, spans.first_BT)
    return found[0], found[1] if len(found) == 2 else None


def _queries(
    at: Operands,
    to: Towards,
    first_T: Any,
    *d_q_refs: Any,
    programs: Programs,
    scale: float,
    columns: int,
) -> None:
    rows, _ = d_q_refs[0].shape
    begin = programs.begin(rows)
    row_R = begin + jnp.arange(rows)
    first_R = first_T[pl.ds(begin, rows)]
    pairs = [(q_RH[...], k_TH) for q_RH, k_TH in at.pairs()]
    d_out_RW, mean_R = to.d_out_BNTW[...], to.mean_BNT[...]
    log2_total_R = to.logsumexp_BNT[...] * _LOG2_E

    def step(masked: bool, block: Array, d_q: Sums) -> Sums:
        keys = pl.ds(block * columns, columns)
        loaded = [(q_RH, k_TH[keys, :]) for q_RH, k_TH in pairs]
        scores_RC = scores(loaded)
        weights_RC = power(scale * _LOG2_E, scores_RC, log2_total_R[:, None])
        if masked:
            key_C = block * columns + jnp.arange(columns)
            visible_RC = (first_R[:, None] <= key_C) & (key_C <= row_R[:, None])
            weights_RC = jnp.where(visible_RC, weights_RC, 0.0)
        d_weights_RC = product(d_out_RW, at.v_BKTW[keys, :], 1)
        d_scores_RC = (weights_RC * (d_weights_RC - mean_R[:, None])).astype(d_out_RW.dtype)
        return [d + product(d_scores_RC, k) for d, (_, k) in zip(d_q, loaded, strict=True)]

    last = begin + rows - 1
    seen = visits((first_T[begin], last), (first_T[last], begin), columns)
    d_q = over(seen, step, [jnp.zeros(ref.shape, jnp.float32) for ref in d_q_refs])
    for ref, d in zip(d_q_refs, d_q, strict=True):
        ref[...] = (scale * d).astype(ref.dtype)


def backward_kv(
    operands: Operands, spans: Spans, towards: Towards, scale: float, tile: tiles.Tile
) -> tuple[Array, Array, Array | None]:
    """See `kernels._attention.fused.Backend`."""
    batch, num_key_heads, length, _ = operands.k_BKTH.shape
    head_dim, rope, width = operands.widths
    group = operands.group
    size = group * (sum(operands.widths) + width) * length * operands.q_BNTH.dtype.itemsize
    together = fitting_together(num_key_heads, size)
    programs = Programs(batch, num_key_heads, length // tile.rows, together, descending=False)

    def of_group(*width: int) -> Any:
        return pl.BlockSpec(
            (None, group, length, *width),
            lambda *at: (*programs.place(*at)[:2], 0, *(0 for _ in width)),
        )

    def rope_index(*at: Array) -> tuple[Array | int, ...]:
        row, _, block = programs.place(*at)
        return row, block, 0

    own_k, own_v = programs.own(tile.rows, head_dim), programs.own(tile.rows, width)
    specs = Operands(of_group(head_dim), own_k, own_v)
    out_specs = [own_v, own_k]
    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (operands.v_BKTW, operands.k_BKTH)]
    if rope:
        k_rope: Any = pl.BlockSpec((None, tile.rows, rope), rope_index)
        specs = specs._replace(q_rope_BNTP=of_group(rope), k_rope_BTP=k_rope)
        out_specs.append(programs.own(tile.rows, rope))
        shape = (batch, num_key_heads, length, rope)
        shapes.append(jax.ShapeDtypeStruct(shape, jnp.float32))
    d_v, d_k, *d_rope = call(
        partial(_keys, programs=programs, scale=scale, rows=tile.columns),
        "attention_backward_kv",
        programs,
        tile,
        in_specs=(specs, Towards(of_group(width), of_group(), of_group()), programs.of_row(length)),
        out_specs=out_specs,
        out_shape=shapes,
    )(operands, towards, spans.last_BT)
    return d_k, d_v, d_rope[0] if d_rope else None


def _keys(
    at: Operands,
    to: Towards,
    last_T: Any,
    *d_refs: Any,
    programs: Programs,
    scale: float,
    rows: int,
) -> None:
    columns, _ = d_refs[0].shape
    begin = programs.begin(columns)
    key_C = begin + jnp.arange(columns)
    last_C = last_T[pl.ds(begin, columns)]
    pairs = [(q_GTH, k_CH[...]) for q_GTH, k_CH in at.pairs()]
    v_CW = at.v_BKTW[...]

    def step(head: Array, masked: bool, block: Array, carry: Sums) -> Sums:
        d_v_CW, *d_k = carry
        queries = pl.ds(block * rows, rows)
        loaded = [(k_CH, q_GTH[head, queries, :]) for q_GTH, k_CH in pairs]
        d_out_RW = to.d_out_BNTW[head, queries, :]
        scores_CR = scores(loaded)
        log2_total_R = to.logsumexp_BNT[head, queries] * _LOG2_E
        weights_CR = power(scale * _LOG2_E, scores_CR, log2_total_R[None])
        if masked:
            row_R = block * rows + jnp.arange(rows)
            visible_CR = (key_C[:, None] <= row_R) & (row_R <= last_C[:, None])
            weights_CR = jnp.where(visible_CR, weights_CR, 0.0)
        d_v_CW += product(weights_CR.astype(v_CW.dtype), d_out_RW)
        d_weights_CR = product(v_CW, d_out_RW, 1)
        d_scores_CR = weights_CR * (d_weights_CR - to.mean_BNT[head, queries])
        d_scores_CR = d_scores_CR.astype(v_CW.dtype)
        d_k = [d + product(d_scores_CR, q) for d, (_, q) in zip(d_k, loaded, strict=True)]
        return [d_v_CW, *d_k]

    last = begin + columns - 1
    seen = visits((begin, last_T[last]), (last, last_T[begin]), rows)
    d_v, *d_k = jax.lax.fori_loop(
        0,
        at.q_BNTH.shape[0],
        lambda head, carry: over(seen, partial(step, head), carry),
        [jnp.zeros(ref.shape, jnp.float32) for ref in d_refs],
    )
    for ref, d in zip(d_refs, (d_v, *(scale * d for d in d_k)), strict=True):
        ref[...] = d.astype(ref.dtype)
