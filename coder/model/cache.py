# SPDX-License-Identifier: Apache-2.0
"""Decoding with a cache of static size: a prompt at once, then a position of every row at a time.

A row is a slot: its text begins at place 0 and is as long as `length_B` says, whatever the other
rows are doing. What a place holds is the attention's own matter (`heads`, `attend_cached`): keys
and values, or MLA's latents; in all arrays the places are the last axis but one. On one device.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from coder.model.transformer import Decoder, Kept, Layer


class Cache(NamedTuple):
    """What attention has to remember of the positions so far."""

    kept: tuple[Kept, ...]
    """By stack of layers, arrays [L, B, ..., S, width]."""
    length_B: Array
    """Places that are filled, int32."""


def prefill(decoder: Decoder, tokens_BT: Array, length_B: Array) -> tuple[Array, Cache]:
    """Reads prompts.

    Args:
        decoder: the model.
        tokens_BT: prompts, each at the beginning of its row.
        length_B: tokens of each prompt, at least 1; what follows them is not seen.

    Returns:
        Logits [B, V] of the token after each prompt, and a cache of capacity T.
    """
    positions_T = jnp.arange(tokens_BT.shape[1])
    segment_ids_BT = (positions_T < length_B[:, None]).astype(jnp.int32)
    rotation = decoder.rotation(jnp.broadcast_to(positions_T, tokens_BT.shape))

    def body(x_BTD: Array, layer: Layer) -> tuple[Array, Kept]:
        x_BTD, kept, _ = layer(x_BTD, rotation, segment_ids_BT)
        return x_BTD, kept

    x_BTD, kept_by_stack = decoder.embed(tokens_BT), []
    for stack, _ in decoder.stacks():
        x_BTD, kept = jax.lax.scan(body, x_BTD, stack)
        kept_by_stack.append(kept)
    x_B1D = jnp.take_along_axis(x_BTD, length_B[:, None, None] - 1, axis=1)
    logits_B1V = decoder.logits(decoder.norm(x_B1D))
    return logits_B1V[:, 0], Cache(tuple(kept_by_stack), length_B)


def step(
    decoder: Decoder,
    tokens_B: Array,
    cache: Cache,
    live_B: Array | None = None,
    places: int | None = None,
) -> tuple[Array, Cache]:
    """Reads one more token of every live row; the cache must have room for it.

    Args:
        decoder: the model.
        tokens_B: the token of each row.
        cache: what was read before.
        live_B: rows that have a token; None: all. The others' texts stay as they are.
        places: the first places, which are all that is looked at; None: all. The live rows' texts
            must end there, with the new token.

    Returns:
        Logits [B, V] of the token after it, and the cache.
    """
    live_B = jnp.ones(len(tokens_B), bool) if live_B is None else live_B
    rotation = decoder.rotation(cache.length_B[:, None])
    places = capacity(cache) if places is None else places
    visible_BS = jnp.arange(places) <= cache.length_B[:, None]

    def body(
        carry: tuple[Array, Kept], numbered: tuple[Array, Layer]
    ) -> tuple[tuple[Array, Kept], None]:
        # The cache is carried, not scanned over, so that one position is written and not all.
        x_B1D, kept_L = carry
        number, layer = numbered
        query, new = layer.heads(x_B1D, rotation)
        kept_L = jax.tree.map(
            lambda old, new: _written(old, new, number, cache.length_B), kept_L, new
        )
        kept = jax.tree.map(lambda x_LBS: _read(x_LBS, number, places), kept_L)
        attended_B1Q = layer.attention.attend_cached(query, kept, visible_BS)
        x_B1D, _ = layer.finish(x_B1D, attended_B1Q, live_B[:, None].astype(jnp.int32))
        return (x_B1D, kept_L), None

    x_B1D, kept_by_stack = decoder.embed(tokens_B[:, None]), []
    for (stack, count), kept in zip(decoder.stacks(), cache.kept, strict=True):
        (x_B1D, kept), _ = jax.lax.scan(body, (x_B1D, kept), (jnp.arange(count), stack))
        kept_by_stack.append(kept)
    logits_B1V = decoder.logits(decoder.norm(x_B1D))
    return logits_B1V[:, 0], Cache(tuple(kept_by_stack), cache.length_B + live_B)


def empty(decoder: Decoder, rows: int, places: int) -> Cache:
    """A cache of this many rows and places."""
    tokens_BT = jax.ShapeDtypeStruct((rows, places), jnp.int32)
    length_B = jax.ShapeDtypeStruct((rows,), jnp.int32)
    _, cache = jax.eval_shape(prefill, decoder, tokens_BT, length_B)
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), cache)


def insert(cache: Cache, row: Array, text: Cache) -> Cache:
    """The cache with the text of another one, which has one row, in place of a row's text."""

    def placed(old: Array, new: Array) -> Array:
        start: list[Array | int] = [0] * old.ndim
        start[1] = row
        return jax.lax.dynamic_update_slice(old, new, start)

    kept = jax.tree.map(placed, cache.kept, text.kept)
    return Cache(kept, cache.length_B.at[row].set(text.length_B[0]))


def capacity(cache: Cache) -> int:
    """Places of a row."""
    return jax.tree.leaves(cache.kept)[0].shape[-2]


def with_capacity(cache: Cache, places: int) -> Cache:
    """The cache with at least as many places as before, the new ones empty."""

    def grown(x: Array) -> Array:
        room = [(0, 0)] * (x.ndim - 2) + [(0, places - x.shape[-2]), (0, 0)]
        return jnp.pad(x, room)

    return Cache(jax.tree.map(grown, cache.kept), cache.length_B)


def _written(kept_LBS: Array, new_B1: Array, number: Array, place_B: Array) -> Array:
    """`kept_LBS` with a layer's new position of each row at the row's place."""
    for row in range(new_B1.shape[0]):
        start: list[Array | int] = [0] * kept_LBS.ndim
        start[0], start[1], start[-2] = number, row, place_B[row]
        kept_LBS = jax.lax.dynamic_update_slice(kept_LBS, new_B1[None, row : row + 1], start)
    return kept_LBS


def _read(kept_LBS: Array, number: Array, places: int) -> Array:
    """The first places of a layer."""
    start = [number] + [0] * (kept_LBS.ndim - 1)
    size = (1, *kept_LBS.shape[1:-2], places, kept_LBS.shape[-1])
    return jax.lax.dynamic_slice(kept_LBS, start, size)[0]
