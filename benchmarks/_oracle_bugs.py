# SPDX-License-Identifier: Apache-2.0
"""Faults put into our model on purpose: a comparison that does not notice them is worth nothing.

Each is a way in which a decoder of V2's kind goes wrong and still writes fluent text.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from unittest.mock import patch

import numpy as np
from jax import Array

from benchmarks._oracle_checks import halved, logits
from benchmarks._oracle_reference import Reference
from coder.config import ModelConfig, RopeScaling, replace
from coder.model import mla, rope


@contextmanager
def half_split_pairs() -> Iterator[None]:
    """MLA rotates numbers half a head apart, as v1 does, and not neighbours."""

    def turn(x_BNTP: Array, by: rope.Rotation) -> Array:
        return rope.rotate_halves(x_BNTP, halved(by))

    with patch.object(mla, "rotate_pairs", turn):
        yield


@contextmanager
def no_mscale() -> Iterator[None]:
    """YaRN's temperature is missing in the scale of the softmax."""
    with patch.object(mla, "score_factor", lambda scaling: 1.0):
        yield


@contextmanager
def no_yarn_frequencies() -> Iterator[None]:
    """All angles are those from before the extension."""
    right = rope.frequencies

    def plain(config: ModelConfig) -> np.ndarray:
        return right(dataclasses.replace(config, rope_scaling=RopeScaling()))

    with patch.object(rope, "frequencies", plain):
        yield


BUGS: dict[str, tuple[str, Callable[[], AbstractContextManager[None]], dict[str, str]]] = {
    "half_split_pairs": ("v2_greedy", half_split_pairs, {}),
    "no_mscale": ("v2_greedy", no_mscale, {}),
    "no_yarn_frequencies": ("v2_greedy", no_yarn_frequencies, {}),
    "greedy_for_grouped": ("v2_grouped_16", nullcontext, {"moe.routing": "greedy"}),
}
"""By name: the case that has to notice it, what is put in place of the right code, and settings."""


def seeded(name: str, arrays: Mapping[str, np.ndarray]) -> tuple[float, float, float]:
    """The error of the logits with a fault: its bar, and the error at the first position.

    Args:
        name: of `BUGS`.
        arrays: of the fault's case.

    Returns:
        The largest error after the first position, the bar of the logits, and the largest error at
        the first position, where no fault of the attention shows.
    """
    _, fault, settings = BUGS[name]
    with fault():
        config = replace(Reference(arrays).config, settings)
        faulty = Reference({**arrays}, config)
        row = next(logits(faulty))
    first = np.abs(np.asarray(faulty.found.logits[:, 0]) - arrays["logits"][:, 0])
    return row.error, row.bar, float(np.max(first))
