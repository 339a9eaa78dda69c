# SPDX-License-Identifier: Apache-2.0
import pytest

from coder.report.claims import verdict_of
from coder.report.measures import Contrast
from coder.report.statistics import Estimate


def part(low: float, high: float, label: str = "x", seeds: tuple = (0, 1, 2)):
    middle = (low + high) / 2
    return Contrast(label, ()), Estimate(middle, low, high, seeds, (), 0.1, 0.1, 9)


@pytest.mark.parametrize(
    ("components", "premises", "verdict"),
    [
        ([part(0.1, 0.2), part(0.01, 0.3)], [], "reproduced"),
        ([part(0.1, 0.2), part(-0.01, 0.3)], [], "inconclusive"),
        ([part(0.1, 0.2), part(-0.3, -0.1)], [], "not-reproduced"),
        ([part(-0.1, 0.2), part(-0.3, -0.1)], [], "not-reproduced"),
        ([part(0.1, 0.2)], [part(0.1, 0.3)], "reproduced"),
        ([part(0.1, 0.2)], [part(-0.1, 0.3)], "inconclusive"),
        ([part(-0.2, -0.1)], [part(-0.3, -0.1)], "inconclusive"),
        ([part(0.1, 0.2, seeds=(0,))], [], "inconclusive"),
        ([part(0.1, 0.2), (Contrast("y", ()), None)], [], "inconclusive"),
    ],
)
def test_verdict(components, premises, verdict):
    assert verdict_of(components, premises)[0] == verdict


def test_the_reason_names_what_decided():
    assert "worse" in verdict_of([part(0.1, 0.2), part(-2, -1, "worse")], [])[1]
    assert "premise" in verdict_of([part(0.1, 0.2)], [part(-2, 1, "gain")])[1]
