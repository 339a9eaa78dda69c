# SPDX-License-Identifier: Apache-2.0
"""Imports between the Python files of a repository, from their syntax trees; nothing is imported.

Every `import` counts, wherever it stands: in functions, `try`, `if TYPE_CHECKING`. Imports by name
(`importlib.import_module`) do not. A file that Python cannot parse has no dependencies.

An absolute import is looked up from the *root* of the importing file, the folder that holds its
outermost package, then where other packages of that name lie, nearest first. Packages are seen even
if their `__init__.py` is missing: namespace packages have none, and empty files do not come here.
"""

import ast
import os.path
import threading
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

MAX_SOURCE = 1 << 20
"""Longest source, in characters, that is parsed."""

_STACK_BYTES = 64 << 20
_PARSER = threading.Lock()
# What a module's name may stand for: the first that exists, as Python has it, and stubs last.
_ENDINGS = ("/__init__.py", ".py", ".pyw", "/__init__.pyi", ".pyi")


@dataclass(frozen=True)
class Import:
    """`from ..module import names` (level 2); `import a.b` is taken for `from a import b`."""

    module: str
    names: tuple[str, ...] = ()
    level: int = 0


def resolve(files: Mapping[str, str]) -> tuple[dict[str, set[str]], set[str]]:
    """The import graph of a repository.

    Args:
        files: path to text of its Python files.

    Returns:
        File to the files that it imports (only those that import any), and the files that Python
        cannot parse.
    """
    imports = _imports_of_all(files)
    index = _Index(imports)
    edges = {}
    for path, found in imports.items():
        needed = {target for statement in found or () for target in index.targets(path, statement)}
        needed.discard(path)
        if needed:
            edges[path] = needed
    return edges, {path for path, found in imports.items() if found is None}


def _imports_of_all(files: Mapping[str, str]) -> dict[str, list[Import] | None]:
    """The imports of each file; None: not parsed.

    CPython's parser recurses on the C stack. On the small one of some threads, thousands of nested
    `not` or `lambda` kill the process; with 8 MB or more, its own limits raise an exception first.
    """
    with _PARSER:  # the size of new stacks and the filters of warnings belong to all threads
        previous = threading.stack_size(_STACK_BYTES)
        try:
            with ThreadPoolExecutor(1, "parse-imports") as thread:
                return thread.submit(_parse_all, files).result()
        finally:
            threading.stack_size(previous)


def _parse_all(files: Mapping[str, str]) -> dict[str, list[Import] | None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a doubtful escape in a source is its author's business
        return {path: imports_of(text) for path, text in files.items()}


def imports_of(source: str) -> list[Import] | None:
    """The import statements of a source; None if Python cannot parse it."""
    if "import" not in source:
        return []
    if len(source) > MAX_SOURCE:
        return None
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    except (RecursionError, MemoryError):  # how the parser says: nested too deeply
        return None
    found = []
    for node in _statements(tree.body):
        if isinstance(node, ast.Import):
            found += [_plain_import(alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            found.append(Import(node.module or "", names, node.level))
    return found


def _plain_import(name: str) -> Import:
    package, dot, module = name.rpartition(".")
    return Import(package, (module,)) if dot else Import(name)


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements, nested ones too; expressions are not walked, which is most of the tree."""
    stack: list[ast.AST] = list(body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.stmt):
            yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            stack.extend(getattr(node, part, ()))


class _Index:
    """Where the modules of a repository lie.

    Modules and folders are paths with a slash before each part and without ending: `/src/package`
    is a folder and, with its `__init__.py`, a module. The repository itself is the empty string.
    """

    def __init__(self, imports: Mapping[str, list[Import] | None]) -> None:
        """Indexes the files that `imports` names."""
        ranked = sorted(
            (rank, f"/{path}".removesuffix(ending), path)
            for path in imports
            for rank, ending in enumerate(_ENDINGS)
            if f"/{path}".endswith(ending)
        )
        self._path_of: dict[str, str] = {}
        for _, module, path in ranked:
            self._path_of.setdefault(module, path)
        self._root_of: dict[str, str] = {}
        self._roots_with = defaultdict[str, list[str]](list)
        self._find_roots(
            {folder for path in imports for folder in _upwards(_folder(path))}, imports
        )

    def _find_roots(self, folders: set[str], imports: Mapping[str, list[Import] | None]) -> None:
        """Sets the root of every folder, and the roots below which a package name is found."""
        packages, inside = _packages(folders, imports), set[str]()
        for folder in sorted(folders):  # a folder comes before those in it
            parent, _, name = folder.rpartition("/")
            if parent in inside:
                inside.add(folder)
                self._root_of[folder] = self._root_of[parent]
            elif folder in packages:
                inside.add(folder)
                self._root_of[folder] = parent
                self._roots_with[name].append(parent)
            else:
                self._root_of[folder] = folder  # of scripts, which import their neighbours by name

    def targets(self, path: str, statement: Import) -> set[str]:
        """The files that an import statement in `path` needs; none if they lie elsewhere.

        These are the modules among the imported names, and for the other names the module they are
        taken from. The packages around a module, which Python runs before it, do not count.
        """
        parts = [part for part in statement.module.split(".") if part]
        for base in self._bases(_folder(path), statement):
            if found := self._named("/".join((base, *parts)), statement.names):
                return found
        return set()

    def _bases(self, folder: str, statement: Import) -> Iterator[str]:
        """The folders where the first part of an import's module may lie, by preference."""
        if statement.level > 0:
            yield from list(_upwards(folder))[statement.level - 1 : statement.level]
            return
        yield from _upwards(self._root_of[folder])
        yield from sorted(
            self._roots_with.get(statement.module.partition(".")[0], ()),
            key=lambda other: (-len(os.path.commonprefix((folder, other))), other),
        )

    def _named(self, module: str, names: tuple[str, ...]) -> set[str]:
        """The files of the modules among `names` in `module`, and its own for the other names."""
        whole = self._path_of.get(module)
        wanted = [self._path_of.get(f"{module}/{name}", whole) for name in names] or [whole]
        return {path for path in wanted if path is not None}


def _folder(path: str) -> str:
    """The folder that holds a file."""
    return f"/{path}".rpartition("/")[0]


def _upwards(folder: str) -> Iterator[str]:
    """A folder and those around it, up to the repository itself."""
    yield folder
    while folder:
        folder = folder.rpartition("/")[0]
        yield folder


def _packages(folders: set[str], imports: Mapping[str, list[Import] | None]) -> set[str]:
    """Folders that are packages by their `__init__.py`, by a relative import in them or by name.

    By name: their name begins an absolute import somewhere in the repository.
    """
    packages, imported = set[str](), set[str]()
    for path, found in imports.items():
        above = list(_upwards(_folder(path)))
        if path.rpartition("/")[2] in ("__init__.py", "__init__.pyi"):
            packages.add(above[0])
        for statement in found or ():
            packages.update(above[: statement.level])
            if statement.level == 0:
                imported.add(statement.module.partition(".")[0])
    packages |= {folder for folder in folders if folder.rpartition("/")[2] in imported}
    return packages - {""}
