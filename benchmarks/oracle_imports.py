# SPDX-License-Identifier: Apache-2.0
"""Compares the import graphs of installed packages with grimp's: `make oracle NAME=imports`.

Prints `oracle imports/python/<package> precision=<p> recall=<r>` for each package and writes the
same to benchmarks/results/oracle_imports.json. Only modules that grimp knows are compared: it
leaves out stubs, and folders without `__init__.py`. A module's import of itself, which orders
nothing, is left out too. Grimp runs in .venv-oracle.
"""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

from coder.config import write_json
from coder.data.dependencies import resolve

PACKAGES = ("apache_beam", "flax", "hypothesis", "jax", "matplotlib", "numpy", "pip", "scipy")
ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "oracle_imports.json"

_GRIMP = """
import grimp, json, sys
sys.path.append(sys.argv[1])
graph = grimp.build_graph(sys.argv[2], cache_dir=None)
imported_by = graph.find_modules_directly_imported_by
print(json.dumps({module: sorted(imported_by(module) - {module}) for module in graph.modules}))
"""


def main(packages: list[str]) -> None:
    """Compares each package; those that are not installed, or that grimp cannot read, are named."""
    site = Path(sysconfig.get_paths()["purelib"])
    rows = {}
    for package in packages:
        theirs = grimp_edges(site, package)
        if theirs is None:
            print(f"oracle imports/python/{package} skipped: not a package that grimp can read")
            continue
        ours = own_edges(site, package, theirs)
        expected = {(path, needed) for path, found in theirs.items() for needed in found}
        both = len(ours & expected)
        row = {"precision": both / max(1, len(ours)), "recall": both / max(1, len(expected))}
        rows[package] = row | {"edges": len(expected)}
        shown = " ".join(f"{name}={value:.4f}" for name, value in row.items())
        print(f"oracle imports/python/{package} {shown}", flush=True)
        for kind, pairs in (("only ours", ours - expected), ("only grimp", expected - ours)):
            for path, needed in sorted(pairs)[:3]:
                print(f"  {kind}: {path} -> {needed}")
    write_json(RESULT, rows)


def grimp_edges(site: Path, package: str) -> dict[str, set[str]] | None:
    """File to imported files of a package, by grimp; paths relative to `site`."""
    python = ROOT / ".venv-oracle" / "bin" / "python"
    command = [python, "-c", _GRIMP, site, package]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        print(run.stderr.strip().rpartition("\n")[2], file=sys.stderr)
        return None
    edges: dict[str, list[str]] = json.loads(run.stdout)
    path_of = {module: module_path(site, module) for module in edges}
    return {path_of[module]: {path_of[name] for name in names} for module, names in edges.items()}


def module_path(site: Path, module: str) -> str:
    """The file of a module, relative to `site`."""
    stem = module.replace(".", "/")
    return f"{stem}/__init__.py" if (site / stem / "__init__.py").exists() else f"{stem}.py"


def own_edges(site: Path, package: str, known: dict[str, set[str]]) -> set[tuple[str, str]]:
    """The edges that we find in a package between the files that grimp knows."""
    files = {
        str(path.relative_to(site)): path.read_text(encoding="utf-8", errors="replace")
        for path in (site / package).rglob("*.py")
    }
    edges = resolve(files).edges
    return {
        (path, needed)
        for path, found in edges.items()
        for needed in found
        if path in known and needed in known
    }


if __name__ == "__main__":
    main(sys.argv[1:] or list(PACKAGES))
