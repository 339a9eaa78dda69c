# SPDX-License-Identifier: Apache-2.0
"""What `benchmarks.torture` feeds: everything that reads what strangers have written.

A target makes its input from a seed and says what became of it. It raises where anything goes wrong
that a reader must not do: an exception, a file lost or counted twice, an edge to nowhere.
"""

import bz2
import gzip
import io
import json
import lzma
import random
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from beam_pipelines.sources.archive import ArchiveSource
from beam_pipelines.sources.rows import RowsSource
from beam_pipelines.sources.source import FileContent, Source, Unit
from benchmarks._torture_inputs import make, name, text_of
from coder.data import dependencies, filters, licences
from coder.data.dependencies import Resolver
from coder.data.languages import PRESETS, Languages, path_header
from coder.data.linguist import exclusions
from coder.data.records import Reject

Target = Callable[[str], Counter[str]]
"""From a seed to the fates of the inputs made from it; their sum is the number of inputs."""

RULES = filters.FilterConfig()
V1, V2 = Languages(PRESETS["v1"]), Languages(PRESETS["v2"])
LAX = filters.FilterConfig(keep_vendored=True, keep_generated=True, keep_minified=True)


def targets() -> dict[str, Target]:
    """All targets by name."""
    found: dict[str, Target] = {
        "rules": _rules,
        "languages": _languages,
        "licences": _licences,
        "path_header": _path_header,
        "archive": partial(_source, _archive),
        "rows": partial(_source, _rows),
    }
    for resolver in dependencies.RESOLVERS:
        family = getattr(resolver, "__name__", str(resolver)).rpartition(".")[2]
        found[f"resolver_{family}"] = partial(_resolver, resolver)
    return found


def _rules(seed: str) -> Counter[str]:
    content = make(seed)
    rules = LAX if seed.endswith("1") else RULES
    found = filters.check(name(seed), content, rules, V2)
    return Counter([found if isinstance(found, str) else "kept"])


def _languages(seed: str) -> Counter[str]:
    path, text = name(seed), text_of(make(seed))
    found = [languages.of(path, text) for languages in (V1, V2)]
    exclusions.is_vendored(path)
    exclusions.is_generated(path, text)
    exclusions.is_minified(path, text)
    if found[0] and not V1.possible(path):
        raise AssertionError(f"{path} is {found[0]}, which its name alone would refuse")
    return Counter(["named" if any(found) else "without a name"])


def _licences(seed: str) -> Counter[str]:
    text = text_of(make(seed))
    known = licences.licence_of_text(text)
    index = licences.LicenceIndex({"LICENSE": text, "a/COPYING": text}, text[:300])
    index.of("a/b.py", text)
    return Counter(["known" if known or licences.spdx_header(text) else "unknown"])


def _path_header(seed: str) -> Counter[str]:
    path = text_of(make(seed))[:500] + name(seed)
    for language in random.Random(seed).sample(sorted(PRESETS["v2"]), 20):
        header = path_header(path, language)
        lines = header.splitlines()
        if lines[1:] not in ([], [""]) or not header.endswith("\n"):  # Pod's ends with an empty one
            raise AssertionError(f"a header in {language} of {len(lines)} lines: {header[:80]!r}")
    return Counter(["written"])


def _resolver(resolver: Resolver, seed: str) -> Counter[str]:
    """A repository of hostile files, with settings: every file is read or named as not read."""
    rng = random.Random(seed)
    language = rng.choice(resolver.LANGUAGES)
    endings = [ending for ending in _endings(resolver.LANGUAGES) if ending]
    files: dict[str, str] = {}
    for number in range(rng.choice((1, 2, 4))):
        path = name(f"{seed}/{number}").rpartition(".")[0] + rng.choice(endings)
        files[path] = text_of(make(f"{seed}/{number}"))
    project = {}
    for pattern in resolver.PROJECT_FILES if rng.random() < 0.5 else ():
        path = rng.choice(("", "a/", "src/")) + pattern.replace("*", "x")
        project[path] = text_of(make(f"{seed}/{pattern}"))
    found = dependencies.resolve(files, dict.fromkeys(files, language), project)
    for path, needed in found.edges.items():
        if path in needed or path not in files or not needed <= files.keys():
            raise AssertionError(f"{path} -> {needed} is no edge between the files")
    if not found.unparsed <= files.keys() - found.edges.keys():
        raise AssertionError("a file that was not read is not one of the files, or has edges")
    fates = Counter({"unparsed": len(found.unparsed), "resolved": len(files) - len(found.unparsed)})
    return +fates


