# SPDX-License-Identifier: Apache-2.0
"""Decoding as its definition reads, in float32: the oracle of the other implementations."""

import jax
import jax.numpy as jnp
from jax import Array

from kernels._decode.operands import Operands


def decode(operands: Operands, length_B: Array, scale: float, places: int) -> Array:
    """See `kernels.decode.decode`."""
    q_BNH, k_BKSH, v_BKSW = (
        x.astype(jnp.float32) for x in (operands.q_BNH, operands.k_BKSH, operands.values_BKSW)
    )
    k_BNSH = jnp.repeat(k_BKSH[:, :, :places], operands.group, axis=1)
    v_BNSW = jnp.repeat(v_BKSW[:, :, :places], operands.group, axis=1)
    scores_BNS = jnp.einsum("BNH,BNSH->BNS", q_BNH, k_BNSH, precision="highest")
    if operands.q_rope_BNP is not None and operands.k_rope_BSP is not None:
        q_rope_BNP = operands.q_rope_BNP.astype(jnp.float32)
        k_rope_BSP = operands.k_rope_BSP[:, :places].astype(jnp.float32)
        scores_BNS += jnp.einsum("BNP,BSP->BNS", q_rope_BNP, k_rope_BSP, precision="highest")
    filled_B1S = jnp.arange(places) < length_B[:, None, None]
    weights_BNS = jax.nn.softmax(jnp.where(filled_B1S, scale * scores_BNS, -jnp.inf), axis=-1)
    out_BNW = jnp.einsum("BNS,BNSW->BNW", weights_BNS, v_BNSW, precision="highest")
    return out_BNW.astype(operands.q_BNH.dtype)
