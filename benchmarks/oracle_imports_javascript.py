# SPDX-License-Identifier: Apache-2.0
"""The imports of npm packages that carry TypeScript sources beside what dependency-cruiser finds.

Of each package the folder `src` is compared: edges from its files to any file of the package, where
what was built lies too. dependency-cruiser reads the same tsconfig.json, where the package has one,
and resolves with the conditions of `exports` that the package's own build asks for. A file's import
of itself, which orders nothing, is left out. Needs node (18 or newer) and npm.

    python -m benchmarks.oracle_imports_javascript
"""

import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coder.data.dependencies import javascript, sets

Edges = set[tuple[str, str]]

TOOLS = ("dependency-cruiser@17.3.1", "typescript@5.9.3")


@dataclass(frozen=True)
class Package:
    """A package on npm whose tarball has its sources in `src`."""

    name: str
    version: str
    tsconfig: str | None = None
    """Its tsconfig.json with `paths`, if it has one."""
    conditions: tuple[str, ...] = ()
    """Conditions of `exports`, beyond the usual ones, that its own build sets."""


PACKAGES = (
    Package("rxjs", "7.8.2", tsconfig="tsconfig.json"),
    Package("zod", "4.1.12", conditions=("@zod/source",)),
    Package("effect", "3.18.4"),
)

_ENDINGS = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")
_EXTENSIONS = (".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".cjs")


def rows() -> Iterator[tuple[str, Edges, Edges]]:
    """For each package its name, our edges and dependency-cruiser's."""
    with tempfile.TemporaryDirectory() as folder:
        tools = Path(folder)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run([*command, "--prefix", folder, *TOOLS], check=True)
        for package in PACKAGES:
            top = fetch(package, tools)
            files = sorted(path for path in top.rglob("*") if path.name.endswith(_ENDINGS))
            known = {path.relative_to(top).as_posix() for path in files}
            theirs = {edge for edge in cruised(package, top, tools) if known.issuperset(edge)}
            yield f"javascript/{package.name}", own(top, known), theirs


def fetch(package: Package, folder: Path) -> Path:
    """Downloads a package's tarball and unpacks it; returns the folder with its files."""
    wanted = f"{package.name}@{package.version}"
    command = ["npm", "pack", "--silent", wanted, "--pack-destination", str(folder)]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
    top = folder / package.name
    with tarfile.open(folder / name) as archive:
        archive.extractall(top, filter="data")
    return top / "package"


def own(top: Path, known: set[str]) -> Edges:
    """The edges that we find from the files in `src`."""
    files = {path: _text(top / path) for path in known}
    settings = (path.relative_to(top).as_posix() for path in top.rglob("*.json"))
    project = {path: _text(top / path) for path in settings if sets(javascript, path)}
    index = javascript.build_index(files, project)
    return {
        (path, needed)
        for path in known
        if path.startswith("src/")
        for needed in javascript.targets(path, files[path], index)
        if needed != path
    }


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def cruised(package: Package, top: Path, tools: Path) -> Iterator[tuple[str, str]]:
    """The edges that dependency-cruiser finds from the files in `src`."""
    options = {
        "tsPreCompilationDeps": True,  # imports of types too
        "doNotFollow": {"path": "node_modules"},
        "enhancedResolveOptions": {
            "exportsFields": ["exports"],
            "conditionNames": [*package.conditions, "types", "import", "require", "default"],
            "extensions": _EXTENSIONS,
        },
    }
    if package.tsconfig is not None:
        options["tsConfig"] = {"fileName": package.tsconfig}
    config = tools / f"{package.name}.json"
    config.write_text(json.dumps({"options": options}))
    command = [str(tools / "node_modules/.bin/depcruise"), "src", "--config", str(config)]
    command += ["--output-type", "json"]
    run = subprocess.run(command, cwd=top, check=True, capture_output=True, text=True)
    for module in json.loads(run.stdout)["modules"]:
        for dependency in module["dependencies"]:
            edge = module["source"], dependency["resolved"]
            if edge[0].startswith("src/") and edge[0] != edge[1]:
                yield edge


def main() -> None:
    """Prints precision and recall, and every edge in which the two differ."""
    for name, ours, theirs in rows():
        both = len(ours & theirs)
        precision, recall = both / max(1, len(ours)), both / max(1, len(theirs))
        print(f"oracle imports/{name} precision={precision:.4f} recall={recall:.4f}", flush=True)
        print(f"  {len(theirs)} edges")
        for kind, pairs in (("only ours", ours - theirs), ("only theirs", theirs - ours)):
            for path, needed in sorted(pairs):
                print(f"  {kind}: {path} -> {needed}")


if __name__ == "__main__":
    main()
