# SPDX-License-Identifier: Apache-2.0
"""cuDNN's attention, as jax offers it."""

from jax import Array

from kernels._attention.operands import Operands


def attention(
    operands: Operands, segment_ids_BT: Array | None, scale: float
) -> tuple[Array, Array]:
    """See `kernels.attention.attention_and_logsumexp`."""
    raise NotImplementedError
