# SPDX-License-Identifier: Apache-2.0
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from coder.config import to_json
from coder.report import plots, rendering, summary
from coder.report.runs import read_json, read_json_lines, read_run
from experiments.experiment import load
from tests.experiments import fake_runs

SEEDS = (0, 1, 2)
HEADING = summary.Heading(
    experiment="fim_ablation",
    scale="laptop",
    question="Which share?",
    paper="figure 3",
    cost="minutes",
    decides=("b_full_fim_costs_left_to_right",),
    deciders={"d_psm_beats_msp": "workstation"},
    overrides=("train.steps: 625 -> 20",),
)

LARGE = replace(HEADING, decides=tuple(claim.id for claim in load("fim_ablation").layout.claims))
"""A scale that can decide every claim."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("laptop")
    fake_runs.write(load("fim_ablation"), "laptop", root, seeds=SEEDS)
    (root / "msp_50/seed2/eval.json").unlink()
    return root


@pytest.fixture(scope="module")
def report(root: Path) -> dict:
    experiment = load("fim_ablation")
    runs = [read_run(root / v / f"seed{s}", v, s) for s in SEEDS for v in experiment.variants]
    made = summary.summarize(HEADING, experiment.layout, runs)
    return json.loads(json.dumps(made, allow_nan=False))


def test_what_the_runs_were_made_to_show_comes_out(root):
    experiment = load("fim_ablation")
    runs = [read_run(root / v / f"seed{s}", v, s) for s in SEEDS for v in experiment.variants]
    report = summary.summarize(LARGE, experiment.layout, runs)
    assert rendering.script_lines(report) == [
        f"claim fim_ablation/{id} reproduced" for id in LARGE.decides
    ]


def test_a_claim_that_the_scale_is_too_small_for_stays_open(report):
    assert rendering.script_lines(report) == [
        "claim fim_ablation/a_more_fim_infills_better inconclusive",
        "claim fim_ablation/b_full_fim_costs_left_to_right reproduced",
        "claim fim_ablation/c_half_fim_is_the_better_trade inconclusive",
        "claim fim_ablation/d_psm_beats_msp inconclusive",
    ]
    msp = report["claims"][3]
    assert msp["reason"].startswith("too small a scale to decide it, although every interval")
    assert msp["advice"] == "SCALE=workstation is meant to decide it"


def test_measures_match_the_numbers_put_in(report):
    by_label = {measure["label"]: measure["estimates"] for measure in report["measures"]}
    spans = fake_runs.PAPER_LIKE
    # Items are harder or easier by a common factor, which ratios between variants do not show.
    measured = (
        by_label["span infill"]["psm_100"]["value"] / by_label["span infill"]["psm_50"]["value"]
    )
    assert measured == pytest.approx(spans["psm_100"][5] / spans["psm_50"][5], abs=0.02)
    assert by_label["span infill"]["no_fim"] is None
    gain = by_label["span gain on no_fim"]["psm_50"]["value"]
    prefix = by_label["span, prefix only"]["no_fim"]["value"]
    assert gain == pytest.approx(prefix - by_label["span infill"]["psm_50"]["value"], abs=0.02)


def test_missing_runs_and_overrides_stand_in_both_reports(report):
    text = rendering.markdown(report, {"A plot": "plot.png"})
    terminal = io.StringIO()
    rendering.show(report, Console(file=terminal, width=100))
    for shown in (text, terminal.getvalue()):
        assert "msp_50 seed 2" in shown
        assert "train.steps: 625 -> 20" in shown
        assert "fim_ablation, laptop scale" in shown
        assert "SCALE=workstation" in shown
    assert "![A plot](plot.png)" in text
    assert "Intervals of a single seed" not in text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "2 heads of 64, vocabulary"),
        ({"model.mla.kv_lora_rank": 512}, "2 heads on latents of 512, vocabulary"),
        ({"model.moe.num_experts": 64}, "2 heads of 64, 6 of 64 experts per token, vocabulary"),
    ],
    ids=["heads", "latents", "experts"],
)
def test_the_model_is_named_by_what_it_has(root, settings, said):
    run = read_run(root / "psm_50/seed0", "psm_50", 0)
    experiment = load("fim_ablation")
    config = to_json(experiment.config("laptop", "psm_50", 0, settings))
    run = replace(run, config=run.config | {"run": config})
    made = summary.summarize(HEADING, experiment.layout, [run])
    assert said in made["facts"]["model"]


def test_intervals_of_one_seed_say_so(root):
    experiment = load("fim_ablation")
    runs = [read_run(root / v / "seed0", v, 0) for v in experiment.variants]
    alone = summary.summarize(HEADING, experiment.layout, runs)
    assert "Intervals of a single seed" in rendering.markdown(alone, {})
    assert {claim["verdict"] for claim in alone["claims"]} == {"inconclusive"}


def test_missing_seeds_are_left_out_of_both_sides(report):
    claim = next(c for c in report["claims"] if c["id"] == "d_psm_beats_msp")
    assert claim["contrasts"][0]["estimate"]["seeds"] == [0, 1]


def test_a_gain_of_nothing_is_shown_and_not_hidden(root):
    """The reverse of the paper's findings gives the reverse of its verdicts."""
    levels = fake_runs.PAPER_LIKE
    swapped = levels | {"psm_50": levels["msp_50"], "msp_50": levels["psm_50"]}
    other = root.parent / "swapped"
    fake_runs.write(load("fim_ablation"), "laptop", other, levels=swapped, seeds=SEEDS)
    experiment = load("fim_ablation")
    runs = [read_run(other / v / f"seed{s}", v, s) for s in SEEDS for v in experiment.variants]
    verdicts = [c["verdict"] for c in summary.summarize(LARGE, experiment.layout, runs)["claims"]]
    assert verdicts[0] == verdicts[3] == "not-reproduced"


def test_plots_are_drawn_for_what_there_is(report, root, tmp_path):
    assert set(plots.draw(report, tmp_path).values()) == {
        "trade_off.png",
        "claims.png",
        "curves.png",
    }
    assert all(path.stat().st_size > 10_000 for path in tmp_path.iterdir())
    nothing = [read_run(root / "none" / f"seed{s}", "no_fim", s) for s in SEEDS]
    empty = summary.summarize(HEADING, load("fim_ablation").layout, nothing)
    assert plots.draw(empty, tmp_path) == {}
    assert {claim["verdict"] for claim in empty["claims"]} == {"inconclusive"}


def test_a_line_that_is_being_written_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert read_json_lines(path) == [{"step": 1}, {"step": 2}]


def test_a_broken_file_is_named(tmp_path):
    path = tmp_path / "eval.json"
    path.write_text("{")
    with pytest.raises(ValueError, match="eval.json is not JSON"):
        read_json(path)
