# SPDX-License-Identifier: Apache-2.0
import io
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from experiments._runner.jobs import Job
from experiments._runner.processes import Pool
from experiments._runner.progress import Clock, Pace, Progress, duration, last_row


def test_pace_leaves_out_what_came_before_the_first_row():
    pace = Pace(step=0)
    assert pace.seconds_left(0, 100, now=5) is None
    assert pace.seconds_left(10, 100, now=60) is None
    assert pace.seconds_left(20, 100, now=65) == pytest.approx(40)
    assert pace.seconds_left(20, 100, now=67) == pytest.approx(38)


def test_pace_of_a_resumed_run_begins_with_its_first_new_row():
    pace = Pace(step=50)
    assert pace.seconds_left(50, 100, now=30) is None
    assert pace.seconds_left(60, 100, now=40) is None
    assert pace.seconds_left(80, 100, now=42) == pytest.approx(2)


def test_last_row_ignores_a_line_that_is_being_written(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    assert last_row(path) == {}
    path.write_text('{"step": 1}')
    assert last_row(path) == {}
    path.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert last_row(path) == {"step": 2}


def test_durations():
    assert [duration(s) for s in (5, 65, 3725)] == ["0:05", "1:05", "1:02:05"]


@pytest.mark.parametrize("terminal", [True, False])
def test_what_runs_is_shown(tmp_path: Path, terminal: bool):
    metrics, done = tmp_path / "metrics.jsonl", tmp_path / "done"
    metrics.write_text('{"step": 7, "loss": 3.25}\n')
    program = f"import time; time.sleep(1); open({str(done)!r}, 'w')"
    command = (sys.executable, "-c", program)
    job = Job("train x", "train", command, done, tmp_path / "log", progress=metrics, steps=20)
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=100)
    pool = Pool([job], workers=1, environment={}, locks=())
    with Progress(console, Clock({"train": 60}, workers=1), num_jobs=1) as progress:
        begun = time.monotonic()
        pool.run(progress.tick, progress.finished)
    assert time.monotonic() - begun < 30
    shown = screen.getvalue()
    assert "train x finished" in shown
    if terminal:
        assert all(part in shown for part in ("7/20", "loss 3.250", "0 of 1 jobs", "left"))
    else:
        assert "train x started" in shown
        assert "\x1b" not in shown
