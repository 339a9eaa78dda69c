# SPDX-License-Identifier: Apache-2.0
"""Decoders to test with, drawn by numpy: jax compiles for seconds what draws the same."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from coder.config import ModelConfig
from coder.model.transformer import Decoder


def drawn_decoder(config: ModelConfig, seed: int = 0) -> Decoder:
    """A decoder with random parameters, those of the norms between a half and two.

    They lie on the devices of the current mesh as those of `init_decoder` do.
    """
    rng = np.random.default_rng(seed)

    def draw(path: tuple, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        is_scale = "scale_D" in jax.tree_util.keystr(path)
        values = rng.uniform(0.5, 2, leaf.shape) if is_scale else rng.normal(size=leaf.shape)
        drawn = jnp.asarray(values if is_scale else config.init_std * values, leaf.dtype)
        place = getattr(leaf.sharding, "spec", None)
        return drawn if place is None else jax.sharding.reshard(drawn, place)

    shapes = jax.eval_shape(lambda: Decoder(config, nnx.Rngs(params=0)))
    return jax.tree_util.tree_map_with_path(draw, shapes)
