# SPDX-License-Identifier: Apache-2.0
"""What the Pallas implementations share: padding, and gradients from what the forward pass keeps.

Queries, keys, values, outputs and the logarithm of each row's sum are kept, from which the weights
are computed anew (Dao et al., "FlashAttention", 2022, section 3.1). Gradients of queries and of
keys come from two kernels, each of which owns what it writes: nothing is added from several places
at once, so that equal inputs give equal bits.
"""

from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from kernels import tiles
from kernels._attention.choice import OPERATIONS
from kernels._attention.operands import Operands, Spans, spans


class Kept(NamedTuple):
    """What the forward pass keeps for the backward one."""

    operands: Operands
    spans: Spans
    out_BNTW: Array
    logsumexp_BNT: Array


class Towards(NamedTuple):
    """What the backward kernels read beside the operands."""

    d_out_BNTW: Array
    logsumexp_BNT: Array
    """Natural logarithms, float32."""
    mean_BNT: Array
    """Of each row: the mean of its weights' gradients, by weight; float32."""


class Backend(Protocol):
    """The kernels of an implementation; T is a multiple of their tiles' rows and columns."""

    name: str

    def forward(
        self, operands: Operands, spans: Spans, scale: float, tile: tiles.Tile
    ) -> tuple[Array, Array]:
        """Outputs [B, N, T, W] and logarithms of the sums [B, N, T], float32."""
        ...

    def backward_q(
        self, operands: Operands, spans: Spans, towards: Towards, scale: float, tile: tiles.Tile
    ) -> tuple[Array, Array | None]:
        """Gradients of `q_BNTH` and `q_rope_BNTP`."""
        ...

    def backward_kv(
        self, operands: Operands, spans: Spans, towards: Towards, scale: float, tile: tiles.Tile
    ) -> tuple[Array, Array, Array | None]:
        """Gradients of `k_BKTH`, of `v_BKTW`, and of `k_rope_BTP` from each key head's part.

        The last are [B, K, T, P], float32: their sum is rounded once.
        """
        ...


class _Tiles(NamedTuple):
    forward: tiles.Tile
    backward_q: tiles.Tile
    backward_kv: tiles.Tile


def _find_tiles(backend: Backend, operands: Operands) -> _Tiles:
    dtype, widths = operands.q_BNTH.dtype, operands.widths
    return _Tiles(*(tiles.find(backend.name, one, dtype, widths) for one in OPERATIONS))


def attention(
    backend: Backend, operands: Operands, segment_ids_BT: Array | None, scale: float
) -> tuple[Array, Array]:
    """See `kernels.attention.attention_and_logsumexp`."""
    batch, _, length, _ = operands.q_BNTH.shape
    cuts = _find_tiles(backend, operands)
    multiple = max(max(tile.rows, tile.columns) for tile in cuts)
    missing = -length % multiple
    operands = jax.tree.map(partial(_padded, missing), operands)
    where = _extended(spans(segment_ids_BT, batch, length), missing)
    outputs = _attention(operands, where, backend, scale, cuts)
    return jax.tree.map(lambda x_BNT: x_BNT[:, :, :length], outputs)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _attention(
    operands: Operands, where: Spans, backend: Backend, scale: float, cuts: _Tiles
) -> tuple[Array, Array]:
    return backend.forward(operands, where, scale, cuts.forward)


def _forward(
    operands: Operands, where: Spans, backend: Backend, scale: float, cuts: _Tiles
) -> tuple[tuple[Array, Array], Kept]:
    out_BNTW, logsumexp_BNT = backend.forward(operands, where, scale, cuts.forward)
    return (out_BNTW, logsumexp_BNT), Kept(operands, where, out_BNTW, logsumexp_BNT)


def _backward(
    backend: Backend, scale: float, cuts: _Tiles, kept: Kept, d_outputs: tuple[Array, Array]
) -> tuple[Operands, None]:
    d_out_BNTW, d_logsumexp_BNT = d_outputs
    product_BNTW = kept.out_BNTW.astype(jnp.float32) * d_out_BNTW.astype(jnp.float32)
    # The logarithm's gradient reaches the scores by the weights, as the mean does.
    mean_BNT = jnp.sum(product_BNTW, axis=-1) - d_logsumexp_BNT
    towards = Towards(d_out_BNTW, kept.logsumexp_BNT, mean_BNT)
    arguments = kept.operands, kept.spans, towards, scale
    d_q, d_q_rope = backend.backward_q(*arguments, cuts.backward_q)
    d_k, d_v, d_rope_BKTP = backend.backward_kv(*arguments, cuts.backward_kv)
    d_k_rope = None if d_rope_BKTP is None else jnp.sum(d_rope_BKTP, axis=1).astype(d_k.dtype)
    return Operands(d_q, d_k, d_v, d_q_rope, d_k_rope), None


_attention.defvjp(_forward, _backward)


def _extended(where: Spans, missing: int) -> Spans:
    """With further positions, a document of their own behind all others."""
    length = where.first_BT.shape[1]
    room = ((0, 0), (0, missing))
    return Spans(
        jnp.pad(where.first_BT, room, constant_values=length),
        jnp.pad(where.last_BT, room, constant_values=length + missing - 1),
    )


def _padded(missing: int, x: Array) -> Array:
    """With further positions, which are the last axis but one."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, missing), (0, 0)])
