# SPDX-License-Identifier: Apache-2.0
"""The checks of compiled kernels, tried on a CPU: what is right passes them, and nothing else."""

import pytest

from kernels import tiles
from kernels._bench import attention_checks, checks, decode_checks, grouped_checks, matrix


@pytest.fixture
def xla_is_checked(monkeypatch):
    """In the place of the Pallas kernels: the checks are what is tried here."""
    monkeypatch.setattr(tiles, "serving", lambda *_: ["xla"])
    monkeypatch.setattr(matrix, "HEADS", {"mqa": matrix.Heads(3, 1, (8, 0, 8))})
    monkeypatch.setattr(decode_checks, "HEADS", {"gqa": (4, 2, (32, 0, 32))})


def check(only: str = "") -> list[checks.Row]:
    subjects = [
        *attention_checks.subjects(block=8),
        *decode_checks.subjects(depth=24),
        *grouped_checks.subjects(block=8, widths=(8, 12)),
    ]
    return list(checks.run(subjects, only))


@pytest.mark.usefixtures("compiled_at_once", "xla_is_checked")
def test_checks_pass_what_is_right():
    rows = check()
    assert [row["check"] for row in rows] == [
        f"{name}/{dtype}"
        for name in ("attention/xla/mqa", "decode/xla/gqa", "grouped_matmul/xla")
        for dtype in ("float32", "bfloat16")
    ]
    for row in rows:
        assert "failed" not in row, checks.text(row)


def test_checks_find_what_leaks_and_what_differs_between_runs(xla_is_checked, monkeypatch):
    def blind(implementation, operands, segment_ids, towards):
        return matrix.with_gradients(implementation, operands, None, towards)

    runs = iter(range(100))
    (check,) = next(iter(attention_checks.subjects(block=8))).checks[:1]
    operands, segment_ids, towards = check.arguments
    exact = matrix.exact(operands, segment_ids, towards)

    def noisy(*arguments):
        return {name: x + 1e-6 * next(runs) for name, x in blind("xla", *arguments).items()}

    expected = {("float32", packing): exact for packing in matrix.packings(8)}
    found = {finding.of for finding in check.judge(noisy, expected) if not finding.is_right}
    assert {"rerun", "leak out", "leak d_v_BKTW", "ragged out"} <= found
    assert not checks.Finding("nan", float("nan"), 1.0).is_right
