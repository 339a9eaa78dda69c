# SPDX-License-Identifier: Apache-2.0
"""The includes of C and C++ projects beside what gcc's preprocessor does with them.

Every source and header of a project's sdist is preprocessed on its own, with the `-I` folders of
the project's build files. `gcc -E -dI` names each `#include` that it executes and the file it is
in, also where an include guard spares the reading. The edges are thus direct ones, sharper than
the closures of `gcc -MM`, and only between files of the project.

gcc follows one branch of each `#if`. Includes that it executed nowhere in the project are left out
of the comparison and named in lines of their own. Headers of other packages that are not on the
machine, where gcc would stop, are empty files, and named too.

    python -m benchmarks.oracle_imports_c
"""

import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname, join, normpath

from coder.data.dependencies import c

Edges = set[tuple[str, str]]


@dataclass(frozen=True)
class Project:
    """A project with C or C++ sources on PyPI."""

    name: str
    version: str
    language: str
    """gcc's name for the language of its headers."""
    roots: tuple[str, ...]
    """The `-I` folders of its build files, relative to the sdist's top."""


PROJECTS = (
    Project("brotli", "1.2.1", "c", ("c/include",)),
    Project("pybind11", "3.1.0", "c++", ("include", "tests", "tests/test_cross_module_rtti")),
    Project("nanobind", "3.1.0", "c++", ("include", "ext/robin_map/include")),
)

_SOURCES = (".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".hxx")
_LINE_MARKER = re.compile(r'# \d+ "(.+?)"((?: \d)*)$')
_DIRECTIVE = re.compile(r'#(?:include|include_next|import) (?:"([^"]+)"|<([^>]+)>)')


def rows() -> Iterator[tuple[str, Edges, Edges]]:
    """For each project its name, our edges and gcc's."""
    for project in PROJECTS:
        with tempfile.TemporaryDirectory() as folder:
            top = fetch(project, Path(folder))
            found = Preprocessed(top, project)
        family = "cpp" if project.language == "c++" else "c"
        yield f"{family}/{project.name}", *found.compared(f"{family}/{project.name}")


def fetch(project: Project, folder: Path) -> Path:
    """Downloads a project's sdist and unpacks it; returns the folder with its files."""
    wanted = f"{project.name}=={project.version}"
    command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-binary", project.name, "--dest", str(folder), wanted]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


class Preprocessed:
    """What gcc includes in the files of a project, and what we think it does."""

    def __init__(self, top: Path, project: Project) -> None:
        """Runs gcc once for each file below `top`."""
        self.files = {
            path.relative_to(top).as_posix(): path.read_text(encoding="utf-8", errors="replace")
            for path in sorted(top.rglob("*"))
            if path.suffix in _SOURCES and path.is_file() and not path.is_symlink()
        }
        self.project = project
        self.active = defaultdict[str, set[tuple[str, bool]]](set)
        """File to the includes that gcc executes there: name, and whether in `<>`."""
        self.missing = set[str]()
        """Headers that are neither in the project nor on the machine."""
        with tempfile.TemporaryDirectory() as empty:
            for path in self.files:
                self._note_includes(self._preprocess(top, path, Path(empty)))

    def _preprocess(self, top: Path, path: str, empty: Path) -> str:
        """What gcc makes of a file; headers that it misses become files in `empty`."""
        language = "c" if path.endswith(".c") else self.project.language
        command = ["gcc", "-E", "-dI", "-w", "-x", language, path, "-idirafter", str(empty)]
        for root in (*self.project.roots, sysconfig.get_paths()["include"]):
            command += ["-I", root]
        locale = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}  # C, as the messages are read
        while True:
            run = subprocess.run(command, cwd=top, capture_output=True, env=locale)
            fatal = re.search(rb"fatal error: (.*): No such file or directory", run.stderr)
            if fatal is None:
                return run.stdout.decode(errors="replace")
            name = fatal[1].decode()
            self.missing.add(name)
            (empty / name).parent.mkdir(parents=True, exist_ok=True)
            (empty / name).touch()

    def _note_includes(self, output: str) -> None:
        """Adds to `active` what one run of gcc has executed."""
        within = [""]
        for line in output.splitlines():
            if not line.startswith("#"):
                continue
            if marker := _LINE_MARKER.match(line):
                name, flags = normpath(marker[1]), marker[2].split()
                if "1" in flags:
                    self._check_entry(within[-1], name)
                    within.append(name)
                elif "2" in flags:
                    within.pop()
                else:
                    within[-1] = name
            elif directive := _DIRECTIVE.match(line):
                self.active[within[-1]].add((directive[1] or directive[2], directive[1] is None))

    def _check_entry(self, path: str, entered: str) -> None:
        """Our reading of gcc's search order must give each file that gcc enters."""
        if entered in self.files and path in self.files:
            found = {self._searched(path, *include) for include in self.active[path]}
            assert entered in found, f"gcc enters {entered} from {path}, which we would not"

    def _searched(self, path: str, name: str, angled: bool) -> str | None:
        """The file of the project that gcc finds for an include: own folder, then the roots."""
        folders = self.project.roots if angled else (dirname(path), *self.project.roots)
        candidates = (normpath(join(folder, name)) for folder in folders)
        return next((found for found in candidates if found in self.files), None)

    def compared(self, name: str) -> tuple[Edges, Edges]:
        """Our edges and gcc's, of the includes that it executed; prints what is left out."""
        index = c.build_index(self.files, {})
        expected = {
            (path, found)
            for path in self.files
            for include in self.active[path]
            if (found := self._searched(path, *include)) not in (None, path)
        }
        ours, inactive = set(), set()
        for path in self.files:
            for include in index.includes[path]:
                found = index.target(path, include)
                if found in (None, path):
                    continue
                executed = (include.name, include.angled) in self.active[path]
                (ours if executed else inactive).add((path, found))
        inactive -= ours
        print(f"  {name}: {len(self.files)} files, {len(inactive)} edges inactive for gcc")
        print(f"  {name}: empty in place of missing headers: {' '.join(sorted(self.missing))}")
        for path, found in sorted(inactive):
            print(f"  {name}: inactive: {path} -> {found}")
        return ours, expected


def share(part: Edges, whole: Edges) -> float:
    """How much of `whole` is in `part`."""
    return len(part & whole) / max(1, len(whole))


if __name__ == "__main__":
    for case, ours, theirs in rows():
        row = f"precision={share(theirs, ours):.4f} recall={share(ours, theirs):.4f}"
        print(f"oracle imports/{case} {row} edges={len(theirs)}", flush=True)
        for kind, pairs in (("only ours", ours - theirs), ("only gcc", theirs - ours)):
            for pair in sorted(pairs):
                print(f"  {kind}: {' -> '.join(pair)}")
