# SPDX-License-Identifier: Apache-2.0
"""cuDNN's attention, as jax offers it: for rows of one document, whose keys and values are alike.

jax gives the logarithms of the sums in the type of the queries and drops their gradient. cuDNN adds
gradients of queries in no fixed order, unless XLA_FLAGS has
`--xla_gpu_exclude_nondeterministic_ops`.
"""

import jax
import jax.numpy as jnp
from jax import Array

from kernels._attention.operands import Operands
from kernels.target import architecture


def attention(
    operands: Operands, segment_ids_BT: Array | None, scale: float
) -> tuple[Array, Array]:
    """See `kernels.attention.attention_and_logsumexp`."""
    obstacle = _obstacle(operands, segment_ids_BT)
    if obstacle:
        raise ValueError(f"implementation='cudnn' {obstacle}")
    q_BTNH, k_BTKH, v_BTKH = (x.swapaxes(1, 2) for x in operands[:3])
    out_BTNH, logsumexp_BTN = jax.nn.dot_product_attention(
        q_BTNH,
        k_BTKH,
        v_BTKH,
        scale=scale,
        is_causal=True,
        implementation="cudnn",
        return_residual=True,
    )
    logsumexp_BNT = logsumexp_BTN.swapaxes(1, 2).astype(jnp.float32)
    return out_BTNH.swapaxes(1, 2), _without_gradient(logsumexp_BNT)


def _obstacle(operands: Operands, segment_ids_BT: Array | None) -> str:
    """Why this cannot be done; empty where it can."""
    where, (head_dim, rope, value_dim) = architecture(), operands.widths
    if not where.startswith("sm") or int(where[2:]) < 80:
        return f"needs an NVIDIA GPU, A100 or later; this is compiled for {where}"
    if segment_ids_BT is not None:
        return "knows no documents: leave segment_ids away, or take another implementation"
    if operands.q_BNTH.dtype not in (jnp.bfloat16, jnp.float16):
        return f"has no attention of {operands.q_BNTH.dtype}, only of bfloat16 and float16"
    if rope:
        return "has no further columns q_rope_BNTP and k_rope_BTP"
    if value_dim != head_dim:
        return f"needs values as wide as keys; v_BKTW has {value_dim} and k_BKTH {head_dim}"
    widest = 128 if int(where[2:]) < 90 else 256
    if head_dim % 8 or head_dim > widest:
        return f"on {where} needs a width that 8 divides, at most {widest}; q_BNTH has {head_dim}"
    return ""


@jax.custom_vjp
def _without_gradient(logsumexp_BNT: Array) -> Array:
    return logsumexp_BNT


def _backward(kept: None, d_logsumexp_BNT: Array) -> tuple[Array]:
    raise ValueError(
        "implementation='cudnn' gives no gradient of the logarithms of the sums: take another one, "
        "or stop the gradient"
    )


_without_gradient.defvjp(lambda logsumexp_BNT: (logsumexp_BNT, None), _backward)
