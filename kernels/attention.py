# SPDX-License-Identifier: Apache-2.0
"""Causal attention over packed documents.

Letters of array names: B batch, T position (S of keys), N query heads, K key and value heads, R
query heads of a key head times positions, H width of a query or key head, P width of the part of
it that has a rotated key of its own, W of a value head.
"""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from jax import Array

from kernels import checks
from kernels._attention import choice, cudnn, fused, reference, triton, xla
from kernels._attention.operands import Operands

Implementation = Callable[[Operands, Array | None, float], tuple[Array, Array]]


def _mosaic(operands: Operands, segment_ids_BT: Array | None, scale: float) -> tuple[Array, Array]:
    """Imported when it is asked for: it takes as long as all the rest."""
    from kernels._attention import mosaic

    return fused.attention(mosaic.BACKEND, operands, segment_ids_BT, scale)


_IMPLEMENTATIONS: dict[str, Implementation] = {
    "reference": reference.attention,
    "xla": xla.attention,
    "pallas_triton": partial(fused.attention, triton.BACKEND),
    "pallas_mosaic": _mosaic,
    "cudnn": cudnn.attention,
}


def attention(
    q_BNTH: Array,
    k_BKTH: Array,
    v_BKTW: Array,
    *,
    q_rope_BNTP: Array | None = None,
    k_rope_BTP: Array | None = None,
    segment_ids: Array | None = None,
    scale: float | None = None,
    implementation: str | None = None,
) -> Array:
    """softmax(scale * (q k^T + q_rope k_rope^T)) v within documents, [B, N, T, W].

    See `attention_and_logsumexp`, whose first result this is.
    """
    return attention_and_logsumexp(
        q_BNTH,
        k_BKTH,
        v_BKTW,
        q_rope_BNTP=q_rope_BNTP,
        k_rope_BTP=k_rope_BTP,
        segment_ids=segment_ids,
        scale=scale,
        implementation=implementation,
    )[0]


def attention_and_logsumexp(
    q_BNTH: Array,
    k_BKTH: Array,
    v_BKTW: Array,
    *,
    q_rope_BNTP: Array | None = None,
    k_rope_BTP: Array | None = None,
    segment_ids: Array | None = None,
    scale: float | None = None,
    implementation: str | None = None,
) -> tuple[Array, Array]:
    """Attention in which position t sees the positions s <= t of its own document.

    Arrays are head-major, the layout in which both matrix products are batched over leading axes
    and nothing has to be transposed. Query head n reads key head n * K // N. The softmax is
    computed in float32 whatever the type of the inputs. Both results have gradients, and equal
    inputs give equal bits; not so those of `cudnn` (`kernels._attention.cudnn`).

    Args:
        q_BNTH: queries.
        k_BKTH: keys.
        v_BKTW: values.
        q_rope_BNTP: further columns of the queries, for MLA (DeepSeek-V2, section 2.1.3).
        k_rope_BTP: further columns of the keys, which all heads share; both or none.
        segment_ids: [B, T] integers, equal within a document; None: every row is one document. A
            document's positions lie side by side: no number comes back after another one (only
            `reference` and `xla` would see through the gap; `checks.DEBUG` looks for it). Padding
            is a document like any other (0 by convention), so that no softmax is empty.
        scale: factor of the scores, a positive number (no array); None: (H + P) ** -0.5.
        implementation: a name of `implementations()`; None picks by architecture, types and widths
            (`kernels._attention.choice`). A named one raises on what it cannot do. The Pallas ones
            run anywhere else than on a GPU in an interpreter, for tests.

    Returns:
        [B, N, T, W] in the type of `q_BNTH`; the natural logarithm of each row's sum of
        exponentials of scores [B, N, T], float32.

    Raises:
        ValueError: shapes or types do not fit each other, the scale is not positive, there is no
            such implementation, or the named one cannot do this.
    """
    operands = Operands(q_BNTH, k_BKTH, v_BKTW, q_rope_BNTP, k_rope_BTP)
    _check(operands, segment_ids)
    if segment_ids is not None:
        checks.documents_in_one_piece(segment_ids)
    name = choice.pick(operands) if implementation is None else implementation
    if name not in _IMPLEMENTATIONS:
        raise ValueError(f"implementation={name!r}: choose one of {', '.join(implementations())}")
    head_dim, rope, _ = operands.widths
    factor = checks.scale(scale, head_dim + rope)
    return _IMPLEMENTATIONS[name](operands, segment_ids, factor)


def implementations() -> tuple[str, ...]:
    """The names that `attention` takes."""
    return tuple(_IMPLEMENTATIONS)


def _check(operands: Operands, segment_ids_BT: Array | None) -> None:
    q_BNTH, k_BKTH, v_BKTW, q_rope_BNTP, k_rope_BTP = operands
    checks.same_type(operands)
    if q_BNTH.ndim != 4:
        raise ValueError(f"q_BNTH {q_BNTH.shape} should have four axes: B, N, T, H")
    batch, num_heads, length, head_dim = q_BNTH.shape
    if k_BKTH.ndim != 4 or k_BKTH.shape != (batch, k_BKTH.shape[1], length, head_dim):
        raise ValueError(
            f"k_BKTH {k_BKTH.shape} does not fit q_BNTH {q_BNTH.shape}: should be "
            f"({batch}, K, {length}, {head_dim})"
        )
    if v_BKTW.shape[:-1] != k_BKTH.shape[:-1]:
        raise ValueError(
            f"v_BKTW {v_BKTW.shape} does not fit k_BKTH {k_BKTH.shape}: only the last dimension "
            "may differ"
        )
    if num_heads % k_BKTH.shape[1]:
        raise ValueError(
            f"k_BKTH: {k_BKTH.shape[1]} key heads do not divide {num_heads} query heads"
        )
    if (q_rope_BNTP is None) != (k_rope_BTP is None):
        raise ValueError("q_rope_BNTP and k_rope_BTP: give both or none")
    if q_rope_BNTP is not None and k_rope_BTP is not None:
        rope = q_rope_BNTP.shape[-1]
        if q_rope_BNTP.shape != (batch, num_heads, length, rope):
            raise ValueError(
                f"q_rope_BNTP {q_rope_BNTP.shape} does not fit q_BNTH {q_BNTH.shape}: only the "
                "last dimension may differ"
            )
        if k_rope_BTP.shape != (batch, length, rope):
            raise ValueError(f"k_rope_BTP {k_rope_BTP.shape} should be {(batch, length, rope)}")
    if segment_ids_BT is None:
        return
    if segment_ids_BT.shape != (batch, length):
        raise ValueError(f"segment_ids {segment_ids_BT.shape} should be {(batch, length)}")
    if not jnp.issubdtype(segment_ids_BT.dtype, jnp.integer):
        raise ValueError(f"segment_ids are {segment_ids_BT.dtype}, not integers")
