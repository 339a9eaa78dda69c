# SPDX-License-Identifier: Apache-2.0
"""What the oracle makes of its measurements, and of the losses that it has from the paper alone."""

import math

import pytest

from benchmarks import _oracle_table
from benchmarks._oracle_cases import Case, cases, to_json
from benchmarks.oracle_transformers import judge

FINE = {"error": 0.5, "bar": 1.0}
NOTICED = {"error": 2.0, "bar": 1.0, "first_position": 0.0}


def report(row: dict[str, float] = FINE, fault: dict[str, float] = NOTICED) -> dict:
    return {
        "versions": "some",
        "rows": {"logits/llama_mha": row, "logits/v2_greedy": FINE},
        "seeded": {"no_mscale/v2_greedy": fault},
    }


def test_small_errors_and_noticed_faults_are_a_success(capsys):
    assert judge(report()) == 0
    assert "oracle transformers/logits/v2_greedy error=0.5 bar=1\n" in capsys.readouterr().out


@pytest.mark.parametrize("error", [1.5, math.nan])
def test_an_error_over_its_bar_or_none_at_all_is_a_failure(error, capsys):
    assert judge(report(row={"error": error, "bar": 1.0})) == 1
    assert "over its bar: logits/llama_mha" in capsys.readouterr().err


def test_a_fault_that_is_not_noticed_is_a_failure(capsys):
    assert judge(report(fault=NOTICED | {"error": 0.1})) == 1
    assert "not noticed: no_mscale/v2_greedy" in capsys.readouterr().err


def test_the_table_has_the_worst_case_of_each_check(tmp_path, monkeypatch):
    page = tmp_path / "parity.md"
    page.write_text(f"before {_oracle_table.BEGIN} old {_oracle_table.END} after")
    monkeypatch.setattr(_oracle_table, "PAGE", page)
    _oracle_table.write_table(report())
    text = page.read_text()
    assert "| `logits` | Llama | 1 | `llama_mha` | 0.5 | 1 |" in text
    assert "| `no_mscale` | `v2_greedy` | 2 | 1 | 0 |" in text
    assert text.startswith("before ") and text.endswith(" after") and "old" not in text


def test_drawn_cases_follow_from_the_seed():
    first, again, other = (cases(2, seed) for seed in (5, 5, 9))
    assert first == again != other
    assert len({case.name for case in first}) == len(first)
    assert Case(**to_json(first[0])) == first[0]
