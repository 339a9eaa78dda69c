# SPDX-License-Identifier: Apache-2.0
"""Cross-entropy over the tokens that count, and the balance losses of experts.

B batch, T tokens, V vocabulary, L layers with experts, E experts.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from coder.model.transformer import Decoder
from coder.sharding import per_device, spec

Batch = Mapping[str, Array]
"""tokens, targets, positions, segment_ids (0 = padding): int32; loss_mask: float32; all [B, T].
Where tokens may be dropped, droppable: bool [B].
"""


class ExpertSums(NamedTuple):
    """How experts were loaded."""

    balance: Array
    """Balance losses of all layers, summed over the sequences."""
    load_LE: Array
    """Tokens that chose each expert."""
    dropped: Array
    """How many of these choices were dropped."""


class Sums(NamedTuple):
    """What a batch adds up to."""

    nats: Array
    """Of all tokens with loss_mask 1."""
    experts: ExpertSums | None
    """None without experts."""


@jax.custom_vjp
def token_nats(logits_BTV: Array, targets_BT: Array) -> Array:
    """-log p(target) of every position in nats, float32 [B, T].

    Its derivative is written out, softmax minus one-hot: one pass over the logits, where the
    derivative of the gather would be a scatter, which a CPU does value by value.
    """
    return _token_nats_forward(logits_BTV, targets_BT)[0]


def _token_nats_forward(
    logits_BTV: Array, targets_BT: Array
) -> tuple[Array, tuple[Array, Array, Array]]:
    log_total_BT = jax.nn.logsumexp(logits_BTV.astype(jnp.float32), axis=-1)
    picked_BT1 = jnp.take_along_axis(logits_BTV, targets_BT[..., None], axis=-1)
    nats_BT = log_total_BT - picked_BT1[..., 0].astype(jnp.float32)
    return nats_BT, (logits_BTV, targets_BT, log_total_BT)


def _token_nats_backward(
    residuals: tuple[Array, Array, Array], d_nats_BT: Array
) -> tuple[Array, None]:
    logits_BTV, targets_BT, log_total_BT = residuals
    softmax_BTV = jnp.exp(logits_BTV.astype(jnp.float32) - log_total_BT[..., None])
    is_target_BTV = jnp.arange(logits_BTV.shape[-1]) == targets_BT[..., None]
    d_logits_BTV = (softmax_BTV - is_target_BTV) * d_nats_BT[..., None]
    return d_logits_BTV.astype(logits_BTV.dtype), None


token_nats.defvjp(_token_nats_forward, _token_nats_backward)


def summed_loss(model: Decoder, batch: Batch, balance_factor: Array) -> tuple[Array, Sums]:
    """What a step descends, and what it is made of: sums over the batch, not means.

    Sums add over micro-batches and devices; the caller divides once by the number of tokens that
    count. A mean of means would weigh a token by how empty the micro-batch around it is. The
    paper adds the mean over sequences of the balance losses to the mean over tokens of the nats,
    so `balance_factor` is tokens / sequences of the whole batch.
    """
    hidden_BTD, balance = model.hidden_and_balance(
        batch["tokens"], batch["positions"], batch["segment_ids"], batch.get("droppable")
    )
    nats = summed_nats(model.logits(hidden_BTD), batch)
    if balance is None:
        return nats, Sums(nats, None)
    experts = ExpertSums(jnp.sum(balance.loss_B), balance.load_E, jnp.sum(balance.dropped))
    return nats + balance_factor * experts.balance, Sums(nats, experts)


def summed_nats(logits_BTV: Array, batch: Batch) -> Array:
    """The nats of all tokens with loss_mask 1."""
    rows, rows_of_logits = ("batch", None), ("batch", None, None)
    if (whole := spec(*rows_of_logits)) is not None:
        logits_BTV = jax.reshard(logits_BTV, whole)
    nats = per_device(token_nats, (rows_of_logits, rows), rows)
    return jnp.sum(nats(logits_BTV, batch["targets"]) * batch["loss_mask"])
