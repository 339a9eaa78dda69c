# SPDX-License-Identifier: Apache-2.0
"""Learning-rate schedules as factors of the highest rate, so that AdamW and Muon share one."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from coder.config import TrainConfig

FINAL_FACTOR = 0.1


def schedule_factor(config: TrainConfig) -> Callable[[Array], Array]:
    """The share of the highest learning rate at a step, counted from 0 (DeepSeek LLM, 2.3).

    Linear warm-up over `warmup_steps` (step 0 already moves), then `three_stage`: 1 until 80 % of
    the steps, sqrt(1/10) until 90 %, 1/10 to the end; or `cosine`: from 1 at the end of warm-up to
    1/10 at the last step.
    """
    warmup, steps = config.warmup_steps, config.steps

    def three_stage(step: Array) -> Array:
        second, third = 10 * step >= 8 * steps, 10 * step >= 9 * steps
        return jnp.where(third, FINAL_FACTOR, jnp.where(second, FINAL_FACTOR**0.5, 1.0))

    def cosine(step: Array) -> Array:
        progress = jnp.clip((step - warmup) / max(1, steps - 1 - warmup), 0.0, 1.0)
        return FINAL_FACTOR + (1 - FINAL_FACTOR) * 0.5 * (1 + jnp.cos(jnp.pi * progress))

    decay = {"three_stage": three_stage, "cosine": cosine}[config.schedule]

    def factor(step: Array) -> Array:
        rise = jnp.minimum(1.0, (step + 1) / max(1, warmup))
        return (rise * decay(step)).astype(jnp.float32)

    return factor
