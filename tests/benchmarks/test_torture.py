# SPDX-License-Identifier: Apache-2.0
"""A little of `make torture`, and that it would notice what it is there to notice."""

import multiprocessing
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import torture
from benchmarks._torture_inputs import LIMIT, make, name
from benchmarks._torture_targets import targets


@pytest.mark.parametrize("target", sorted(targets()))
def test_hostile_inputs_end_in_one_fate_or_another(target: str) -> None:
    for number in range(20):
        assert targets()[target](f"{target}/1/{number}").total() > 0


def test_an_input_is_a_function_of_its_seed() -> None:
    assert [make(f"{n}") for n in range(30)] == [make(f"{n}") for n in range(30)]
    assert len({make(f"{n}") for n in range(30)}) > 25
    assert all(len(make(f"{n}")) <= LIMIT and name(f"{n}") for n in range(300))


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Lets the driver hear some answers; what it then says of the inputs."""
    monkeypatch.setattr(torture, "FAILURES", tmp_path)
    monkeypatch.setattr(torture, "WATCHDOG", 0.1)

    def listen(*answers: torture.Answer, inputs: int, silent: bool = False) -> torture.Result:
        ours, theirs = multiprocessing.Pipe(duplex=False)
        for answer in (None, *answers):
            theirs.send(answer)
        if not silent:
            theirs.close()
        result = torture.Result()
        torture.listen(ours, "rules", 0, inputs, result)
        return result

    return listen


def test_every_input_is_counted(heard) -> None:
    answers = [torture.Answer(number, 0.5, Counter(["kept"])) for number in range(3)]
    result = heard(*answers, inputs=3)
    assert (result.inputs, result.fates, result.failures) == (3, Counter(kept=3), [])


def test_exceptions_slowness_and_lost_inputs_are_failures(heard, tmp_path: Path) -> None:
    error = torture.Answer(0, 0.1, Counter(), "Traceback\nRecursionError: too deep")
    slow = torture.Answer(1, torture.SECONDS + 0.1, Counter(["kept"]))
    lost = torture.Answer(2, 0.1, Counter())
    assert heard(error, slow, lost, inputs=3).failures == ["rules/0/0", "rules/0/1", "rules/0/2"]
    saved = tmp_path / "rules-0-0"
    assert "RecursionError" in (saved / "why.txt").read_text()
    assert (saved / "input").read_bytes() == make("rules/0/0")


def test_a_dead_process_and_a_silent_one_are_noticed(heard) -> None:
    with pytest.raises(EOFError):
        heard(inputs=1)
    with pytest.raises(TimeoutError):
        heard(inputs=1, silent=True)
