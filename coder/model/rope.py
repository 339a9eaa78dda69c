# SPDX-License-Identifier: Apache-2.0
"""Rotary position embedding (Su et al., 2021) in the half-split layout of DeepSeek-Coder v1."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array


class Rotation(NamedTuple):
    """The rotation of every position, shared by all layers and heads."""

    cos_B1TH: Array
    """Cosines, each angle twice."""
    sin_B1TH: Array
    """Sines, each angle twice, negative in the first half of H."""


def rotation(positions_BT: Array, head_dim: int, theta: float) -> Rotation:
    """The angles position * theta ** (-2 i / head_dim) for i < head_dim / 2, in float32."""
    frequencies = theta ** (-jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim)
    angles_B1TI = positions_BT[:, None, :, None].astype(jnp.float32) * frequencies
    cos, sin = jnp.cos(angles_B1TI), jnp.sin(angles_B1TI)
    return Rotation(jnp.concatenate([cos, cos], -1), jnp.concatenate([-sin, sin], -1))


def rotate(x_BNTH: Array, by: Rotation) -> Array:
    """Turns each pair (x[i], x[i + H/2]) by the angle of its position and of i."""
    first, second = jnp.split(x_BNTH, 2, axis=-1)
    swapped_BNTH = jnp.concatenate([second, first], axis=-1)
    return (x_BNTH * by.cos_B1TH + swapped_BNTH * by.sin_B1TH).astype(x_BNTH.dtype)
