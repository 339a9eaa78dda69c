# SPDX-License-Identifier: Apache-2.0
"""The schedules at their boundaries, step numbers counted from 0."""

import jax.numpy as jnp
import pytest

from coder.config import TrainConfig
from coder.train.schedule import schedule_factor


def factors(config: TrainConfig, *steps: int) -> list[float]:
    factor = schedule_factor(config)
    return [float(factor(jnp.int32(step))) for step in steps]


def test_three_stages_step_down_at_80_and_90_percent():
    config = TrainConfig(steps=1000, warmup_steps=100, schedule="three_stage")
    assert factors(config, 100, 799) == [1.0, 1.0]
    assert factors(config, 800, 899) == pytest.approx([0.1**0.5] * 2)
    assert factors(config, 900, 999) == pytest.approx([0.1] * 2)


def test_warm_up_is_linear_and_its_first_step_moves():
    config = TrainConfig(steps=1000, warmup_steps=4)
    assert factors(config, 0, 1, 2, 3, 4) == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_cosine_falls_from_one_to_a_tenth_and_is_halfway_in_the_middle():
    config = TrainConfig(steps=101, warmup_steps=0, schedule="cosine")
    assert factors(config, 0, 50, 100) == pytest.approx([1.0, 0.55, 0.1])


@pytest.mark.parametrize("schedule", ["three_stage", "cosine"])
@pytest.mark.parametrize(("steps", "warmup_steps"), [(1, 0), (1, 1), (3, 10), (2, 2)])
def test_the_shortest_runs_have_rates_too(schedule, steps: int, warmup_steps: int):
    config = TrainConfig(steps=steps, warmup_steps=warmup_steps, schedule=schedule)
    assert all(0 < factor <= 1 for factor in factors(config, *range(steps)))
