# SPDX-License-Identifier: Apache-2.0
"""The language of a file, by Linguist's strategies in Linguist's order.

Modeline, file name, shebang, extension, XML declaration, manual page, heuristics: each narrows the
candidates of those before, and the first to leave one decides. Where several are left, Linguist
asks a Bayesian classifier that was trained on samples; here a fixed order decides instead
(`likeliest`), which needs no 2.6 MB of counts and is the same for the same name in every release.

Linguist looks at a file's bytes and first asks whether they are text; here the text is given, less
its byte order mark.
"""

import functools
import re

from coder.data.linguist.heuristics import by_content
from coder.data.linguist.modeline import by_modeline, first_lines
from coder.data.linguist.shebang import by_interpreter
from coder.data.linguist.tables import base_name, tables

_MANUAL_PAGE = re.compile(
    r"\.(?:[1-9](?![0-9])[a-z_0-9]*|0p|n|man|mdoc)(?:\.in)?$", re.ASCII | re.IGNORECASE
)
_MANUAL_LANGUAGES = ("Roff", "Roff Manpage")
_PREFERRED = {".cfg": "INI", ".f": "Fortran", ".v": "Verilog"}
LONGEST_NAME = 255
"""Characters of a file's name (not its path), from the end, that count; file systems allow 255."""

BINARY_EXTENSIONS = frozenset(
    """
    .7z .a .aac .aiff .apk .app .arrow .avi .avif .avro .beam .bin .bmp .bz2 .cab .ckpt .class
    .crx .cubin .db .deb .dex .dll .dmg .doc .docx .dylib .ear .egg .elf .eot .exe .fatbin
    .feather .flac .flv .gem .gif .gz .h5 .hdf5 .heic .hex .icns .ico .img .iso .jar .joblib
    .jpeg .jpg .keystore .ko .lib .lz .lz4 .lzma .m4a .m4v .mdb .mkv .mov .mp3 .mp4 .mpeg .mpg
    .msi .nexe .npy .npz .nupkg .o .odp .ods .odt .ogg .ogv .onnx .opus .otf .parquet .pdb .pdf
    .pickle .png .ppt .pptx .psd .pth .pyc .pyd .pyo .rar .rda .rdata .rds .rpm .safetensors .so
    .sqlite .sqlite3 .swf .tar .tbz2 .tfrecord .tgz .tif .tiff .ttc .ttf .txz .war .wasm .wav
    .webm .webp .whl .wma .wmv .woff .woff2 .xcf .xls .xlsx .xpi .xz .zip .zst
    """.split()
)
"""Extensions of formats that are no text; Linguist gives none of them to a language."""


def is_possible(path: str) -> bool:
    """Whether a file of this name may have a language at all.

    Only `BINARY_EXTENSIONS` have none. Any other name may: a modeline or a shebang in the file
    overrules its extension.
    """
    name = _name(path)
    return name[name.rfind(".") :].lower() not in BINARY_EXTENSIONS if "." in name else True


def language(path: str, text: str) -> str | None:
    """Linguist's name of the file's language; None: it knows none, or the file is empty.

    Args:
        path: of the file, `/` between folders; only the part after the last counts.
        text: of the file; at most 50 KiB and a few lines at either end are looked at.
    """
    if not text:
        return None
    named = by_modeline(text)
    if named is not None:
        return named
    name = _name(path)
    candidates = _narrowed((), tables().by_filename.get(name, ()))
    if len(candidates) != 1 and text.startswith("#!"):
        candidates = _narrowed(candidates, by_interpreter(text))
    if len(candidates) != 1:
        candidates = _narrowed(candidates, by_extension(name))
    if not candidates and any("xml version=" in line for line in first_lines(text, 2)):
        return "XML"
    if not candidates and _MANUAL_PAGE.search(name):
        candidates = _MANUAL_LANGUAGES
    if len(candidates) != 1:
        candidates = by_content(name[name.rfind(".") :].lower(), text) or candidates
    return likeliest(candidates, name) if candidates else None


@functools.lru_cache(maxsize=4096)
def by_extension(name: str) -> tuple[str, ...]:
    """The languages of a file name's longest extension that is known (`.html.erb`, else `.erb`)."""
    lower = name.lower()
    if lower.endswith(tables().generic):
        return ()
    index = tables().by_extension
    at = lower.find(".")
    while at >= 0:
        if lower[at:] in index:
            return index[lower[at:]]
        at = lower.find(".", at + 1)
    return ()


def likeliest(candidates: tuple[str, ...], name: str) -> str:
    """Which of the candidates a file has when all rules are at their end.

    The first, in Linguist's order, of those whose main extension the file has and that GitHub calls
    popular; or else of those that are the one, or the other, or of all. `_PREFERRED` go before.
    """
    if len(candidates) == 1:
        return candidates[0]
    main, popular = tables().first_extension, tables().popular
    lower = name.lower()
    preferred = _PREFERRED.get(lower[lower.rfind(".") :])
    if preferred in candidates:
        return preferred
    ours = [one for one in candidates if one in main and lower.endswith(main[one])]
    ranked = sorted(ours or candidates, key=lambda one: one not in popular)
    return ranked[0]


def _name(path: str) -> str:
    return base_name(path)[-LONGEST_NAME:]


def _narrowed(candidates: tuple[str, ...], found: tuple[str, ...]) -> tuple[str, ...]:
    """The candidates that are also found; the one or the other where that leaves none."""
    if not candidates:
        return found
    return tuple(one for one in candidates if one in found) or candidates
