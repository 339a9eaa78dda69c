# SPDX-License-Identifier: Apache-2.0
"""Includes between the files of a repository in C, C++, Objective-C and CUDA.

An include counts as the compiler sees it: not in comments and strings, not in a branch that can
never be taken (`#if 0`, the `#else` of `#if 1`). Branches that depend on the platform all count.
Includes whose name a macro computes, and `__has_include`, do not. A header needs no source: only
what is written in a file counts.

The compiler finds a header in its `-I` folders, the *roots*, which a repository does not tell. They
are looked for where they use to be, and by which files the includes can mean at all:

1. for `"name"`, the folder of the including file, as the standards have it;
2. that folder and those around it, nearest first, and the `include`, `inc` and `src` folders in
   them. For `<name>`, whose own folder is not searched first, all `include` and `inc` folders come
   before any other;
3. the only file of the repository whose path ends with the name;
4. of several such files the nearest; of equally near ones that whose root serves most of the
   repository's includes. Where that does not decide, the include leads nowhere.

Headers of the standard libraries are found in `include` and `inc` folders around the including
file, or not at all: `<string.h>` is not some test's `string.h`. Frameworks' headers (`#import
<Framework/Header.h>`), which lie flat in a framework but not in a repository, may have folders
between the two names. `#include_next` finds what comes after the including file itself.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from posixpath import normpath
from typing import NamedTuple

from coder.data.dependencies.lexing import BLOCK_COMMENT, STRING, Masker

LANGUAGES = ("C", "C++", "Objective-C", "Objective-C++", "Cuda")
PROJECT_FILES = ()

MAX_CANDIDATES = 32
"""Of how many files of one name the nearest is looked for; more of them say nothing."""

# A backslash joins lines even in a line comment.
_LINE_COMMENT = r"(//(?:[^\\\n]++|\\(?:\r\n|(?s:.))?)*+)"
# In `1'000` the apostrophe is part of a number, in `u8'a'` it is not.
_CHARACTERS = (
    r"'(?:(?<![0-9A-Fa-f]')|(?<=\bu8')|(?![0-9A-Fa-f]))((?:[^'\\\r\n]++|\\(?:\r\n|(?s:.)))*+)'?"
)
_RAW_STRING = (
    r'"(?:(?<=\bR")|(?<=\bu8R")|(?<=\b[LuU]R"))(?P<end>[^()\\\s]{0,16})\(((?s:.*?))'
    r'(?:\)(?P=end)"|\Z)'
)
_CODE = Masker(_LINE_COMMENT, BLOCK_COMMENT, _RAW_STRING, STRING, _CHARACTERS)

_SPACE = r"(?:[ \t\f\v]|\\\r?\n)*+"
_DIRECTIVE = re.compile(
    rf"(?m)^[ \t\f\v]*+(?:#|%:){_SPACE}"
    rf"(include_next|include|import|ifn?def|if|elif(?:n?def)?|else|endif)\b{_SPACE}"
)
_REST_OF_LINE = re.compile(r"(?:[^\\\n]++|\\\r?\n|\\)*+")
_NAME = re.compile(r'"([^"\n]+)"|<([^>\n]+)>')
_CONSTANT = re.compile(r"[( \t]*+([01])[) \t\r]*+$", re.MULTILINE)

_HEADERS, _SOURCES = ("include/", "inc/"), "src/"
_SYSTEM_FOLDERS = ("asm/", "bits/", "linux/", "sys/")
# ISO C23, POSIX.1-2017 and what glibc, Windows, macOS and compilers have besides; ISO C++23.
_C_HEADERS = """
    aio aliases alloca ar argp argz arm_neon arpa/inet assert Availability AvailabilityMacros
    byteswap complex conio cpio cpuid crypt ctype direct dirent dlfcn elf emmintrin endian envz
    err errno error execinfo fcntl features features-time64 fenv float fmtmsg fnmatch fstab fts
    ftw gconv getopt glob gnu-versions grp gshadow iconv ifaddrs immintrin intrin inttypes io
    iso646 langinfo lastlog libgen libintl limits link locale malloc math mcheck memory mntent
    monetary mqueue ndbm net/if netdb netinet/in netinet/tcp nl_types nmmintrin nss obstack
    paths pmmintrin poll printf proc_service process pthread pty pwd re_comp regex regexp resolv
    sched search semaphore setjmp sgtty shadow signal smmintrin spawn stab stdalign stdarg
    stdatomic stdbit stdbool stdc-predef stdckdint stddef stdint stdio stdio_ext stdlib
    stdnoreturn string strings stropts syscall sysexits syslog tar TargetConditionals tchar
    termio termios tgmath thread_db threads time tmmintrin trace ttyent uchar ucontext ulimit
    unistd utime utmp utmpx values wait wchar wctype windows winsock winsock2 wordexp ws2tcpip
    x86intrin xmmintrin
