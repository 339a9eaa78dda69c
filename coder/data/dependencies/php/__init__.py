# SPDX-License-Identifier: Apache-2.0
r"""Dependencies between PHP files: the classes they name, the files they require.

Classes are found by what files declare, whatever loads them; where several declare one, Composer's
autoloader decides (PSR-4, PSR-0, class maps), then nearness. Functions count where they are named
by `use function` or with a namespace, and those of Composer's `files` by their bare name too.
`require` and `include` count if their path is written out: from `__DIR__`, or relative, which means
the folder of the file or the nearest one above it that has such a file.
"""

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Mapping

from coder.data.dependencies.nearest import Parts, nearest
from coder.data.dependencies.paths import join, upwards
from coder.data.dependencies.php.composer import Autoload
from coder.data.dependencies.php.source import Source, read

LANGUAGES = ("PHP",)
PROJECT_FILES = ("composer.json",)


def build_index(files: Mapping[str, str], project: Mapping[str, str]) -> "Index":
    """Reads the PHP files of a repository and notes what each of them declares."""
    sources = {path: read(path, text) for path, text in files.items()}
    return Index(sources, Autoload(project))


def targets(path: str, text: str, index: "Index") -> set[str]:
    """The files that declare what a file names, and those that it requires."""
    return index.targets(path)


class Index:
    """Which file declares what."""

    def __init__(self, sources: Mapping[str, Source], autoload: Autoload) -> None:
        """Indexes the files that `sources` names."""
        self._sources = sources
        self._autoload = autoload
        self._classes = _Declared((path, source.classes) for path, source in sources.items())
        self._functions = _Declared((path, source.functions) for path, source in sources.items())
        self._constants = _Declared((path, source.constants) for path, source in sources.items())
        self._always_loaded = _Declared(
            (path, sources[path].functions) for path in autoload.files if path in sources
        )

    def targets(self, path: str) -> set[str]:
        """The files of the repository that a file needs."""
        source = self._sources[path]
        found = {self._class(path, name) for name in source.used_classes}
        found |= {self._functions.nearest(path, name) for name in source.used_functions}
        found |= {self._constants.nearest(path, name) for name in source.used_constants}
        found |= {self._called(path, *names) for names in source.called}
        found |= {self._required(path, *required) for required in source.required}
        return {target for target in found if target is not None}

    def _class(self, path: str, name: str) -> str | None:
        """The file of a class."""
        found = self._classes.nearest(path, name)
        if found is None:  # it may come from `class_alias`
            return self._autoload.find(name, self._sources)
        if found == path or self._classes.is_of_one_file(name):
            return found
        place = self._autoload.find(name, self._sources)
        return place if place is not None else found

    def _called(self, path: str, here: str, bare: str) -> str | None:
        """The file of a function that is called by its bare name."""
        if here in self._sources[path].functions:
            return path
        return self._always_loaded.nearest(path, here) or self._always_loaded.nearest(path, bare)

    def _required(self, path: str, absolute: bool, required: str) -> str | None:
        """The file of a path in `require`."""
        if absolute:
            return required if required in self._sources else None
        places = (join(folder, required) for folder in upwards(posixpath.dirname(path)))
        return next((place for place in places if place in self._sources), None)


class _Declared:
    """Names, in which PHP does not tell cases apart, and the files that declare them."""

    def __init__(self, declarations: Iterable[tuple[str, Iterable[str]]]) -> None:
        self._paths = defaultdict[str, list[Parts]](list)
        for path, names in sorted(
            (tuple(path.split("/")), {name.lower() for name in names})
            for path, names in declarations
        ):
            for name in names:
                self._paths[name].append(path)

    def is_of_one_file(self, name: str) -> bool:
        """Whether a single file declares a name."""
        return len(self._paths.get(name.lower(), ())) == 1

    def nearest(self, path: str, name: str) -> str | None:
        """The file that declares a name and shares most folders with `path`."""
        declaring = self._paths.get(name.lower())
        return nearest(tuple(path.split("/")), declaring, 1)[0] if declaring else None