@cache
def _endings(names: tuple[str, ...]) -> list[str]:
    """File endings of languages."""
    known = {
        "Python": (".py", ".pyi"),
        "C": (".c", ".h"),
        "C++": (".cpp", ".hpp", ".h"),
        "Objective-C": (".m", ".h"),
        "Cuda": (".cu", ".cuh"),
        "Java": (".java",),
        "Kotlin": (".kt",),
        "Scala": (".scala",),
        "C#": (".cs",),
        "JavaScript": (".js", ".mjs", ".cjs"),
        "TypeScript": (".ts", ".mts", ".d.ts"),
        "TSX": (".tsx",),
        "Vue": (".vue",),
        "Svelte": (".svelte",),
        "Go": (".go",),
        "Rust": (".rs",),
        "PHP": (".php",),
        "Ruby": (".rb",),
    }
    return [ending for language in names for ending in known.get(language, ())] or [".x"]


def _source(write: Callable[[str, Path], Source], seed: str) -> Counter[str]:
    """A source in a damaged file: whatever it holds, it ends, and says what it could not read."""
    fates = Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        source = write(seed, Path(folder))
        for unit in source.units():
            for found in [unit] if isinstance(unit, Reject) else _read(source, unit):
                fates[found.reason if isinstance(found, Reject) else "read"] += 1
    return Counter({"read": 1}) if fates["read"] else Counter(["nothing but rejects"])


def _read(source: Source, unit: Unit) -> Iterator[FileContent | Reject]:
    for batch in source.batches(unit):
        if isinstance(batch, Reject):
            yield batch
            continue
        for found in source.read(batch, 1 << 20):
            if isinstance(found, FileContent) and len(found.content) > 1 << 20:
                raise AssertionError(f"{found.path}: more than the limit was read")
            yield found


def _archive(seed: str, folder: Path) -> Source:
    rng = random.Random(seed)
    ending = rng.choice((*_COMPRESS, ".zip", ".whl"))
    content = _zipped(rng, seed) if ending in (".zip", ".whl") else _tarred(rng, seed, ending)
    (folder / f"a{ending}").write_bytes(_damaged(rng, content, seed))
    return ArchiveSource(str(folder / "*"))


_COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".tar": bytes,
    ".tar.gz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
}


def _tarred(rng: random.Random, seed: str, ending: str) -> bytes:
    packed = io.BytesIO()
    form = rng.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for number in range(rng.choice((0, 1, 3, 30))):
            content = make(f"{seed}/{number}")[:5000]
            entry = tarfile.TarInfo(_entry_name(rng, seed, number, form))
            entry.type = rng.choice((tarfile.REGTYPE,) * 6 + (tarfile.SYMTYPE, tarfile.LNKTYPE))
            entry.linkname = rng.choice(("a", "../../x", "/etc/passwd", ""))
            entry.size = len(content) if entry.type == tarfile.REGTYPE else 0
            archive.addfile(entry, io.BytesIO(content) if entry.size else None)
    return _COMPRESS[ending](packed.getvalue())


def _entry_name(rng: random.Random, seed: str, number: int, form: int) -> str:
    path = rng.choice(("", "", "a/", "../", "/", "a\\", "./")) + name(f"{seed}/{number}")
    return path[-90:] if form == tarfile.USTAR_FORMAT else path


def _zipped(rng: random.Random, seed: str) -> bytes:
    packed = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(packed, "w", method) as archive:
        for number in range(rng.choice((0, 1, 3, 30))):
            path = _entry_name(rng, seed, number, -1)
            entry = zipfile.ZipInfo(f"{number}{path}")
            archive.writestr(entry, make(f"{seed}/{number}")[:5000])
    return packed.getvalue()


def _damaged(rng: random.Random, content: bytes, seed: str) -> bytes:
    """Bits flipped, a part cut out, or something else put in; some stay whole."""
    changed = bytearray(content)
    for _ in range(rng.choice((0, 1, 2, 10))):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(4):
            case 0 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                del changed[at : at + rng.choice((1, 16, 512))]
            case 2:
                changed[at:at] = make(f"{seed}/damage")[: rng.choice((1, 16, 512))]
            case _:
                changed[at : at + 8] = rng.choice((b"\xff" * 8, b"\0" * 8, b"7777777\0"))
    return bytes(changed)


def _rows(seed: str, folder: Path) -> Source:
    """A table in The Stack's columns, damaged."""
    rng = random.Random(seed)
    rows = [
        {
            "max_stars_repo_name": rng.choice(("a/b", "", "x")),
            "max_stars_repo_path": name(f"{seed}/{number}"),
            "content": text_of(make(f"{seed}/{number}"))[:3000],
            "max_stars_count": rng.choice((3, -1, None)),
            "max_stars_repo_licenses": rng.choice((["MIT"], [], None)),
        }
        for number in range(rng.choice((1, 5)))
    ]
    packed = io.BytesIO()
    kind = rng.choice(("parquet", "jsonl"))
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), packed)
    else:
        packed.write("".join(json.dumps(row) + "\n" for row in rows).encode())
    (folder / f"a.{kind}").write_bytes(_damaged(rng, packed.getvalue(), seed))
    return RowsSource(str(folder / f"*.{kind}"), kind)
