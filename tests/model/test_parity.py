# SPDX-License-Identifier: Apache-2.0
"""The decoder against golden files of transformers (docs/parity.md tells what they hold)."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flax import nnx

from benchmarks._oracle_bugs import BUGS, seeded
from benchmarks._oracle_cases import NAMED
from benchmarks._oracle_checks import compare
from benchmarks._oracle_reference import Reference
from coder.model.presets import PRESETS
from coder.model.transformer import Decoder

GOLDEN = Path(__file__).parents[1] / "golden"


pytestmark = pytest.mark.usefixtures("compiled_at_once")
"""The oracle has XLA's optimizations."""


@cache
def arrays(case: str) -> dict[str, np.ndarray]:
    """A golden file of `make oracle NAME=transformers`."""
    with np.load(GOLDEN / f"transformers_{case}.npz") as file:
        return dict(file)


@pytest.mark.parametrize("case", NAMED, ids=lambda case: case.name)
def test_every_number_is_that_of_transformers(case):
    rows = compare(Reference(arrays(case.name)))
    assert {"logits", "loss"} <= {row.check for row in rows}
    assert ("gradients" in {row.check for row in rows}) == ("gradient" in case.golden)
    wrong = [row for row in rows if not row.error <= row.bar]
    assert not wrong


@pytest.mark.parametrize("fault", BUGS)
def test_a_fault_is_noticed(fault):
    error, bar, first = seeded(fault, arrays(BUGS[fault][0]))
    assert error > 10 * bar
    if fault != "greedy_for_grouped":  # faults of the attention: alone, a position cannot differ
        assert first < bar


def test_one_expert_of_a_golden_file_is_unused():
    chosen = arrays("v2_grouped_unused")["router/experts"]
    assert 0 not in chosen
    assert len(np.unique(chosen)) > 4


@pytest.mark.parametrize(
    ("preset", "scale"),
    [("deepseek_coder_v2_lite", 0.114721), ("deepseek_coder_v2", 192**-0.5 * 1.87385)],
)
def test_the_released_models_scale_their_scores_as_transformers_does(preset, scale):
    model = nnx.eval_shape(lambda: Decoder(PRESETS[preset], nnx.Rngs(0)))
    attention: Any = model.layers.attention
    assert attention.scale == pytest.approx(scale, abs=1e-6)
