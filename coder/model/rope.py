# SPDX-License-Identifier: Apache-2.0
"""Rotary position embedding (Su et al., 2021), and the two ways in which v1 and V2 extend it.

Ordinary heads pair the number i of a head with i + H / 2, as Llama does; MLA's pair 2 i with
2 i + 1, as the paper has it. A head's scores are the same if its numbers are permuted so.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from coder.config import ModelConfig, RopeScaling

_LOW_BITS = 12
"""Of a frequency in fixed point, below the 32 that are multiplied at once."""


class Rotation(NamedTuple):
    """The rotation of every position, shared by all layers and heads."""

    cos_B1TH: Array
    """Cosines, each angle twice."""
    sin_B1TH: Array
    """Sines, each angle twice, negative for the first of a pair."""


def rotation(positions_BT: Array, config: ModelConfig) -> Rotation:
    """The rotation in the layout of the attention that the settings choose, float32.

    With YaRN it also stretches, by its temperature.
    """
    frequencies_I, stretch = frequencies(config), _stretch(config.rope_scaling)
    if config.mla.kv_lora_rank:
        frequencies_H, signs_H = np.repeat(frequencies_I, 2), np.tile([-1, 1], len(frequencies_I))
    else:
        frequencies_H, signs_H = np.tile(frequencies_I, 2), np.repeat([-1, 1], len(frequencies_I))
    angles_B1TH = _angles(positions_BT, frequencies_H)[:, None]
    factors_H = jnp.asarray(stretch * signs_H, jnp.float32)
    found = Rotation(stretch * jnp.cos(angles_B1TH), factors_H * jnp.sin(angles_B1TH))
    # Behind a barrier, or XLA computes the cosines once more wherever a layer rotates something:
    # on a CPU a tenth of a training step.
    return jax.lax.optimization_barrier(found)


def rotate_halves(x_BNTH: Array, by: Rotation) -> Array:
    """Turns each pair (x[i], x[i + H/2]) by the angle of its position and of i."""
    first, second = jnp.split(x_BNTH, 2, axis=-1)
    return _rotated(x_BNTH, jnp.concatenate([second, first], axis=-1), by)


def rotate_pairs(x_BNTH: Array, by: Rotation) -> Array:
    """Turns each pair (x[2 i], x[2 i + 1]) by the angle of its position and of i."""
    pairs = x_BNTH.reshape(*x_BNTH.shape[:-1], -1, 2)
    return _rotated(x_BNTH, jnp.flip(pairs, axis=-1).reshape(x_BNTH.shape), by)


def frequencies(config: ModelConfig) -> np.ndarray:
    """Radians of each pair per position, [width / 2] in float64, fastest first."""
    scaling, theta = config.rope_scaling, config.rope_theta
    width = config.mla.qk_rope_head_dim if config.mla.kv_lora_rank else config.head_dim
    plain_I = theta ** -(np.arange(0, width, 2) / width)
    if scaling.kind == "none":
        return plain_I
    if scaling.kind == "linear":
        return plain_I / scaling.factor
    ramp_I = _ramp(scaling, width, theta)
    return (1 - ramp_I) * plain_I + ramp_I * plain_I / scaling.factor


def score_factor(scaling: RopeScaling) -> float:
    """What MLA's scores are multiplied by: YaRN's temperature for the numbers not rotated too."""
    return _mscale(scaling, scaling.mscale_all_dim) ** 2 if scaling.kind == "yarn" else 1.0


def check(config: ModelConfig) -> None:
    """Raises ValueError, which names the setting, where the angles cannot be computed."""
    if not 1 < config.rope_theta < math.inf:
        raise ValueError(f"model.rope_theta={config.rope_theta}: must be finite and more than 1")
    scaling = config.rope_scaling
    if scaling.kind == "none":
        return
    if not 1 <= scaling.factor < math.inf:
        raise ValueError(
            f"model.rope_scaling.factor={scaling.factor}: must be finite and at least 1"
        )
    if scaling.kind == "linear":
        return
    for name in ("mscale", "mscale_all_dim"):
        value = getattr(scaling, name)
        if not 0 <= value < math.inf:
            raise ValueError(f"model.rope_scaling.{name}={value}: must be finite and at least 0")
    if not 0 < scaling.beta_slow < scaling.beta_fast < math.inf:
        raise ValueError(
            f"model.rope_scaling.beta_slow={scaling.beta_slow} must be more than 0 and less than "
            f"model.rope_scaling.beta_fast={scaling.beta_fast}"
        )
    if scaling.original_positions <= 2 * math.pi * scaling.beta_slow:
        raise ValueError(
            f"model.rope_scaling.original_positions={scaling.original_positions}: not even the "
            f"fastest angle makes beta_slow={scaling.beta_slow} turns within them"
        )


def _ramp(scaling: RopeScaling, width: int, theta: float) -> np.ndarray:
    """The share of interpolation in each pair's angle, [width / 2]: 0 where it turns often.

    As DeepSeek's code has it, linear in the pair's number between whole numbers; in the paper
    (equation 18 of YaRN) it is linear in the number of turns.
    """

    def pair_with(turns: float) -> float:
        """Number of the pair that makes so many turns within the original positions."""
        wavelength = scaling.original_positions / turns
        return width * math.log(wavelength / (2 * math.pi)) / (2 * math.log(theta))

    first = max(math.floor(pair_with(scaling.beta_fast)), 0)
    last = min(math.ceil(pair_with(scaling.beta_slow)), width - 1)
    return np.clip((np.arange(width // 2) - first) / max(last - first, 0.001), 0, 1)


def _stretch(scaling: RopeScaling) -> float:
    """The factor of cosines and sines: YaRN's temperature, unless the scores have it already."""
    if scaling.kind != "yarn":
        return 1.0
    if scaling.mscale and scaling.mscale_all_dim:
        return _mscale(scaling, scaling.mscale) / _mscale(scaling, scaling.mscale_all_dim)
    return _mscale(scaling, 1.0)


def _mscale(scaling: RopeScaling, coefficient: float) -> float:
    """sqrt(1 / t) of YaRN, equation 22, with a coefficient that V2 tunes."""
    return 0.1 * coefficient * math.log(scaling.factor) + 1.0


def _angles(positions_BT: Array, frequencies_H: np.ndarray) -> Array:
    """The products position * frequency less whole turns, [B, T, H], as exact as float32 is.

    The product in float32 would be off by 0.01 at position 160,000. Here a turn is 2 ** 32 in
    integers, whose overflow is just the whole turns; good for a million positions.
    """
    turns_H = np.round(frequencies_H / (2 * np.pi) * 2 ** (32 + _LOW_BITS)).astype(np.uint64)
    high_H = (turns_H >> _LOW_BITS).astype(np.uint32)
    low_H = (turns_H % 2**_LOW_BITS).astype(np.uint32)
    positions_BT1 = positions_BT[..., None].astype(jnp.uint32)
    turned_BTH = positions_BT1 * high_H + (positions_BT1 * low_H >> _LOW_BITS)
    signed_BTH = jax.lax.bitcast_convert_type(turned_BTH, jnp.int32)
    return signed_BTH.astype(jnp.float32) * np.float32(2 * np.pi / 2**32)


def _rotated(x_BNTH: Array, partners_BNTH: Array, by: Rotation) -> Array:
    return (x_BNTH * by.cos_B1TH + partners_BNTH * by.sin_B1TH).astype(x_BNTH.dtype)
