# SPDX-License-Identifier: Apache-2.0
"""What the oracle of imports has found last, and what the documents say about it."""

import json

from benchmarks import oracle_imports


def test_the_documented_table_is_that_of_the_last_results() -> None:
    results = json.loads(oracle_imports.RESULT.read_text())
    assert oracle_imports.table(results) in oracle_imports.DOCUMENT.read_text(encoding="utf-8"), (
        "run: python -m benchmarks.oracle_imports --table"
    )


def test_every_family_met_its_bar() -> None:
    results = json.loads(oracle_imports.RESULT.read_text())
    assert {row["family"] for row in results.values()} == oracle_imports.FAMILIES.keys()
    assert all(oracle_imports.meets_bar(case, row) for case, row in results.items())


def test_an_unknown_family_is_an_error(capsys) -> None:
    assert oracle_imports.main(["cobol"]) == 2
    assert "choose from" in capsys.readouterr().err
