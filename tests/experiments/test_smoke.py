# SPDX-License-Identifier: Apache-2.0
"""The whole path with its real parts: repositories, Beam, TFRecords, training, claims."""

import json
from pathlib import Path

from coder.report.runs import read_json, read_json_lines
from experiments import run
from experiments.experiment import load

ROOT = Path(__file__).parents[2]


def test_the_smoke_scale_runs_end_to_end(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(ROOT)
    arguments = ["fim_ablation", "--scale", "smoke", "--seeds", "0", "--output", str(tmp_path)]
    assert run.main([*arguments, "--workers", "1"]) == 0
    shown = capsys.readouterr().out

    root = tmp_path / "fim_ablation/smoke"
    experiment = load("fim_ablation")
    evaluations = {v: read_json(root / v / "seed0/eval.json") for v in experiment.variants}
    for variant, evaluation in evaluations.items():
        assert evaluation is not None
        rows = read_json_lines(root / variant / "seed0/metrics.jsonl")
        assert rows[-1]["step"] == experiment.config("smoke", variant, 0, {}).train.steps
        assert rows[-1]["loss"] < rows[0]["loss"]
    ids = {json.dumps(e["items"]["span"]["id"]) for e in evaluations.values() if e}
    assert len(ids) == 1, "variants were measured on different holes"
    assert (root / "report.md").read_text().startswith("# fim_ablation, smoke scale")

    lines = [line for line in shown.splitlines() if line.startswith("claim ")]
    assert lines == [f"claim fim_ablation/{c.id} inconclusive" for c in experiment.layout.claims]

    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert run.main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert capsys.readouterr().out in shown
