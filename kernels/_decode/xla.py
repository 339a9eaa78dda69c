# SPDX-License-Identifier: Apache-2.0
"""Decoding in plain XLA operations, the portable implementation."""

import jax
import jax.numpy as jnp
from jax import Array

from kernels._decode.operands import Operands


def decode(operands: Operands, length_B: Array, scale: float, places: int) -> Array:
    """See `kernels.decode.decode`."""
    q_BNH, k_BKSH, v_BKSW = operands.q_BNH, operands.k_BKSH, operands.values_BKSW
    batch, num_heads, width = q_BNH.shape
    q_BKGH = q_BNH.reshape(batch, k_BKSH.shape[1], operands.group, width)
    k_BKSH, v_BKSW = k_BKSH[:, :, :places], v_BKSW[:, :, :places]
    scores_BKGS = _product("BKGH,BKSH->BKGS", q_BKGH, k_BKSH)
    if operands.q_rope_BNP is not None and operands.k_rope_BSP is not None:
        k_rope_BSP = operands.k_rope_BSP[:, :places]
        rope_BNS = _product("BNP,BSP->BNS", operands.q_rope_BNP, k_rope_BSP)
        scores_BKGS += rope_BNS.reshape(scores_BKGS.shape)
    filled_BS = jnp.arange(places) < length_B[:, None]
    scores_BKGS = jnp.where(filled_BS[:, None, None], scale * scores_BKGS, -jnp.inf)
    weights_BKGS = jax.nn.softmax(scores_BKGS, axis=-1).astype(v_BKSW.dtype)
    out_BKGW = jnp.einsum("BKGS,BKSW->BKGW", weights_BKGS, v_BKSW)
    return out_BKGW.reshape(batch, num_heads, -1)


def _product(formula: str, left: Array, right: Array) -> Array:
    return jnp.einsum(formula, left, right, preferred_element_type=jnp.float32)
