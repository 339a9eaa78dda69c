# SPDX-License-Identifier: Apache-2.0
"""Seconds that a launch takes on the device."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

SAMPLES = 21
_SAMPLE_S, _MOST_LAUNCHES = 0.01, 50

Launch = Callable[[], Any]
"""Starts work and returns its results, which need not be there yet."""


def medians(
    launches: Mapping[str, Launch],
    samples: int = SAMPLES,
    clock: Callable[[], float] = time.perf_counter,
    wait: Callable[[Any], Any] = jax.block_until_ready,
) -> dict[str, float]:
    """Seconds of one launch of each: the median of samples that are taken in turns.

    A sample is a row of launches that the device works off while the host has gone on to the next,
    so that what a launch costs the host is hidden behind the one before. All have been launched
    before, so that nothing is compiled or loaded here.
    """
    counts = {}
    for name, launch in launches.items():
        wait(launch())
        once = _sample(launch, 1, clock, wait)
        counts[name] = max(1, min(_MOST_LAUNCHES, math.ceil(_SAMPLE_S / max(once, 1e-6))))
    seconds: dict[str, list[float]] = {name: [] for name in launches}
    for _ in range(samples):
        for name, launch in launches.items():
            seconds[name].append(_sample(launch, counts[name], clock, wait))
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def _sample(
    launch: Launch, count: int, clock: Callable[[], float], wait: Callable[[Any], Any]
) -> float:
    begin = clock()
    for _ in range(count - 1):
        launch()
    wait(launch())
    return (clock() - begin) / count
