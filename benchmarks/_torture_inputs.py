# SPDX-License-Identifier: Apache-2.0
"""Hostile inputs for `benchmarks.torture`: real files, damaged, and texts of nothing but syntax.

Every input is a pure function of a seed, so that a number is enough to make it again.
"""

import random
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path

LIMIT = 1 << 20
"""Bytes of the longest input: a longer file never gets as far as these readers."""
GIANT_SHARE = 0.01
"""Share of inputs that are as long as that; the others have a few KiB."""

# What the lexers and resolvers of all families treat in ways of its own.
TOKENS = (
    "import from include #include #import using namespace package use mod crate:: self:: super:: "
    "require require_relative require_once export default as static global func type struct class "
    "extends implements interface impl trait enum def end do if endif #if #endif #define pub fn "
    "let const var = == => -> :: : ; , . .. ... / \\ | & ! ? @ # $ % ^ ~ ` ' \" < > << >> "
    "''' \"\"\" "
    '<<< <<~EOS <<\'X\' /* */ // -- --> <!-- #! =begin =end __END__ ( ) [ ] { } ${ #{ $" @" r#" "# '
    'r##" f" f\' {{ }} %w( %q{ %r/ <?php ?> <script> </script> <template> <style> <div> </div> a b '
    "c a.b a/b ./a ../a a::b a\\b com.example App main T x1 0 1.5 0x1F é 中 \ufeff \u2028 \u00a0 "
    "go.mod module replace exports paths baseUrl workspaces \\n \\u0041 \\x -*- vim: ft= mode: "
    "SPDX-License-Identifier: MIT OR AND WITH <?xml version= yield await async lambda case when"
).split()
SPACES = (" ", " ", " ", "\n", "\n", "\t", "\r\n", "", "", "\\\n", "\r", "\f")

ENDINGS = (
    "py pyi c h cpp hpp m mm cu java kt scala cs js mjs ts tsx jsx vue svelte go rs php rb json "
    "yaml yml html xml xslt md css sql sh pl v ts pas f lua r jl hs ml erl ex clj lisp tex toml "
    "ini cfg txt gradle cmake dockerfile d.ts min.js lock ipynb inc t fs mod"
).split()


def make(seed: str) -> bytes:
    """A hostile input."""
    rng = random.Random(seed)
    if rng.random() < GIANT_SHARE:
        return _giant(rng)
    content = rng.choice((_real, _real, _real, _tokens, _tokens, _noise))(rng)
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        content = rng.choice(_DAMAGES)(rng, content)
    return content[:LIMIT]


def text_of(content: bytes) -> str:
    """An input as a reader of texts gets it: the pipeline lets through nothing but UTF-8."""
    return content.decode("utf-8", "ignore").replace("\0", "")


def name(seed: str) -> str:
    """A path for an input."""
    rng = random.Random(seed)
    parts = [
        rng.choice(("a", "b", "src", "p", "com", "lib", "é", "node_modules", "x y", "..", "-"))
    ]
    parts = parts * rng.choice((0, 0, 1, 1, 2, 40)) + [
        rng.choice(("a", "b", "index", "mod", "App"))
    ]
    return "/".join(parts) + "." + rng.choice(ENDINGS)


@cache
def real_files() -> list[Path]:
    """Text files of the installed packages, of all kinds, not too long, in a stable order."""
    root = Path(sysconfig.get_paths()["purelib"])
    by_ending: dict[str, list[Path]] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix not in ("", ".pyc", ".so") and path.is_file():
            by_ending.setdefault(path.suffix, []).append(path)
    chosen = [path for paths in by_ending.values() for path in paths[:: len(paths) // 40 + 1]]
    return [path for path in chosen if 0 < path.stat().st_size < 30_000]


def _real(rng: random.Random) -> bytes:
    content = rng.choice(real_files()).read_bytes()
    start = rng.choice((0, 0, rng.randrange(len(content))))
    return content[start : start + rng.choice((500, 4000, 30_000))]


def _tokens(rng: random.Random) -> bytes:
    chosen = rng.sample(TOKENS, rng.choice((3, 10, 40)))
    count = rng.choice((5, 50, 500))
    return "".join(rng.choice(chosen) + rng.choice(SPACES) for _ in range(count)).encode()


def _noise(rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        return rng.randbytes(rng.choice((1, 10, 1000)))
    letters = [chr(rng.choice((rng.randrange(128), rng.randrange(0xD800)))) for _ in range(300)]
    return "".join(letters).encode()


def _giant(rng: random.Random) -> bytes:
    """A mebibyte of one thing over and over, with something before and behind it."""
    unit = "".join(
        rng.choice(TOKENS) + rng.choice(SPACES) for _ in range(rng.choice((1, 1, 1, 2, 3, 8)))
    )
    before, after = _tokens(rng)[:2000], _tokens(rng)[:2000]
    filling = unit.encode() or b"("
    if rng.random() < 0.2:
        filling = _real(rng)
    times = (LIMIT - len(before) - len(after)) // len(filling)
    return before + filling * times + after


def _flip_bits(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 3, 30)) if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _truncate(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _splice(rng: random.Random, content: bytes) -> bytes:
    return _truncate(rng, content) + rng.choice((_real, _tokens))(rng)


def _repeat_chunk(rng: random.Random, content: bytes) -> bytes:
    start = rng.randrange(len(content) + 1)
    chunk = content[start : start + rng.choice((1, 10, 200))]
    return content[:start] + chunk * rng.choice((2, 10, 200)) + content[start:]


def _insert(rng: random.Random, content: bytes) -> bytes:
    """Nesting, a long line, NULs, broken UTF-8 or a token, at some place."""
    start = rng.randrange(len(content) + 1)
    bomb = rng.choice((b"(", b"[{", b"<div>", b'"', b"'", b"/*", b"{", b"not ", b"x.", b"\\", b"!"))
    inserted = rng.choice(
        (
            bomb * rng.choice((1, 300, 3000)),
            b"x" * rng.choice((999, 1001, 20_000)),
            b"\0" * rng.choice((1, 100)),
            rng.choice((b"\xc3", b"\xed\xa0\x80", b"\xff\xfe", b"\xf0\x9f", b"\xe2\x80\xa8")),
            rng.choice(TOKENS).encode(),
        )
    )
    return content[:start] + inserted + content[start:]


_DAMAGES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _flip_bits,
    _truncate,
    _splice,
    _repeat_chunk,
    _insert,
    _insert,
)
