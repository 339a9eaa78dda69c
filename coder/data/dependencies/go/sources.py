# SPDX-License-Identifier: Apache-2.0
"""What is read of one Go file: its package, its imports, the names it declares and uses."""

import re
from dataclasses import dataclass

from coder.data.dependencies.lexing import (
    BLOCK_COMMENT,
    CHARACTERS,
    LINE_COMMENT,
    STRING,
    Masker,
)

_CODE = Masker(LINE_COMMENT, BLOCK_COMMENT, "`([^`]*+)`?", STRING, CHARACTERS)
_PACKAGE = re.compile(r"\bpackage\s+([^\W\d]\w*)")
_IMPORT = re.compile(r"\bimport\b\s*+(?:\([^)]*+|[^\s\"`;]*+[ \t]*+[\"`] *+[\"`])")
_IMPORTED = re.compile(r"(?:(?<![\w.])([\w.]++)[ \t]*+)?((?P<quote>[\"`]) *+(?P=quote))")
_IGNORED = re.compile(r"(?m)^//(?:go:build|[ \t]*\+build)\b.*\bignore\b")

# Lists of names are cut: each of a million names in a row may otherwise begin a list to the end.
_TOKEN = re.compile(r"[(\[{]|[)\]}]|[\n;]|\b(?:func|type|var|const)\b")
_FUNCTION = re.compile(r"\s*+([^\W\d]\w*+)\s*+[(\[]")
_GROUP = re.compile(r"\s*+\(")
_NAMES = re.compile(r"[ \t]*+([^\W\d]\w*+(?:[ \t]*+,\s*+[^\W\d]\w*+){0,63}+)")
# Two names in a row are a declaration (`name Type`, `Type *T`) if the first is no keyword.
_BEFORE_TYPE = r"[ \t]++(?=\*?[\w\[]|\.\.\.)"
# No uses are the package's name, names after a dot (but `...T` is one), methods' names after their
# receivers, and exported names of fields before their types.
_USE = re.compile(
    r"\bpackage\s+\w+|\.\.\.|\.\s*+\w++|\)[ \t]*+\w++(?=\()|\d\w*+"
    rf"|[A-Z]\w*+{_BEFORE_TYPE}|([^\W\d]\w*+)"
)
_LOCAL = re.compile(
    r"((?<![.\w])[^\W\d]\w*+(?:[ \t]*+,[ \t]*+[^\W\d]\w*+){0,7}+)[ \t]*+:="
    rf"|\b([^\W\dA-Z]\w*+){_BEFORE_TYPE}"
)

_QUALIFIED = re.compile(r"(?<![.\w])([^\W\d]\w*+)[ \t]*+\.\s*+([^\W\d]\w*+)")

_SYSTEMS = frozenset(
    """aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9
    solaris wasip1 windows zos""".split()
)
_PROCESSORS = frozenset(
    """386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x sparc64
    wasm""".split()
)
# The first is built with the files of the second too.
_KINDRED = {"android": "linux", "illumos": "solaris", "ios": "darwin"}


@dataclass(frozen=True)
class Source:
    """What the rest of a repository has to know of a file."""

    folder: str
    """Ends with a slash; the repository itself is empty."""
    package: str
    imports: tuple[tuple[str, str], ...]
    """The name that the file gives to a package, if any (`_` and `.` included), and its path."""
    declared: frozenset[str]
    is_test: bool
    alone: bool
    """Whether go leaves it out of its folder's package."""
    system: str
    """The operating system that its name says it is for; empty: all."""
    processor: str


def read(path: str, text: str) -> Source:
    """Reads what a file says of itself, and what its name does."""
    code = mask(text)
    package = _PACKAGE.search(code)
    imports = [
        (named[1] or "", text[named.start(2) + 1 : named.end(2) - 1])
        for found in _IMPORT.finditer(code)
        for named in _IMPORTED.finditer(code, found.start() + len("import"), found.end())
    ]
    folder, _, name = path.rpartition("/")
    head = text[: package.start() if package else 0]
    is_test = name.endswith("_test.go")
    system, processor = _platform(name.removesuffix("_test.go" if is_test else ".go"))
    return Source(
        f"{folder}/" if folder else "",
        package[1] if package else "",
        tuple(imports),
        frozenset(_declared(code)),
        is_test,
        name.startswith(("_", ".")) or _IGNORED.search(head) is not None,
        system,
        processor,
    )


def mask(text: str) -> str:
    """The code of a source: blanks for what comments and strings hold."""
    return _CODE.mask(text)


def qualified(code: str) -> dict[str, set[str]]:
    """What may be the names of packages in masked code to the names used of them (`fmt.Print`)."""
    found = dict[str, set[str]]()
    for package, name in _QUALIFIED.findall(code):
        found.setdefault(package, set()).add(name)
    return found


def used(code: str) -> set[str]:
    """The names in masked code that may be the package's: not after dots, not local."""
    local = {
        name.strip()
        for assigned, typed in _LOCAL.findall(code)
        for name in (assigned.split(",") if assigned else (typed,))
    }
    return set(_USE.findall(code)) - local


def can_meet(user: Source, other: Source) -> bool:
    """Whether two files of a package, by their names, are ever built together for the user."""
    if other.is_test and not user.is_test:
        return False
    same_processor = not user.processor or other.processor in ("", user.processor)
    systems = ("", user.system, _KINDRED.get(user.system))
    same_system = (
        not user.system or other.system in systems or _KINDRED.get(other.system) == user.system
    )
    return same_processor and same_system


def _platform(stem: str) -> tuple[str, str]:
    """System and processor at the end of a file name (`x_GOOS_GOARCH`), as go reads it."""
    words = stem.split("_")[1:]
    processor = words.pop() if words and words[-1] in _PROCESSORS else ""
    return (words[-1] if words and words[-1] in _SYSTEMS else ""), processor


def _declared(code: str) -> set[str]:
    """The names that masked code declares for its package; methods have none."""
    names = list[str]()
    depth, in_group, line_start, ended = 0, False, 0, True
    for token in _TOKEN.finditer(code):
        word, found = token[0], None
        if word in "([{":
            depth += 1
        elif word in ")]}":
            depth = max(0, depth - 1)
            in_group = in_group and depth > 0
        elif word in "\n;":
            if line := code[line_start : token.start()].rstrip():
                # Where the end of a line is that of a statement, and after `var (`.
                ended = word == ";" or line[-1].isalnum() or line[-1] in "_)]}\"'`("
            line_start = token.end()
            if in_group and depth == 1 and ended:
                found = _NAMES.match(code, token.end())
        elif depth == 0 and word == "func":
            found = _FUNCTION.match(code, token.end())
        elif depth == 0:
            group = _GROUP.match(code, token.end())
            in_group = group is not None
            found = _NAMES.match(code, group.end() if group else token.end())
        if found:
            names += found[1].split(",")
    return {name.strip() for name in names} - {"_", "init", "main"}
