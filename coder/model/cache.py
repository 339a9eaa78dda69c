# SPDX-License-Identifier: Apache-2.0
"""Decoding with a cache of static size: a prompt at once, then a position of every row at a time.

A row is a slot: its text begins at place 0 and is as long as `length_B` says, whatever the other
rows are doing. What a place holds is the attention's own matter (`heads`, `attend_cached`): keys
and values, or MLA's latents; in all arrays the places are the last axis but one. On one device.

A step costs what it reads: every weight, and the places that it looks at. So it is straight code,
layer by layer, on arrays that are a layer's own. A loop over stacked ones copies the weights and
the cache of each layer before it multiplies by them: on a CPU that took 99 ms for a step of a
134 M Llama that takes 37 ms so.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from coder.model.mla import LatentAttention
from coder.model.rope import Rotation
from coder.model.transformer import Decoder, Kept, Layer
from kernels.target import architecture


class Cache(NamedTuple):
    """What attention has to remember of the positions so far."""

    kept: tuple[Kept, ...]
    """By layer, arrays [B, ..., S, width]."""
    length_B: Array
    """Places that are filled, int32."""


def apart(decoder: Decoder) -> list[Layer]:
    """The layers as modules of their own, ready for many steps.

    On a CPU their arrays are views of the decoder's, elsewhere copies.
    """
    layers = [layer for stack, count in decoder.stacks() for layer in _unstacked(stack, count)]
    for layer in layers:
        if isinstance(layer.attention, LatentAttention):
            layer.attention = layer.attention.absorbed()
    return layers


def prefill(
    decoder: Decoder, tokens_BT: Array, length_B: Array, layers: list[Layer] | None = None
) -> tuple[Array, Cache]:
    """Reads prompts.

    Outside of `jax.jit` a layer is a call of its own, so that all layers share what is compiled.

    Args:
        decoder: the model.
        tokens_BT: prompts, each at the beginning of its row.
        length_B: tokens of each prompt, at least 1; what follows them is not seen.
        layers: the decoder's, `apart`; None: they are taken apart here.

    Returns:
        Logits [B, V] of the token after each prompt, and a cache of capacity T.
    """
    x_BTD, rotation, segment_ids_BT = _embedded(decoder, tokens_BT, length_B)
    kept_by_layer = []
    for layer in apart(decoder) if layers is None else layers:
        x_BTD, kept = _through(layer, x_BTD, rotation, segment_ids_BT)
        kept_by_layer.append(kept)
    return _next_logits(decoder, x_BTD, length_B), Cache(tuple(kept_by_layer), length_B)


def step(
    decoder: Decoder,
    tokens_B: Array,
    cache: Cache,
    live_B: Array | None = None,
    places: int | None = None,
    layers: list[Layer] | None = None,
) -> tuple[Array, Cache]:
    """Reads one more token of every live row; the cache must have room for it.

    Args:
        decoder: the model.
        tokens_B: the token of each row.
        cache: what was read before.
        live_B: rows that have a token; None: all. The others' texts stay as they are.
        places: the first places, which are all that is looked at; None: all. The live rows' texts
            must end there, with the new token.
        layers: the decoder's, `apart`; None: they are taken apart here.

    Returns:
        Logits [B, V] of the token after it, and the cache.
    """
    live_B = jnp.ones(len(tokens_B), bool) if live_B is None else live_B
    rotation = decoder.rotation(cache.length_B[:, None])
    places = capacity(cache) if places is None else places
    x_B1D, kept_by_layer = decoder.embed(tokens_B[:, None]), []
    layers = apart(decoder) if layers is None else layers
    for layer, kept in zip(layers, cache.kept, strict=True):
        query, new = layer.heads(x_B1D, rotation)
        # Behind a barrier, or XLA computes what is written twice, for the cache and for what reads
        # it, and copies the cache to do so.
        kept = jax.lax.optimization_barrier(
            jax.tree.map(lambda old, x_B1: _written(old, x_B1, cache.length_B), kept, new)
        )
        kept_by_layer.append(kept)
        attended_B1Q = layer.attention.attend_cached(query, kept, cache.length_B + 1, places)
        x_B1D, _ = layer.finish(x_B1D, attended_B1Q, live_B[:, None].astype(jnp.int32))
    logits_B1V = decoder.logits(decoder.norm(x_B1D))
    return logits_B1V[:, 0], Cache(tuple(kept_by_layer), cache.length_B + live_B)


def empty(decoder: Decoder, rows: int, places: int) -> Cache:
    """A cache of this many rows and places."""
    tokens_BT = jax.ShapeDtypeStruct((rows, places), jnp.int32)
    length_B = jax.ShapeDtypeStruct((rows,), jnp.int32)
    _, cache = jax.eval_shape(prefill, decoder, tokens_BT, length_B)
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), cache)


def insert(cache: Cache, row: Array, text: Cache) -> Cache:
    """The cache with the text of another one, which has one row, in place of a row's text."""

    def placed(old: Array, new: Array) -> Array:
        return jax.lax.dynamic_update_slice(old, new, [row] + [0] * (old.ndim - 1))

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


@jax.jit
def _embedded(decoder: Decoder, tokens_BT: Array, length_B: Array) -> tuple[Array, Rotation, Array]:
    """Activations, rotation and segments of prompts."""
    positions_T = jnp.arange(tokens_BT.shape[1])
    rotation = decoder.rotation(jnp.broadcast_to(positions_T, tokens_BT.shape))
    segment_ids_BT = (positions_T < length_B[:, None]).astype(jnp.int32)
    return decoder.embed(tokens_BT), rotation, segment_ids_BT


@jax.jit
def _through(
    layer: Layer, x_BTD: Array, rotation: Rotation, segment_ids_BT: Array
) -> tuple[Array, Kept]:
    """A layer's activations of prompts, and what it keeps."""
    x_BTD, kept, _ = layer(x_BTD, rotation, segment_ids_BT)
    return x_BTD, kept


@jax.jit
def _next_logits(decoder: Decoder, x_BTD: Array, length_B: Array) -> Array:
    """Logits [B, V] of the token after each prompt."""
    x_B1D = jnp.take_along_axis(x_BTD, length_B[:, None, None] - 1, axis=1)
    return decoder.logits(decoder.norm(x_B1D))[:, 0]


def _unstacked[T](stack: T, count: int) -> list[T]:
    """Trees of arrays [...] of one tree of arrays [L, ...]."""
    return [jax.tree.map(partial(_part, number), stack) for number in range(count)]


def _part(number: int, x_L: Array) -> Array:
    if jax.default_backend() == "cpu" and not isinstance(x_L, Tracer):
        # What jax slices it copies, what numpy slices it need not.
        return jax.device_put(np.asarray(x_L)[number], may_alias=True)
    return x_L[number]


def _written(kept_BS: Array, new_B1: Array, place_B: Array) -> Array:
    """`kept_BS` with the new position of each row at the row's place."""
    if architecture() != "cpu":
        # One kernel, where the other form would start one a row.
        write = partial(jax.lax.dynamic_update_slice_in_dim, axis=-2)
        return jax.vmap(write)(kept_BS, new_B1, place_B)
    for row in range(new_B1.shape[0]):
        start: list[Array | int] = [0] * kept_BS.ndim
        start[0], start[-2] = row, place_B[row]
        kept_BS = jax.lax.dynamic_update_slice(kept_BS, new_B1[row : row + 1], start)
    return kept_BS
