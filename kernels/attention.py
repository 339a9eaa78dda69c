# SPDX-License-Identifier: Apache-2.0
"""Causal attention over packed documents.

Letters of array names: B batch, T position (S of keys), N query heads, K key and value heads, R
query heads of a key head times positions, H width of a query or key head, W of a value head.
"""

from collections.abc import Callable

from jax import Array

from kernels._attention import reference, xla

_IMPLEMENTATIONS: dict[str, Callable[[Array, Array, Array, Array | None, float], Array]] = {
    "reference": reference.attention,
    "xla": xla.attention,
}


def attention(
    q_BNTH: Array,
    k_BKTH: Array,
    v_BKTW: Array,
    *,
    segment_ids: Array | None = None,
    scale: float | None = None,
    implementation: str | None = None,
) -> Array:
    """softmax(scale * q k^T) v, where position t sees the positions s <= t of its own segment.

    Arrays are head-major, the layout in which both matrix products are batched over leading axes
    and nothing has to be transposed. Query head n reads key head n * K // N. The softmax is
    computed in float32 whatever the type of the inputs.

    Args:
        q_BNTH: queries.
        k_BKTH: keys.
        v_BKTW: values.
        segment_ids: [B, T] integers, equal within a document; None: every row is one document.
            Padding is a segment like any other (0 by convention), so that no softmax is empty.
        scale: factor of the scores; None: H ** -0.5.
        implementation: a name of `implementations()`; None picks the fastest that can do the job.

    Returns:
        [B, N, T, W] in the type of `q_BNTH`.

    Raises:
        ValueError: the shapes do not fit each other, or there is no such implementation.
    """
    _check_shapes(q_BNTH, k_BKTH, v_BKTW, segment_ids)
    name = implementation or "xla"
    if name not in _IMPLEMENTATIONS:
        raise ValueError(f"implementation={name!r}: choose one of {', '.join(implementations())}")
    return _IMPLEMENTATIONS[name](
        q_BNTH, k_BKTH, v_BKTW, segment_ids, q_BNTH.shape[-1] ** -0.5 if scale is None else scale
    )


def implementations() -> tuple[str, ...]:
    """The names that `attention` takes."""
    return tuple(_IMPLEMENTATIONS)


def _check_shapes(q_BNTH: Array, k_BKTH: Array, v_BKTW: Array, segment_ids: Array | None) -> None:
    batch, num_heads, length, head_dim = q_BNTH.shape
    num_kv_heads = k_BKTH.shape[1]
    if k_BKTH.shape != (batch, num_kv_heads, length, head_dim):
        raise ValueError(f"keys {k_BKTH.shape} do not fit queries {q_BNTH.shape}")
    if v_BKTW.shape[:-1] != k_BKTH.shape[:-1]:
        raise ValueError(
            f"values {v_BKTW.shape} do not fit keys {k_BKTH.shape}: only the last dimension may "
            "differ"
        )
    if num_heads % num_kv_heads:
        raise ValueError(f"{num_kv_heads} key heads do not divide {num_heads} query heads")
    if segment_ids is not None and segment_ids.shape != (batch, length):
        raise ValueError(f"segment_ids {segment_ids.shape} should be {(batch, length)}")
