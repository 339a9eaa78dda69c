# SPDX-License-Identifier: Apache-2.0
"""Decoding with cached keys and values: a prompt at once, then a position at a time.

Rows are aligned at their ends: a shorter prompt has padding before it, so that the next token of
every row has the same place in the cache, and one slice is written for all. On one device.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from coder.model.attention import attend_cached
from coder.model.transformer import Decoder, Layer


class Cache(NamedTuple):
    """What attention has to remember of the positions so far."""

    key_LBKSH: Array
    """Rotated keys of every layer."""
    value_LBKSH: Array
    """Values."""
    padding_B: Array
    """Places before each row's first token."""
    length: Array
    """Places that are filled, padding included; a scalar, the same in every row."""


def prefill(
    decoder: Decoder, tokens_BT: Array, padding_B: Array, capacity: int
) -> tuple[Array, Cache]:
    """Reads the prompts.

    Args:
        decoder: the model.
        tokens_BT: prompts, each at the end of its row.
        padding_B: tokens before each prompt, which nothing will see.
        capacity: places of the cache, T included.

    Returns:
        Logits [B, V] of the token after each prompt, and the cache.
    """
    length = tokens_BT.shape[1]
    positions_BT = jnp.arange(length) - padding_B[:, None]
    segment_ids_BT = (positions_BT >= 0).astype(jnp.int32)
    rotation = decoder.rotation(positions_BT)

    def body(x_BTD: Array, layer: Layer) -> tuple[Array, tuple[Array, Array]]:
        return layer(x_BTD, rotation, segment_ids_BT)

    x_BTD, kept = jax.lax.scan(body, decoder.embed(tokens_BT), decoder.layers)
    room = [(0, 0)] * 3 + [(0, capacity - length), (0, 0)]
    key_LBKSH, value_LBKSH = (jnp.pad(x_LBKTH, room) for x_LBKTH in kept)
    logits_B1V = decoder.logits(decoder.norm(x_BTD[:, -1:]))
    return logits_B1V[:, 0], Cache(key_LBKSH, value_LBKSH, padding_B, jnp.int32(length))


def step(decoder: Decoder, tokens_B: Array, cache: Cache) -> tuple[Array, Cache]:
    """Reads one more token of every row; the cache must have room for it.

    Returns:
        Logits [B, V] of the token after it, and the cache.
    """
    rotation = decoder.rotation((cache.length - cache.padding_B)[:, None])
    places_S = jnp.arange(cache.key_LBKSH.shape[3])
    visible_BS = (places_S >= cache.padding_B[:, None]) & (places_S <= cache.length)

    def body(
        carry: tuple[Array, Array, Array], numbered: tuple[Array, Layer]
    ) -> tuple[tuple[Array, Array, Array], None]:
        # The caches are carried, not scanned over, so that one position is written and not all.
        x_B1D, key_LBKSH, value_LBKSH = carry
        number, layer = numbered
        query_BN1H, key_BK1H, value_BK1H = layer.heads(x_B1D, rotation)
        place = (number, 0, 0, cache.length, 0)
        key_LBKSH = jax.lax.dynamic_update_slice(key_LBKSH, key_BK1H[None], place)
        value_LBKSH = jax.lax.dynamic_update_slice(value_LBKSH, value_BK1H[None], place)
        attended_BN1H = attend_cached(
            query_BN1H, key_LBKSH[number], value_LBKSH[number], visible_BS
        )
        return (layer.finish(x_B1D, attended_BN1H), key_LBKSH, value_LBKSH), None

    start = (decoder.embed(tokens_B[:, None]), cache.key_LBKSH, cache.value_LBKSH)
    layers = (jnp.arange(decoder.config.num_layers), decoder.layers)
    (x_B1D, key_LBKSH, value_LBKSH), _ = jax.lax.scan(body, start, layers)
    logits_B1V = decoder.logits(decoder.norm(x_B1D))
    return logits_B1V[:, 0], Cache(key_LBKSH, value_LBKSH, cache.padding_B, cache.length + 1)
