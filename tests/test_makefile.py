# SPDX-License-Identifier: Apache-2.0
"""The commands a newcomer types first, run as they type them."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKE = shutil.which("make") or "make"
ENOUGH_FOR_MAKE = "sh cat cksum cut sed grep uname ls rm mkdir touch".split()


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    # Under `make test ARGS=...` the variables of that make would pass for those of the one tested.
    of_make = re.compile("MAKE.*|MFLAGS|ARGS|NAME|SCALE|VENV|PYTHON|WORKERS")
    kept = {name: value for name, value in os.environ.items() if not of_make.fullmatch(name)}
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A directory for PATH with the tools of any Unix, and no Python."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for tool in ENOUGH_FOR_MAKE:
        (directory / tool).symlink_to(shutil.which(tool) or pytest.skip(f"no {tool} here"))
    return directory


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def find_python(path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    nowhere = {"PYENV_ROOT": "/nonexistent", "PYTHON": "", "PATH": str(path)}
    return run("/bin/sh", "scripts/find_python.sh", **(nowhere | environment))


def test_help_is_the_default_and_lists_every_target() -> None:
    text = run(MAKE).stdout
    assert text == run(MAKE, "help").stdout
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    for target in phony[1].split():
        assert re.search(rf"^  {target} +\S", text, re.MULTILINE), target


def test_without_any_python_one_sentence_says_what_to_install(
    bare_path: Path, tmp_path: Path
) -> None:
    done = run(
        MAKE, "setup", f"VENV={tmp_path / 'venv'}", "PYTHON=",
        PATH=str(bare_path), PYENV_ROOT="/nonexistent",
    )  # fmt: skip
    assert done.returncode != 0
    assert "No Python 3.12 or newer was found: install one" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_a_shim_that_fails_and_an_old_python_are_passed_over(bare_path: Path) -> None:
    script(bare_path / "python3.12", "#!/bin/sh\necho 'not selected' >&2\nexit 127\n")
    script(bare_path / "python3.13", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    done = find_python(bare_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == Path(sys.executable)


def test_pyenvs_versions_are_found_when_nothing_on_path_runs(
    bare_path: Path, tmp_path: Path
) -> None:
    version = tmp_path / "pyenv/versions/3.12.9/bin"
    version.mkdir(parents=True)
    script(version / "python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    done = find_python(bare_path, PYENV_ROOT=str(tmp_path / "pyenv"))
    assert Path(done.stdout.strip()) == Path(sys.executable)


def test_a_named_interpreter_that_does_not_run_is_an_error(bare_path: Path) -> None:
    done = find_python(bare_path, PYTHON="/nonexistent/python3.12")
    assert done.returncode == 1
    assert "PYTHON=/nonexistent/python3.12 does not run" in done.stderr


@pytest.fixture
def no_requirements(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text("# nothing\n")
    return path


def make_venv(venv: Path, requirements: Path) -> subprocess.CompletedProcess[str]:
    return run(
        "/bin/sh", "scripts/make_venv.sh", venv, "12", venv / "runtime-1", "-r", requirements,
        PYTHON=sys.executable,
    )  # fmt: skip


def test_a_half_made_environment_is_made_anew_and_a_whole_one_kept(
    tmp_path: Path, no_requirements: Path
) -> None:
    venv = tmp_path / "venv"
    broken = make_venv(venv, tmp_path / "missing.txt")
    assert broken.returncode != 0
    assert not (venv / "runtime-1").exists()
    (venv / "left_over").touch()

    assert make_venv(venv, no_requirements).returncode == 0
    assert (venv / "runtime-1").exists()
    assert not (venv / "left_over").exists()

    (venv / "kept").touch()
    assert make_venv(venv, no_requirements).returncode == 0
    assert (venv / "kept").exists()


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path, no_requirements: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/one").touch()
    done = make_venv(tmp_path / "letters", no_requirements)
    assert done.returncode == 1
    assert "no virtual environment" in done.stderr
    assert (tmp_path / "letters/one").exists()


def test_an_unknown_experiment_is_a_clear_error() -> None:
    done = run(MAKE, "experiment", "NAME=fim_ablatoin", "VENV=", f"PYTHON={sys.executable}")
    assert done.returncode != 0
    assert "fim_ablatoin" in done.stderr
    assert "fim_ablation" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interpreter_without_the_requirements_is_refused_in_a_sentence(tmp_path: Path) -> None:
    lacking = script(tmp_path / "python", f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    done = run(MAKE, "gpu-check", "VENV=", f"PYTHON={lacking}")
    assert done.returncode != 0
    assert "lacks jax, flax" in done.stderr


def test_an_unknown_benchmark_is_a_clear_error() -> None:
    done = run(MAKE, "bench", "NAME=trian_step", "VENV=", f"PYTHON={sys.executable}")
    assert done.returncode != 0
    assert "NAME=trian_step: choose one of: train_step" in done.stderr
