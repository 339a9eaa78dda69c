# SPDX-License-Identifier: Apache-2.0
"""The corpus pipeline stage by stage, one core, on installed packages: `make bench NAME=corpus`.

    make bench NAME=corpus
    make bench NAME=corpus ARGS="--scale 500"    the whole pipeline on 500 MB, one process and two

Prints MB/s of each stage, then `ratio corpus/<case>/<alternative> <value>` (above 1: ours is
faster) where the obvious or published way differs, and a line `bar` for each figure that was asked
for; the same as JSON in benchmarks/results/corpus.json. Ways take turns; figures are medians of
processor time. Exit status 1 if a bar is missed.
"""

import ast
import hashlib
import pickle
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from beam_pipelines.filter_files import KeptFile, Rules, content_digest, filter_batch
from beam_pipelines.sources.archive import ArchiveSource
from beam_pipelines.sources.installed import InstalledSource
from beam_pipelines.sources.source import FileBatch, FileContent, Source, Unit
from benchmarks import _corpus_alternatives as alternatives
from benchmarks import _corpus_inputs as inputs
from benchmarks import _corpus_scale, oracle_imports_python
from coder.config import write_json
from coder.data import dependencies, filters
from coder.data.html import visible_text
from coder.data.licences import LicenceIndex
from coder.data.near_duplicates import shingle_hashes
from coder.data.opt_out import OptOut
from coder.data.ordering import dependency_order
from coder.data.tfrecord import frame

RESULT = Path(__file__).parent / "results" / "corpus.json"
SAMPLE_BYTES = 8_000_000
PYTHON_BYTES = 4_000_000
ROUNDS = 5

RULES = Rules(filters.FilterConfig(), inputs.LANGUAGES, OptOut())

# The least MB/s per core of a case, or the most seconds.
LEAST_MEGABYTES = {"filter": 25.0, "resolve_python": 2.5}
MOST_SECONDS = {"order_100000": 60.0}


@dataclass(frozen=True)
class Case:
    """One stage: what it does to each input, and other ways to do the same."""

    name: str
    work: Callable[[Any], object]
    inputs: Sequence[Any]
    megabytes: float
    """0: the work is on something that has no size in bytes."""
    alternatives: Mapping[str, Callable[[Any], object]] = field(default_factory=dict)
    rounds: int = ROUNDS


def main(arguments: list[str]) -> int:
    """Measures every stage, or the whole; returns the exit status."""
    if arguments[:1] == ["--scale"]:
        return _corpus_scale.main(int(arguments[1]) if arguments[1:] else 500)
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # doubtful escapes in the sources that ast parses
        for case in cases(Path(folder)):
            rows[case.name] = measure(case)
            print(f"corpus/{case.name} done", file=sys.stderr)
    add_grimp(rows["resolve_python"])
    rows["filter"]["shuffled"] = shuffled(inputs.installed(SAMPLE_BYTES))
    show(rows)
    for name, row in rows.items():
        for alternative, value in row["ratios"].items():
            print(f"ratio corpus/{name}/{alternative} {value:.2f}")
    write_json(RESULT, rows)
    return 0 if all([*show_bars(rows)]) else 1


def cases(folder: Path) -> Iterator[Case]:
    """The stages in the order of the pipeline."""
    yield from filter_cases(folder)
    yield from python_cases()
    mixed = _texts(inputs.installed(4 * SAMPLE_BYTES))
    for family, repository in inputs.repositories(mixed).items():
        size = sum(len(text.encode()) for text in repository[0].values()) / 1e6
        yield Case(f"resolve_{family}", lambda r: dependencies.resolve(*r), [repository], size)
    graph = inputs.graph(2000, 8000)
    yield Case("order", order, [graph], 0, {"argmin": alternatives.argmin_order})
    yield Case("order_100000", order, [inputs.graph(100_000, 400_000)], 0, rounds=1)


def filter_cases(folder: Path) -> Iterator[Case]:
    """From files to kept files: on a sample of all files that the default corpus reads."""
    batches = inputs.installed(SAMPLE_BYTES)
    size = sum(file.size for batch in batches for file in batch.files or ()) / 1e6
    published = {"bigcode": alternatives.bigcode_filter}
    yield Case("filter", filtered, batches, size, published)
    files = [(found.path, found.content) for batch in batches for found in read(batch)]
    yield Case("read", read, batches, size, {"read_bytes": alternatives.read_bytes})
    texts = _texts(batches)
    text_size = sum(len(text.encode()) for _, text in texts) / 1e6
    yield Case("detect", lambda file: inputs.LANGUAGES.of(*file), texts, text_size)
    licences = LicenceIndex({"LICENSE": Path("LICENSE").read_text(encoding="utf-8")}, "Apache-2.0")
    yield Case("licences", lambda file: licences.of(*file), texts, text_size)
    raw = [content for _, content in files]
    hashing = {"sha256": lambda content: hashlib.sha256(content).digest()}
    yield Case("hash", content_digest, raw, size, hashing)
    yield Case("write", frame, raw, size, {"beam": alternatives.beam_frame})
    archives = {"tar_gz": ("a.tar.gz", inputs.tar_gz), "zip": ("a.whl", inputs.zipped)}
    for name, (file, pack) in archives.items():
        address = folder / file
        address.write_bytes(pack(files))
        stdlib = {"stdlib": alternatives.stdlib_archive}
        yield Case(f"read_{name}", read_archive, [str(address)], size, stdlib)


