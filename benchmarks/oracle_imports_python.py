# SPDX-License-Identifier: Apache-2.0
"""The imports of Python packages beside the graph that grimp builds of them.

Some packages are fetched from PyPI at fixed versions and unpacked, others are those installed here.
Nothing is imported, so that what they depend on need not be there. Only modules that grimp knows
are compared: it leaves out stubs, and folders without `__init__.py`. A module's import of itself,
which orders nothing, is left out too. Grimp runs in .venv-oracle.

    python -m benchmarks.oracle_imports python
"""

import json
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

from coder.data.dependencies import resolve

Edges = set[tuple[str, str]]

FETCHED = {"networkx": "3.7", "spacy": "3.8.18", "nltk": "3.10.4", "pip": "26.3"}
INSTALLED = ("apache_beam", "flax", "hypothesis", "jax", "matplotlib", "numpy", "scipy")

ORACLE = Path(__file__).parents[1] / ".venv-oracle"

_GRIMP = """
import grimp, json, sys
sys.path.insert(0, sys.argv[1])
graph = grimp.build_graph(sys.argv[2], cache_dir=None)
imported_by = graph.find_modules_directly_imported_by
print(json.dumps({module: sorted(imported_by(module) - {module}) for module in graph.modules}))
"""


def rows() -> Iterator[tuple[str, Edges, Edges]]:
    """For each package its name, our edges and grimp's."""
    installed = Path(sysconfig.get_paths()["purelib"])
    for package in (*FETCHED, *INSTALLED):
        root = fetch(package) if package in FETCHED else installed
        theirs = grimp_edges(root, package)
        expected = {(path, needed) for path, found in theirs.items() for needed in found}
        yield f"python/{package}", own_edges(root, package, theirs), expected


def fetch(package: str) -> Path:
    """Downloads a package's wheel, once, and unpacks it; returns the folder with the package."""
    folder = ORACLE / "packages" / f"{package}-{FETCHED[package]}"
    if not (folder / package).is_dir():
        wanted = f"{package}=={FETCHED[package]}"
        command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
        command += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), wanted]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        wheel.unlink()
    return folder


def grimp_edges(root: Path, package: str) -> dict[str, set[str]]:
    """File to imported files of a package, by grimp; paths relative to `root`."""
    command = [ORACLE / "bin" / "python", "-c", _GRIMP, root, package]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    edges: dict[str, list[str]] = json.loads(run.stdout)
    path_of = {module: module_path(root, module) for module in edges}
    return {path_of[module]: {path_of[name] for name in names} for module, names in edges.items()}


def module_path(root: Path, module: str) -> str:
    """The file of a module, relative to `root`."""
    stem = module.replace(".", "/")
    return f"{stem}/__init__.py" if (root / stem / "__init__.py").exists() else f"{stem}.py"


def own_edges(root: Path, package: str, known: dict[str, set[str]]) -> Edges:
    """The edges that we find in a package between the files that grimp knows."""
    files = {
        str(path.relative_to(root)): path.read_text(encoding="utf-8", errors="replace")
        for path in (root / package).rglob("*.py")
    }
    edges = resolve(files, dict.fromkeys(files, "Python")).edges
    return {
        (path, needed)
        for path, found in edges.items()
        for needed in found
        if path in known and needed in known
    }
