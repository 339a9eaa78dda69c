# SPDX-License-Identifier: Apache-2.0
"""What remote workers install is enough to run the pipelines, and has no accelerator in it."""

import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from beam_pipelines import worker_package

ACCELERATOR = {"jax", "jaxlib", "flax", "optax", "orbax", "grain"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worker_package.write_wheel(tmp_path_factory.mktemp("dist"))


def test_the_modules_import_the_named_libraries_and_no_accelerator() -> None:
    imported = {
        name
        for path in worker_package.modules()
        for name in worker_package.imports(path)
        if name.partition(".")[0] not in sys.stdlib_module_names | {"beam_pipelines", "coder"}
    }
    assert not {name.partition(".")[0] for name in imported} & ACCELERATOR
    known = metadata.packages_distributions()
    assert {_library_of(name, known) for name in imported} == set(worker_package.LIBRARIES)


def _library_of(module: str, known: Mapping[str, list[str]]) -> str:
    """The distribution that an import comes from, of which several may share `google`."""
    first, second = (*module.split("."), "")[:2]
    if first == "google":
        return second
    (distribution,) = set(known[first])
    return canonicalize_name(distribution)


def test_the_package_is_small_and_has_nothing_of_the_model(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"beam_pipelines/corpus.py", "coder/data/ordering.py", "coder/config.py"} <= names
    assert "beam_pipelines/held_out_installed.txt" in names
    parts = {name.rpartition("/")[0].split("/")[1] for name in names if name.count("/") > 1}
    assert parts <= {"data", "report", "sources"}
    assert not [name for name in names if "loader" in name or "pycache" in name or "/." in name]
    assert wheel.stat().st_size < 2 << 20


def test_the_same_sources_give_the_same_package(wheel: Path, tmp_path: Path) -> None:
    assert worker_package.write_wheel(tmp_path).read_bytes() == wheel.read_bytes()


def test_its_requirements_are_those_of_the_lock(wheel: Path) -> None:
    locked = {
        line.partition(" ")[0]
        for line in (worker_package.ROOT / "requirements.txt").read_text().splitlines()
        if "==" in line and not line.startswith((" ", "#"))
    }
    pinned = [Requirement(line) for line in worker_package.requirements() if "==" in line]
    assert {str(requirement) for requirement in pinned} <= locked
    assert "apache-beam" in {requirement.name for requirement in pinned}


@pytest.mark.slow
def test_pip_installs_it_where_only_its_requirements_are_and_a_corpus_is_built(
    wheel: Path, tmp_path: Path
) -> None:
    packages = _environment(tmp_path / "worker")
    python = tmp_path / "worker/bin/python"
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--target", packages]
    subprocess.run([*pip, "--disable-pip-version-check", wheel], check=True)
    names = [module.relative_to(worker_package.ROOT) for module in worker_package.modules()]
    dotted = [".".join(name.with_suffix("").parts) for name in names]
    subprocess.run([python, "-c", f"import {', '.join(dotted)}"], cwd=tmp_path, check=True)
    for number in range(12):
        (tmp_path / f"source/repository{number}").mkdir(parents=True)
        code = f"def function_{number}():\n    return {number}\n"
        (tmp_path / f"source/repository{number}/code.py").write_text(code)
    command = [python, "-m", "beam_pipelines.corpus", "--source", "folder:source"]
    subprocess.run([*command, "--output", "out", "--shards", "1"], cwd=tmp_path, check=True)
    assert (tmp_path / "out/manifest.json").is_file()


def _environment(folder: Path) -> Path:
    """A virtual environment with what the package requires and nothing else; its packages."""
    venv.create(folder)
    packages = next(folder.glob("lib/python*/site-packages"))
    for name in _required(worker_package.requirements()):
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(str(distribution.locate_file(top)))
    return packages


def _required(requirements: Iterable[str]) -> set[str]:
    """The distributions that these need, and so on."""
    pending = [Requirement(requirement) for requirement in requirements]
    found: set[str] = set()
    while pending:
        outer = pending.pop()
        if outer.name in found:
            continue
        found.add(outer.name)
        for inner in map(Requirement, metadata.requires(outer.name) or ()):
            extras = [{"extra": extra} for extra in ("", *outer.extras)]
            if inner.marker is None or any(map(inner.marker.evaluate, extras)):
                pending.append(inner)
    return found