def python_cases() -> Iterator[Case]:
    """What happens to Python files, and to HTML."""
    sample = inputs.installed(PYTHON_BYTES, ".py")
    texts = [text for _, text in _texts(sample)]
    files = [(path, text.encode()) for path, text in _texts(sample)]
    size = sum(len(content) for _, content in files) / 1e6
    codeparrot = {"codeparrot": alternatives.codeparrot_filter}
    yield Case("rules", check, files, size, codeparrot)
    pages = [page(text) for text in texts[:50]]
    html_size = sum(map(len, pages)) / 1e6
    yield Case("html", visible_text, pages, html_size, {"html.parser": alternatives.stdlib_text})
    sets = {"sets": alternatives.shingle_set}
    yield Case("shingles", shingle_hashes, texts, size, sets)
    packages = python_packages()
    total = sum(len(text.encode()) for files in packages for text in files.values()) / 1e6
    parsers = {
        "ast.parse": lambda files: [ast.parse(text) for text in files.values()],
        "ast.walk": lambda files: [alternatives.walked_imports(text) for text in files.values()],
    }
    yield Case("resolve_python", resolve_python, packages, total, parsers, rounds=3)


def _texts(batches: list[FileBatch]) -> list[tuple[str, str]]:
    """The path and text of files that are UTF-8."""
    found = []
    for batch in batches:
        for file in read(batch):
            try:
                found.append((f"{batch.info.name}/{file.path}", file.content.decode()))
            except UnicodeDecodeError:
                continue
    return found


def python_packages() -> list[dict[str, str]]:
    """The files of the packages that the imports' oracle fetches."""
    found = []
    for package in oracle_imports_python.FETCHED:
        root = oracle_imports_python.fetch(package)
        paths = sorted((root / package).rglob("*.py"))
        found.append({str(path.relative_to(root)): path.read_bytes().decode() for path in paths})
    return found


def add_grimp(row: dict[str, Any]) -> None:
    """Adds what grimp takes for the same packages, reading their files included."""
    fetched = oracle_imports_python.FETCHED
    packages = {package: oracle_imports_python.fetch(package) for package in fetched}
    seconds = statistics.median(alternatives.grimp_seconds(packages) for _ in range(3))
    row["seconds"]["grimp"] = seconds
    row["ratios"]["grimp"] = seconds / row["seconds"]["ours"]


def shuffled(batches: list[FileBatch]) -> dict[str, float]:
    """Bytes that stand for a file in a shuffle: before it is read, and once it has passed."""
    files = sum(len(batch.files or ()) for batch in batches)
    kept = [found for batch in batches for found in filtered(batch) if isinstance(found, KeptFile)]
    return {
        "listed": sum(len(pickle.dumps(batch)) for batch in batches) / files,
        "kept": statistics.mean(len(file.encode()) for file in kept),
    }


def measure(case: Case) -> dict[str, Any]:
    """Medians over the rounds, in each of which every way has its turn."""
    ways = {"ours": case.work, **case.alternatives}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(case.rounds):
        for name, work in ways.items():
            start = time.process_time()
            for item in case.inputs:
                work(item)
            seconds[name].append(time.process_time() - start)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "megabytes": case.megabytes,
        "seconds": median,
        "ratios": {name: median[name] / median["ours"] for name in case.alternatives},
    }


def show(rows: Mapping[str, Mapping[str, Any]]) -> None:
    """A table of MB/s; ordering works on a graph and has seconds only."""
    table = Table("stage", "way", "MB/s", "ms", title="Corpus pipeline, one core")
    for name, row in rows.items():
        for way, seconds in row["seconds"].items():
            speed = f"{row['megabytes'] / seconds:.1f}" if row["megabytes"] else ""
            table.add_row(name if way == "ours" else "", way, speed, f"{seconds * 1e3:.1f}")
    Console().print(table)


def show_bars(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[bool]:
    """Prints the figures that were asked for; whether each is reached."""
    for name, least in LEAST_MEGABYTES.items():
        speed = rows[name]["megabytes"] / rows[name]["seconds"]["ours"]
        print(f"bar corpus/{name} {speed:.1f} MB/s (at least {least})")
        yield speed >= least
    for name, most in MOST_SECONDS.items():
        print(f"bar corpus/{name} {rows[name]['seconds']['ours']:.1f} s (at most {most})")
        yield rows[name]["seconds"]["ours"] <= most


def read(batch: FileBatch) -> list[FileContent]:
    """Our reading of a batch."""
    limit = RULES.filters.max_bytes + 1
    return [f for f in InstalledSource().read(batch, limit) if isinstance(f, FileContent)]


def filtered(batch: FileBatch) -> list[object]:
    """Reading, languages and rules, as the pipeline's workers do them."""
    return list(filter_batch(batch, InstalledSource(), RULES))


def check(file: tuple[str, bytes]) -> object:
    """Our rules."""
    return filters.check(*file, RULES.filters, RULES.languages)


def read_archive(address: str) -> int:
    """The size of all files of an archive."""
    source: Source = ArchiveSource(address)
    total = 0
    for unit in source.units():
        for batch in source.batches(unit) if isinstance(unit, Unit) else ():
            if isinstance(batch, FileBatch):
                found = source.read(batch, RULES.filters.max_bytes + 1)
                total += sum(len(file.content) for file in found if isinstance(file, FileContent))
    return total


def page(text: str) -> str:
    """A page of HTML that holds a text, with a script."""
    lines = "".join(f"<p class='line'>{line}</p>\n" for line in text.splitlines())
    return f"<html><head><script>var x = 1;</script></head><body>{lines}</body></html>"


def resolve_python(files: dict[str, str]) -> object:
    """The dependencies of a repository of Python files."""
    return dependencies.resolve(files, dict.fromkeys(files, "Python"))


def order(repository: tuple[list[str], dict[str, set[str]]]) -> list[str]:
    """Our order."""
    return dependency_order(*repository)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
