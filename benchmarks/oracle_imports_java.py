# SPDX-License-Identifier: Apache-2.0
"""The dependencies of Java projects beside javac's own resolution of names, and beside jdeps.

A small Java program asks javac, through the JDK's Compiler Tree API, what each identifier and each
selection in the sources stands for; where that is a type, the file that declares it is needed.
This is what our resolver means by a dependency: the source names the type, if only in an import.

jdeps reads the class files instead, which is not the same thing, in both directions. Its rows are
the plain comparison and have no bar; a line before each says how many of the differences are

- edges that only we have and that javac confirms: the compiler leaves no trace of imports that are
  not used, of constants, whose values it copies, and of annotations for sources only;
- edges that only jdeps has, to files none of whose types the source mentions with a word: types of
  values that are used on the spot, as in `a.b().c()`, and of methods that are only inherited.

    python -m benchmarks.oracle_imports_java
"""

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from coder.data.dependencies import jvm

Edges = set[tuple[str, str]]


_SOURCES = (
    "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    " http://deb.debian.org/debian bookworm main\n"
)
_ARROW = re.compile(r"^\s+(\S+)\s+-> (\S+)\s", re.MULTILINE)
_WORD = re.compile(r"\w+")


def from_pypi(name: str, folder: Path) -> None:
    """Downloads the sdist of `name==version` into a folder."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-binary", ":all:", "--dest", str(folder), name]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def from_debian(name: str, folder: Path) -> None:
    """Downloads a source package of Debian 12 into a folder, past apt's own settings."""
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "cache" / "archives" / "partial").mkdir(parents=True)
    (folder / "sources.list").write_text(_SOURCES)
    options = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder / "cache",
    }
    command = ["apt-get", "-q"] + [f"-o{key}={value}" for key, value in options.items()]
    for arguments in (["update"], ["source", "--download-only", name]):
        subprocess.run([*command, *arguments], check=True, cwd=folder, capture_output=True)


@dataclass(frozen=True)
class Project:
    """A project whose Java sources need no other library."""

    name: str
    package: str
    fetch: Callable[[str, Path], None]
    tool: str
    """What fetches it; without this program the project is left out, with a line."""
    roots: tuple[str, ...]
    """Folders of its sources, relative to the archive's top."""


PROJECTS = (
    Project(
        "jpype1",
        "jpype1==1.7.1",
        from_pypi,
        sys.executable,
        ("native/jpype_module/src/main/java/org", "test/harness/jpype", "test/harness/org"),
    ),
    Project("commons-lang3", "libcommons-lang3-java", from_debian, "apt-get", ("src/main/java",)),
    Project(
        "commons-collections4",
        "libcommons-collections4-java",
        from_debian,
        "apt-get",
        ("src/main/java",),
    ),
)


def rows() -> Iterator[tuple[str, Edges, Edges]]:
    """For each project its name, our edges and the other side's: javac's, then jdeps's."""
    for project in PROJECTS:
        if not shutil.which(project.tool):
            print(f"oracle imports/java/{project.name} skipped: needs {project.tool}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            top = unpack(project, Path(folder))
            files = {
                path.relative_to(top).as_posix(): path.read_text(encoding="utf-8")
                for root in project.roots
                for path in sorted((top / root).rglob("*.java"))
            }
            named, classes = ask_javac(top, list(files))
            compiled = ask_jdeps(top, classes)
        index = jvm.build_index(files, {})
        ours = {
            (path, needed)
            for path, text in files.items()
            for needed in (jvm.targets(path, text, index) or set()) - {path}
        }
        yield f"java/{project.name}", ours, named
        explain(ours, compiled, named, words(files, classes))
        yield f"java/{project.name}/jdeps", ours, compiled


def unpack(project: Project, folder: Path) -> Path:
    """Fetches a project and unpacks it; returns the folder with its files."""
    project.fetch(project.package, folder)
    archives = [*folder.glob("*.orig.tar.*"), *folder.glob("*.tar.gz")]
    (folder / "sources").mkdir()
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder / "sources", filter="data")
    return next((folder / "sources").iterdir())


def ask_javac(top: Path, files: list[str]) -> tuple[Edges, dict[str, str]]:
    """Compiles into `top/classes`; returns the edges, and top-level classes with their files."""
    (top / "sources.txt").write_text("\n".join(files), encoding="utf-8")
    program = Path(__file__).with_name("_java_types.java")
    command = ["java", str(program), "sources.txt", "classes"]
    (top / "classes").mkdir()
    run = subprocess.run(command, check=True, cwd=top, stdout=subprocess.PIPE, text=True)
    edges, classes = set[tuple[str, str]](), dict[str, str]()
    for kind, first, second in (line.split("\t") for line in run.stdout.splitlines()):
        if kind == "class":
            classes[first] = second
        elif first != second:
            edges.add((first, second))
    return edges, classes


def ask_jdeps(top: Path, classes: dict[str, str]) -> Edges:
    """The edges between the files of the classes that are compiled."""
    command = ["jdeps", "-verbose:class", "-filter:none", "classes"]
    run = subprocess.run(command, check=True, cwd=top, capture_output=True, text=True)
    edges = set[tuple[str, str]]()
    for names in _ARROW.findall(run.stdout):
        user, needed = (classes.get(outermost(name, classes)) for name in names)
        if user and needed and user != needed:
            edges.add((user, needed))
    return edges


def outermost(name: str, classes: dict[str, str]) -> str:
    """The top-level class around a class: `a.B` of `a.B$1`, as far as it is known."""
    while name not in classes and "$" in name:
        name = name.rpartition("$")[0]
    return name


def words(files: dict[str, str], classes: dict[str, str]) -> Callable[[str, str], bool]:
    """Whether a file has a word, be it in a comment, that is a class or file name of another."""
    used = {path: set(_WORD.findall(text)) for path, text in files.items()}
    names = defaultdict[str, set[str]](set)
    for name, path in classes.items():
        names[path].add(name.rpartition(".")[2])
    return lambda path, needed: not used[path].isdisjoint(names[needed])


def explain(
    ours: Edges, compiled: Edges, named: Edges, mentions: Callable[[str, str], bool]
) -> None:
    """Prints how many of the differences to jdeps lie in the nature of class files."""
    untraced = (ours & named) - compiled
    inferred = [edge for edge in compiled - ours if not mentions(*edge)]
    print(
        f"  of {len(ours - compiled)} edges that only we have, javac confirms {len(untraced)}; of"
        f" {len(compiled - ours)} that only jdeps has, {len(inferred)} lead to types that the"
        " source never mentions",
        flush=True,
    )


if __name__ == "__main__":
    from benchmarks.oracle_imports import main

    sys.exit(main(["java"]))
