# SPDX-License-Identifier: Apache-2.0
"""The wheel that the workers of a remote runner install: the pipelines and what they import.

    python -m beam_pipelines.worker_package dist     writes it below dist, and prints its name

It holds every module of `beam_pipelines` and whatever these import of `coder`, so no model and no
jax, and asks for the locked versions of the libraries. The same sources give the same bytes.
"""

import ast
import base64
import hashlib
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]

# What the modules import, by the names of the distributions.
LIBRARIES = (
    "apache-beam",
    "google-crc32c",
    "matplotlib",
    "numpy",
    "packaging",
    "protobuf",
    "psutil",
    "pyarrow",
    "rich",
    "selectolax",
    "tokenizers",
    "tyro",
    "zstandard",
)


def main() -> None:
    """The command line."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print("usage: python -m beam_pipelines.worker_package FOLDER", file=sys.stderr)
        sys.exit(2)
    print(write_wheel(Path(sys.argv[1])))


def write_wheel(folder: Path) -> Path:
    """Writes the wheel into a folder, which is made if there is none; returns its path."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name = f"{project['name'].replace('-', '_')}_pipelines"
    info = f"{name}-{project['version']}.dist-info"
    lines = [f"Name: {name}", f"Version: {project['version']}"]
    lines += [f"Requires-Python: {project['requires-python']}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requirements()]
    members = {str(path.relative_to(ROOT)): path.read_bytes() for path in files()}
    members[f"{info}/METADATA"] = _text("Metadata-Version: 2.1", *lines)
    members[f"{info}/WHEEL"] = _text(
        "Wheel-Version: 1.0",
        "Generator: beam_pipelines",
        "Root-Is-Purelib: true",
        "Tag: py3-none-any",
    )
    record = [_record(member, content) for member, content in sorted(members.items())]
    members[f"{info}/RECORD"] = _text(*record, f"{info}/RECORD,,")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{project['version']}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for member, content in members.items():
            entry = zipfile.ZipInfo(member)  # of 1980: the time of a file is none of its content
            entry.external_attr = 0o644 << 16
            wheel.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return path


def requirements() -> Iterator[str]:
    """What pip has to install beside the wheel, apache-beam in the version that submits the job.

    What Beam itself requires is left to it: its containers have that, fitting together.
    """
    brought = {
        _name(line) for line in metadata.requires("apache-beam") or () if "extra" not in line
    }
    for library in LIBRARIES:
        yield library if library in brought else f"{library}=={metadata.version(library)}"


def files() -> list[Path]:
    """The modules, and the data that lie beside them, by name."""
    found = modules()
    for package in ("beam_pipelines", "coder/data"):
        for path in (ROOT / package).rglob("*"):
            hidden = any(part.startswith((".", "__")) for part in path.relative_to(ROOT).parts)
            if path.is_file() and path.suffix != ".py" and not hidden:
                found.add(path)
    return sorted(found)


def modules() -> set[Path]:
    """Every module of the pipelines, and whatever of this project they import at any depth."""
    pending = list((ROOT / "beam_pipelines").rglob("*.py"))
    found: set[Path] = set()
    while pending:
        path = pending.pop()
        if path in found:
            continue
        found.add(path)
        for name in imports(path):
            pending += _modules_of(name)
    return found


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, in functions, too; `from a import b` gives `a.b`."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _modules_of(name: str) -> Iterator[Path]:
    """The files below this project that an import of `name` executes."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        place = ROOT.joinpath(*parts[:length])
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                yield path


def _name(requirement: str) -> str:
    return Requirement(requirement).name


def _text(*lines: str) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def _record(member: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{member},sha256={digest},{len(content)}"


if __name__ == "__main__":
    main()
