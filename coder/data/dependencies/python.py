# SPDX-License-Identifier: Apache-2.0
"""Imports between the Python files of a repository; nothing is parsed, nothing is imported.

Every `import` counts, wherever it stands: in functions, `try`, `if TYPE_CHECKING`. Imports by name
(`importlib.import_module`) do not. A file with a string that is never closed has no dependencies.

An absolute import is looked up from the *root* of the importing file, the folder that holds its
outermost package, then where other packages of that name lie, nearest first. Packages are seen even
if their `__init__.py` is missing: namespace packages have none, and empty files do not come here.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from coder.data.dependencies.nearest import Parts, nearest, parts_of
from coder.data.dependencies.python_imports import Import, imports_of

LANGUAGES = ("Python",)
PROJECT_FILES = ()

# What a module's name may stand for: the first that exists, as Python has it, and stubs last.
_ENDINGS = ("/__init__.py", ".py", ".pyw", "/__init__.pyi", ".pyi")


def build_index(files: Mapping[str, str], project: Mapping[str, str]) -> "Index":
    """Reads the imports of a repository's Python files and notes where its modules lie."""
    return Index({path: imports_of(text) for path, text in files.items()})


def targets(path: str, text: str, index: "Index") -> set[str] | None:
    """The files that a file imports; None if a string in it is never closed."""
    found = index.imports[path]
    if found is None:
        return None
    return {target for statement in set(found) for target in index.targets(path, statement)}


class Index:
    """Where the modules of a repository lie.

    Modules and folders are paths with a slash before each part and without ending: `/src/package`
    is a folder and, with its `__init__.py`, a module. The repository itself is the empty string.
    """

    def __init__(self, imports: Mapping[str, list[Import] | None]) -> None:
        """Indexes the files that `imports` names."""
        self.imports = imports
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
        folders = {folder for path in imports for folder in _upwards(_folder(path))}
        self._roots_with = self._find_roots(folders, _packages(folders, imports))
        self._places = folders | self._path_of.keys()
        self._above: dict[tuple[str, str], list[str]] = {}

    def _find_roots(self, folders: set[str], packages: set[str]) -> dict[str, list[Parts]]:
        """Sets the root of every folder; returns from which roots a module of a package is seen."""
        inside = set[str]()
        for folder in sorted(folders):  # a folder comes before those in it
            parent = folder.rpartition("/")[0]
            if parent in inside or folder in packages:
                inside.add(folder)
                self._root_of[folder] = self._root_of[parent] if parent in inside else parent
            else:
                self._root_of[folder] = folder  # of scripts, which import their neighbours by name
        roots_with = defaultdict[str, set[str]](set)
        for module, path in self._path_of.items():
            if _folder(path) in inside:
                root = self._root_of[_folder(path)]
                roots_with[module.removeprefix(root)].add(root)
        return {module: parts_of(roots) for module, roots in roots_with.items()}

    def targets(self, path: str, statement: Import) -> set[str]:
        """The files that an import statement in `path` needs; none if they lie elsewhere.

        These are the modules among the imported names, and for the other names the module they are
        taken from. The packages around a module, which Python runs before it, do not count.
        """
        name = "".join(f"/{part}" for part in statement.module.split(".") if part)
        for base in self._bases(_folder(path), statement, name):
            if found := self._named(base + name, statement.names):
                return found
        return set()

    def _bases(self, folder: str, statement: Import, name: str) -> Iterator[str]:
        """The folders where an import's module may lie, by preference."""
        here = tuple(folder.split("/"))
        if statement.level > 0:
            if statement.level <= len(here):
                yield "/".join(here[: len(here) - statement.level + 1])
            return
        yield from self._with_name(self._root_of[folder], statement.module.partition(".")[0])
        modules = (name, *(f"{name}/{imported}" for imported in statement.names))
        seen = [roots for module in modules if (roots := self._roots_with.get(module))]
        found = [root for roots in seen for root in nearest(here, roots, 1)]
        if found:
            yield from nearest(here, parts_of(found), 1)

    def _with_name(self, folder: str, name: str) -> list[str]:
        """A folder and those around it, if they hold a module or a folder of this name."""
        key = folder, name
        if key not in self._above:
            self._above[key] = [at for at in _upwards(folder) if f"{at}/{name}" in self._places]
        return self._above[key]

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
        packages.update(above[: max((statement.level for statement in found or ()), default=0)])
        for statement in found or ():
            if statement.level == 0:
                imported.add(statement.module.partition(".")[0])
    packages |= {folder for folder in folders if folder.rpartition("/")[2] in imported}
    return packages - {""}
