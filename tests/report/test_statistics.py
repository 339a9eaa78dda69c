# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from coder.report.measures import Contrast, Metric, Term
from coder.report.runs import Run
from coder.report.statistics import Measurements, interval

SPAN = Metric("span", "nats")
DIFFERENCE = Contrast("b minus a", (Term(1, SPAN, "b"), Term(-1, SPAN, "a")))


def run(variant: str, seed: int, repositories: list[str], nats: list[float], size=None) -> Run:
    ids = [str(i) for i in range(len(nats))]
    columns = {"repository": repositories, "id": ids, "bytes": size or [1] * len(nats)}
    items = {"span": columns | {"nats": nats, "tokens": [i % 5 + 1 for i in range(len(nats))]}}
    return Run(variant, seed, Path(variant), {}, None, {"items": items})


def simulated(rng: np.random.Generator, effect: float) -> list[Run]:
    """Two variants, three seeds, ten repositories of ten holes, and every source of variance."""
    repositories = [f"r{i // 10}" for i in range(100)]
    shared = rng.normal(0, 1, 100)
    by_repository = np.repeat(rng.normal(0, 0.05, 10), 10)
    by_item = rng.normal(0, 0.2, 100)
    runs = []
    for seed in range(3):
        noise = rng.normal(0, 0.1, (2, 100))
        b = shared + effect + by_repository + by_item + rng.normal(0, 0.04) + noise[1]
        runs += [run("a", seed, repositories, list((shared + noise[0]) * np.log(2)))]
        runs += [run("b", seed, repositories, list(b * np.log(2)))]
    return runs


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(120):
        estimate = Measurements(simulated(rng, effect=0.1), resamples=150).estimate(DIFFERENCE)
        assert estimate is not None
        covered.append(estimate.low < 0.1 < estimate.high)
    # 95 % of 120 is 114; a binomial count leaves this range once in a thousand times.
    assert 105 <= sum(covered) <= 120


def test_seeds_alone_give_the_t_interval_of_scipy():
    by_seed = np.array([0.1, 0.14, 0.11, 0.2])
    ours = interval(by_seed, item_variance=0.0, clusters=8, seeds=(0, 1, 2, 3), items=100)
    theirs = stats.ttest_1samp(by_seed, 0).confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_satterthwaite_agrees_with_welch():
    """The same formula serves Welch's test: two variances of means, each with its own freedom."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 5), rng.normal(0, 3, 9)
    theirs = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    shifted = a - b.mean()
    ours = interval(shifted, item_variance=b.var(ddof=1) / 9, clusters=9, seeds=(), items=9)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_bits_per_byte_is_a_ratio_of_sums():
    runs = [run("a", 0, ["r", "r"], [np.log(2) * 10, np.log(2) * 2], size=[10, 1])]
    estimate = Measurements(runs).estimate(Contrast("a", (Term(1, SPAN, "a"),)))
    assert estimate is not None
    assert estimate.value == pytest.approx(12 / 11)


def test_pairing_removes_what_variants_have_in_common():
    rng = np.random.default_rng(2)
    repositories = [f"r{i % 6}" for i in range(60)]
    hard = rng.normal(5, 3, 60)
    runs = [
        run(variant, seed, repositories, list(hard + shift))
        for seed in range(3)
        for variant, shift in (("a", 0.0), ("b", np.log(2)))
    ]
    estimate = Measurements(runs).estimate(DIFFERENCE)
    assert estimate is not None
    assert estimate.value == pytest.approx(1)
    assert estimate.high - estimate.low < 1e-9


def test_the_scatter_of_items_is_that_of_whole_repositories():
    """Against the formula for the mean of equal clusters; items drawn again would add to it."""
    nats = np.random.default_rng(7).normal(0, 1, (12, 5))
    runs = [run("a", 0, [f"r{i // 5}" for i in range(60)], list(nats.ravel() * np.log(2)))]
    estimate = Measurements(runs).estimate(Contrast("a", (Term(1, SPAN, "a"),)))
    assert estimate is not None
    assert estimate.se_items == pytest.approx(nats.mean(axis=1).std() / 12**0.5, rel=0.06)


def test_one_seed_covers_items_only():
    estimate = Measurements(simulated(np.random.default_rng(3), 0.1)[:2]).estimate(DIFFERENCE)
    assert estimate is not None
    assert estimate.seeds == (0,)
    assert estimate.se_seeds is None
    assert estimate.se_items > 0


def test_only_seeds_that_every_variant_has_are_compared():
    runs = [r for r in simulated(np.random.default_rng(4), 0.1) if (r.variant, r.seed) != ("b", 1)]
    estimate = Measurements(runs).estimate(DIFFERENCE)
    assert estimate is not None
    assert estimate.seeds == (0, 2)


def test_a_contrast_that_was_not_measured_is_none():
    measurements = Measurements(simulated(np.random.default_rng(5), 0.1)[:1])
    assert measurements.estimate(DIFFERENCE) is None
    assert Measurements([]).estimate(DIFFERENCE) is None


def test_hole_lengths_select_items():
    runs = simulated(np.random.default_rng(6), 0.1)
    measurements = Measurements(runs)
    short = measurements.estimate(DIFFERENCE.within((1, 2)))
    assert short is not None
    assert short.items == 40
    assert measurements.estimate(DIFFERENCE.within((6, 9))) is None


def test_runs_measured_on_other_items_are_refused():
    runs = [run("a", 0, ["r", "r"], [1.0, 2.0]), run("b", 0, ["r", "s"], [1.0, 2.0])]
    with pytest.raises(ValueError, match="other span items"):
        Measurements(runs)


@given(by_seed=st.lists(st.floats(-10, 10), min_size=2, max_size=6), item_variance=st.floats(0, 10))
def test_the_interval_is_never_narrower_than_the_normal_one(by_seed, item_variance):
    estimate = interval(np.array(by_seed), item_variance, clusters=12, seeds=(), items=99)
    standard_error = np.sqrt(np.var(by_seed, ddof=1) / len(by_seed) + item_variance)
    normal = 2 * stats.norm.ppf(0.975) * standard_error
    assert estimate.high - estimate.low >= normal - 1e-9
