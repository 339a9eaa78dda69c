# SPDX-License-Identifier: Apache-2.0
import sys
from pathlib import Path

import pytest

from experiments._runner.jobs import Job
from experiments._runner.processes import JobFailed, Pool, last_lines


def job(folder: Path, name: str, program: str = "", needs: tuple = (), **settings) -> Job:
    """A job that runs `program`, then writes its result."""
    done = folder / name
    command = (sys.executable, "-c", f"{program}\nopen({str(done)!r}, 'w')")
    return Job(name, "train", command, done, folder / f"{name}.log", needs, **settings)


def run(jobs: list[Job], workers: int) -> tuple[list[str], list[set[str]]]:
    """The order in which jobs ended, and every set of jobs that ran side by side."""
    pool, ended, together = Pool(jobs, workers, {}, ()), [], []
    pool.run(
        lambda pool: together.append({running.job.name for running in pool.running}),
        lambda job, seconds: ended.append(job.name),
    )
    return ended, together


def test_a_chain_is_finished_before_the_next_seed_is_begun(tmp_path):
    first = [job(tmp_path, "a1", order=(0, 1)), job(tmp_path, "b1", needs=("a1",), order=(0, 0))]
    second = [job(tmp_path, "a2", order=(1, 1)), job(tmp_path, "b2", needs=("a2",), order=(1, 0))]
    assert run(second + first, workers=1)[0] == ["a1", "b1", "a2", "b2"]


def test_no_more_than_the_workers_run_at_once(tmp_path):
    ended, together = run([job(tmp_path, f"j{i}") for i in range(5)], workers=2)
    assert len(ended) == 5
    assert max(map(len, together)) == 2


def test_one_job_at_a_time_has_the_accelerator(tmp_path):
    jobs = [job(tmp_path, f"gpu{i}", on_accelerator=True) for i in range(2)]
    jobs += [job(tmp_path, f"cpu{i}") for i in range(2)]
    _, together = run(jobs, workers=4)
    assert not any({"gpu0", "gpu1"} <= names for names in together)
    assert any(len(names) == 3 for names in together)


def test_a_job_without_its_result_has_failed(tmp_path):
    lost = Job("lost", "train", (sys.executable, "-c", ""), tmp_path / "x", tmp_path / "log")
    with pytest.raises(JobFailed, match="without writing"):
        run([lost], workers=1)


def test_what_a_failed_job_said_last_is_shown(tmp_path):
    with pytest.raises(JobFailed, match="the very end"):
        run([job(tmp_path, "x", "import sys; print('y ' * 9999); sys.exit('the very end')")], 1)


def test_last_lines_of_a_long_log(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"".join(b"line %d\xff\n" % i for i in range(100_000)))
    assert len(last_lines(log)) == 15
    assert last_lines(log)[-1].startswith("line 99999")
