# SPDX-License-Identifier: Apache-2.0
"""Cross-entropy over the tokens that count.

B batch, T tokens, V vocabulary.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax import Array

Batch = Mapping[str, Array]
"""tokens, targets, positions, segment_ids (0 = padding): int32 [B, T]; loss_mask: float32 [B,
T].
"""

Apply = Callable[[Array, Array, Array], Array]
"""(tokens_BT, positions_BT, segment_ids_BT) -> logits_BTV."""


def token_nats(logits_BTV: Array, targets_BT: Array) -> Array:
    """-log p(target) of every position in nats, float32 [B, T]."""
    logits_BTV = logits_BTV.astype(jnp.float32)
    picked_BT = jnp.take_along_axis(logits_BTV, targets_BT[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits_BTV, axis=-1) - picked_BT


def summed_loss(apply: Apply, batch: Batch) -> Array:
    """The sum, not the mean, of the nats of all tokens with loss_mask 1.

    Sums add over micro-batches and devices; the caller divides once by the number of tokens that
    count. A mean of means would weigh a token by how empty the micro-batch around it is.
    """
    logits_BTV = apply(batch["tokens"], batch["positions"], batch["segment_ids"])
    return jnp.sum(token_nats(logits_BTV, batch["targets"]) * batch["loss_mask"])
