# SPDX-License-Identifier: Apache-2.0
"""What others offer for the same operations, called as they like it best: B, T, N, H.

Letters of array names as in `kernels.attention`; I, O and E as in `kernels.grouped_matmul`.
"""

import importlib.util
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

HAS_TOKAMAX = importlib.util.find_spec("tokamax") is not None

# The first that the device can do.
_TOKAMAX = ("mosaic", "triton")


def cudnn(q_BTNH: Array, k_BTKH: Array, v_BTKH: Array) -> Array:
    """Causal, as jax offers it."""
    return jax.nn.dot_product_attention(
        q_BTNH, k_BTKH, v_BTKH, is_causal=True, implementation="cudnn"
    )


def cudnn_general(
    q_BTNH: Array, k_BTKH: Array, v_BTKW: Array, segments_BT: np.ndarray | None
) -> Any:
    """Causal, with documents or values of another width: what jax has, and does not offer."""
    from jax._src.cudnn.fused_attention_stablehlo import MaskType, dot_product_attention

    scale = q_BTNH.shape[-1] ** -0.5
    if segments_BT is None:
        return dot_product_attention(q_BTNH, k_BTKH, v_BTKW, scale=scale, mask_type=MaskType.CAUSAL)
    starts, lengths = _documents(segments_BT)
    return dot_product_attention(
        q_BTNH,
        k_BTKH,
        v_BTKW,
        q_seqlen=lengths,
        kv_seqlen=lengths,
        q_offsets=starts,
        kv_offsets=starts,
        scale=scale,
        mask_type=MaskType.PADDING_CAUSAL,
    )


def cudnn_decode(q_BNH: Array, k_BSKH: Array, v_BSKH: Array, length_B: Array) -> Array:
    """One position of queries."""
    return jax.nn.dot_product_attention(
        q_BNH[:, None],
        k_BSKH,
        v_BSKH,
        key_value_seq_lengths=length_B,
        implementation="cudnn",
    )[:, 0]


def tokamax(q_BTNH: Array, k_BTKH: Array, v_BTKW: Array) -> Array:
    """Causal."""
    return _tokamax().dot_product_attention(
        q_BTNH, k_BTKH, v_BTKW, is_causal=True, implementation=_TOKAMAX
    )


def tokamax_grouped(x_TI: Array, weight_EIO: Array, group_sizes_E: Array) -> Array:
    """Its ragged product."""
    return _tokamax().ragged_dot(x_TI, weight_EIO, group_sizes_E, implementation=_TOKAMAX)


def _tokamax() -> Any:
    return importlib.import_module("tokamax")


def _documents(segments_BT: np.ndarray) -> tuple[Array, Array]:
    """First positions [B, M + 1] and lengths [B, M] of at most M documents; -1 behind the last."""
    begins = [np.flatnonzero(np.diff(row, prepend=row[0] - 1)) for row in segments_BT]
    most = max(map(len, begins))
    starts = np.full((len(begins), most + 1), -1, np.int32)
    lengths = np.full((len(begins), most), -1, np.int32)
    for row, begin in enumerate(begins):
        starts[row, : len(begin)] = begin
        lengths[row, : len(begin)] = np.diff(begin, append=segments_BT.shape[1])
    return jnp.asarray(starts), jnp.asarray(lengths)
