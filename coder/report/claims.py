# SPDX-License-Identifier: Apache-2.0
"""From estimates to verdicts."""

from dataclasses import dataclass
from typing import Literal

from coder.report.measures import Claim, Contrast
from coder.report.statistics import Estimate, Measurements

Verdict = Literal["reproduced", "not-reproduced", "inconclusive"]


@dataclass(frozen=True)
class Judgement:
    """A claim with its verdict and what it rests on; an estimate is None where runs are missing."""

    claim: Claim
    verdict: Verdict
    reason: str
    components: tuple[Estimate | None, ...]
    premises: tuple[Estimate | None, ...]
    beside: tuple[Estimate | None, ...]


def judge(claim: Claim, measurements: Measurements, decidable: bool) -> Judgement:
    """Weighs a claim by the 95 % intervals of its components.

    Args:
        claim: the claim.
        measurements: of all runs of the scale.
        decidable: whether models of this scale are large enough to decide it, as was declared
            before they were trained; where they are not, the claim stays inconclusive.
    """
    components, premises, beside = (
        tuple(measurements.estimate(contrast) for contrast in contrasts)
        for contrasts in (claim.components, claim.premises, claim.beside)
    )
    verdict, reason = verdict_of(
        list(zip(claim.components, components, strict=True)),
        list(zip(claim.premises, premises, strict=True)),
    )
    if not decidable and verdict != "inconclusive":
        verdict, reason = "inconclusive", f"too small a scale to decide it, although {reason}"
    return Judgement(claim, verdict, reason, components, premises, beside)


def verdict_of(
    components: list[tuple[Contrast, Estimate | None]],
    premises: list[tuple[Contrast, Estimate | None]],
) -> tuple[Verdict, str]:
    """The verdict on components under premises, and why in one sentence."""
    missing = [c.label for c, estimate in components + premises if estimate is None]
    if missing:
        return "inconclusive", f"not measured yet: {missing[0]}"
    single = [c.label for c, e in components + premises if e is not None and len(e.seeds) < 2]
    if single:
        return "inconclusive", "one seed only: a verdict needs two or more"
    doubtful = [c.label for c, estimate in premises if estimate is not None and estimate.low <= 0]
    if doubtful:
        return "inconclusive", f"its premise is not established here: {doubtful[0]}"
    against = [c.label for c, estimate in components if estimate is not None and estimate.high < 0]
    if against:
        return "not-reproduced", f"the interval lies wholly below zero: {against[0]}"
    open_ones = [
        c.label for c, estimate in components if estimate is not None and estimate.low <= 0
    ]
    if open_ones:
        return "inconclusive", f"the interval includes zero: {open_ones[0]}"
    return "reproduced", "every interval lies wholly above zero"