"""
_CPP_HEADERS = """
    algorithm any array atomic barrier bit bitset cassert ccomplex cctype cerrno cfenv cfloat
    charconv chrono cinttypes ciso646 climits clocale cmath codecvt compare complex concepts
    condition_variable coroutine csetjmp csignal cstdalign cstdarg cstdbool cstddef cstdint
    cstdio cstdlib cstring ctgmath ctime cuchar cwchar cwctype deque exception execution expected
    filesystem flat_map flat_set format forward_list fstream functional future generator
    initializer_list iomanip ios iosfwd iostream istream iterator latch limits list locale map
    mdspan memory memory_resource mutex new numbers numeric optional ostream print queue random
    ranges ratio regex scoped_allocator semaphore set shared_mutex source_location span spanstream
    sstream stack stacktrace stdexcept stdfloat stop_token streambuf string string_view strstream
    syncstream system_error thread tuple type_traits typeindex typeinfo unordered_map
    unordered_set utility valarray variant vector version
"""
_STANDARD = frozenset([*(f"{name}.h" for name in _C_HEADERS.split()), *_CPP_HEADERS.split()])


class Include(NamedTuple):
    """`#include "name"`, `#include <name>` (angled), `#import`, `#include_next`."""

    name: str
    angled: bool = False
    directive: str = "include"


def build_index(files: Mapping[str, str], project: Mapping[str, str]) -> "Index":
    """Reads the includes of all files and learns from them where headers are looked for."""
    return Index({path: includes_of(text) for path, text in files.items()})


def targets(path: str, text: str, index: "Index") -> set[str]:
    """The files that a file includes."""
    found = (index.target(path, include) for include in index.includes[path])
    return {target for target in found if target is not None}


def includes_of(source: str) -> list[Include]:
    """The includes of a source, in branches that can be taken; slashes in names lean forward."""
    last = max(source.rfind("include"), source.rfind("import"))
    if last < 0:
        return []
    rest = _REST_OF_LINE.match(source, last)
    code = _CODE.mask(source[: rest.end() if rest else last])
    found = []
    branches = [(True, False)]  # of each open #if: may be taken; another branch always is
    for directive in _DIRECTIVE.finditer(code):
        word = directive[1]
        if word in ("include", "import", "include_next"):
            name = _NAME.match(source, directive.end())
            if name and branches[-1][0]:
                path = (name[1] or name[2]).strip().replace("\\", "/")
                found.append(Include(path, name[1] is None, word))
        elif word == "endif":
            if len(branches) > 1:
                branches.pop()
        else:
            constant = _CONSTANT.match(code, directive.end()) if word in ("if", "elif") else None
            value = constant[1] if constant else None
            outer, decided = branches[-1][0], False
            if word.startswith("el"):
                if len(branches) == 1:
                    continue
                decided = branches.pop()[1]
                outer = branches[-1][0]
            branches.append((outer and not decided and value != "0", decided or value == "1"))
    return found


class Index:
    """Where the headers of a repository lie. Folders end with a slash; the repository is empty."""

    def __init__(self, includes: Mapping[str, list[Include]]) -> None:
        """Indexes the files that `includes` names."""
        self.includes = includes
        self._known: dict[tuple[str, str, bool], str | None] = {}
        self._around: dict[str, list[str]] = {}
        self._candidates = self._files_by_ending()
        self._uses = self._uses_of_roots()

    def _files_by_ending(self) -> dict[str, list[str]]:
        """For each name that is included, the files whose path ends with it."""
        wanted = set[str]()
        for found in self.includes.values():
            for include in found:
                name = _tidy(include.name)
                wanted.add(name)
                if include.directive == "import":
                    wanted.add(name.partition("/")[2])
        wanted.discard("")
        ending_with = defaultdict[str, list[str]](list)
        for path in sorted(self.includes):
            for ending in _endings(path):
                if ending in wanted:
                    ending_with[ending].append(path)
        return dict(ending_with)

    def _uses_of_roots(self) -> Counter[str]:
        """How many files find headers from a root that is certain: one where only one can be."""
        uses = Counter[str]()
        for path, found in self.includes.items():
            folder, roots = _folder(path), set[str]()
            for written, angled, _ in found:
                if not angled and _join(folder, written) in self.includes:
                    continue
                name = _tidy(written)
                if target := self._around_or_only(folder, name, angled):
                    roots.add(target.removesuffix(name))
            uses.update(roots)
        return uses

    def target(self, path: str, include: Include) -> str | None:
        """The file that an include in `path` means; None: none of the repository."""
        written, angled, directive = include
        folder, name = _folder(path), _tidy(written)
        if directive == "include_next":
            in_roots = self._in_roots(folder, name, angled=True)
            return next((found for found in in_roots if found != path), None)
        if not angled and (beside := _join(folder, written)) in self.includes:
            return beside
        found = self._around_or_only(folder, name, angled) or self._nearest(folder, name, angled)
        if found is None and directive == "import" and angled:
            return self._in_framework(*name.split("/", 1)) if "/" in name else None
        return found

    def _around_or_only(self, folder: str, name: str, angled: bool) -> str | None:
        """The file in a root around the folder, or else the only one whose path so ends."""
        key = folder, name, angled
        if key not in self._known:
            found = next(self._in_roots(folder, name, angled), None)
            if found is None and not (angled and _is_standard(name)):
                candidates = self._candidates.get(name, ())
                found = candidates[0] if len(candidates) == 1 else None
            self._known[key] = found
        return self._known[key]

    def _in_roots(self, folder: str, name: str, angled: bool) -> Iterator[str]:
        """What roots around a folder hold by this name, best first."""
        if name not in self._candidates:
            return
        around = self._around.get(folder)
        if around is None:
            around = self._around[folder] = list(_upwards(folder))
        if not angled:
            roots = [f"{outer}{inner}" for outer in around for inner in ("", *_HEADERS, _SOURCES)]
        else:
            roots = [f"{outer}{inner}" for outer in around for inner in _HEADERS]
            if not _is_standard(name):
                roots += [*(f"{outer}{_SOURCES}" for outer in around), *around]
        for root in roots:
            if root + name in self.includes:
                yield root + name

    def _nearest(self, folder: str, name: str, angled: bool) -> str | None:
        """The candidate nearest to a folder, of equally near ones that of the root in most use."""
        candidates = self._candidates.get(name, ())
        if not 1 < len(candidates) <= MAX_CANDIDATES or (angled and _is_standard(name)):
            return None
        ranked = sorted(
            (_shared(folder, path), self._uses[path.removesuffix(name)], path)
            for path in candidates
        )
        return ranked[-1][2] if ranked[-1][:2] > ranked[-2][:2] else None

    def _in_framework(self, framework: str, header: str) -> str | None:
        """The only file of this name at any depth below a folder named like the framework."""
        candidates = self._candidates.get(header, ())[:MAX_CANDIDATES]
        inside = [path for path in candidates if f"/{framework}/" in f"/{path}"]
        return inside[0] if len(inside) == 1 else None


def _is_standard(name: str) -> bool:
    return name in _STANDARD or name.startswith(_SYSTEM_FOLDERS)


def _tidy(name: str) -> str:
    """A name without `.` and `..`; empty: it leads out of the folder it is looked up in.

    Roots are not known well enough to look beside them.
    """
    return _join("", name)


def _join(folder: str, name: str) -> str:
    """The path of a name in a folder; empty: out of the repository."""
    if name.startswith("/"):
        return ""
    path = folder + name
    if "./" in path or "//" in path:
        path = normpath(path)
    return "" if path.startswith("../") else path


def _folder(path: str) -> str:
    return path[: path.rfind("/") + 1]


def _upwards(folder: str) -> Iterator[str]:
    """A folder and those around it."""
    yield folder
    while folder:
        folder = folder[: folder.rfind("/", 0, -1) + 1]
        yield folder


def _endings(path: str) -> Iterator[str]:
    """The path from each of its folders on."""
    yield path
    at = path.find("/")
    while at >= 0:
        yield path[at + 1 :]
        at = path.find("/", at + 1)


def _shared(folder: str, path: str) -> int:
    """How many of the folders around a file are also around another."""
    shared = 0
    for own, other in zip(folder.split("/"), path.split("/")[:-1], strict=False):
        if own != other or not own:
            break
        shared += 1
    return shared
