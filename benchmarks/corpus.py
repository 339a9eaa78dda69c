# SPDX-License-Identifier: Apache-2.0
"""The corpus pipeline stage by stage, one core, on installed packages: `make bench NAME=corpus`.

Prints MB/s of each stage, then `ratio corpus/<case>/<alternative> <value>` (above 1: ours is
faster) where the obvious or published way differs; the same as JSON in
benchmarks/results/corpus.json. Both ways take turns; figures are medians of processor time.
"""

import ast
import hashlib
import io
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from apache_beam.io.tfrecordio import _TFRecordUtil
from rich.console import Console
from rich.table import Table

from beam_pipelines.filter_files import content_digest
from beam_pipelines.read_repositories import REQUIREMENTS, list_installed, read_file
from coder.config import write_json
from coder.data import filters
from coder.data.dependencies.python import imports_of
from coder.data.html import visible_text
from coder.data.near_duplicates import shingle_hashes
from coder.data.ordering import dependency_order
from coder.data.records import stable_hash, stable_rng
from coder.data.tfrecord import frame

RESULT = Path(__file__).parent / "results" / "corpus.json"
SAMPLE_BYTES = 4_000_000
ROUNDS = 5
GRAPH_FILES, GRAPH_EDGES = 2000, 8000


@dataclass(frozen=True)
class Case:
    """One stage: what it does to each input, and other ways to do the same."""

    name: str
    work: Callable[[Any], object]
    inputs: Sequence[Any]
    megabytes: float
    alternatives: Mapping[str, Callable[[Any], object]]


def main() -> None:
    """Measures every stage."""
    rows: dict[str, dict[str, Any]] = {}
    for case in cases():
        rows[case.name] = measure(case)
        print(f"corpus/{case.name} done", file=sys.stderr)
    show(rows)
    for name, row in rows.items():
        for alternative, value in row["ratios"].items():
            print(f"ratio corpus/{name}/{alternative} {value:.2f}")
    write_json(RESULT, rows)


def cases() -> list[Case]:
    """The stages in the order of the pipeline, on a sample of the default corpus."""
    references = sample()
    contents = [read_file(info, path) for info, path in references]
    files = [
        (path, content)
        for (_, path), content in zip(references, contents, strict=True)
        if isinstance(content, bytes) and content
    ]
    raw = [content for _, content in files]
    texts = [content.decode() for content in raw]
    size = sum(map(len, raw)) / 1e6
    pages = [page(text) for text in texts[:50]]
    html_size = sum(map(len, pages)) / 1e6
    return [
        Case("read", lambda f: read_file(*f), references, size, {"read_bytes": read_bytes}),
        Case("filter", check, files, size, {"codeparrot": codeparrot_filter}),
        Case("html", visible_text, pages, html_size, {"html.parser": stdlib_text}),
        Case("hash", content_digest, raw, size, {"sha256": lambda c: hashlib.sha256(c).digest()}),
        Case("imports", imports_of, texts, size, {"ast.walk": walked_imports}),
        Case("order", order, [graph()], size, {"argmin": argmin_order}),
        Case("shingles", shingle_hashes, texts, size, {"sets": shingle_set}),
        Case("write", frame, raw, size, {"beam": beam_frame}),
    ]


def sample() -> list[tuple[Any, str]]:
    """Python files of the default corpus, `SAMPLE_BYTES` in all: repository and path."""
    files = [
        (stable_hash(0, "benchmark", repository.info.name, file.path), repository.info, file)
        for repository in list_installed(REQUIREMENTS)
        for file in repository.files
        if file.path.endswith(".py")
    ]
    chosen, size = [], 0
    for _, info, file in sorted(files, key=lambda row: row[0]):
        if size < SAMPLE_BYTES:
            chosen.append((info, file.path))
            size += file.size
    return chosen


def measure(case: Case) -> dict[str, Any]:
    """Medians over `ROUNDS` rounds, in each of which every way has its turn."""
    ways = {"ours": case.work, **case.alternatives}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
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
            speed = "" if name == "order" else f"{row['megabytes'] / seconds:.1f}"
            table.add_row(name if way == "ours" else "", way, speed, f"{seconds * 1e3:.1f}")
    Console().print(table)


def read_bytes(file: tuple[Any, str]) -> bytes:
    """Reading without a look at what is opened."""
    info, path = file
    return Path(info.root, path).read_bytes()


def check(file: tuple[str, bytes]) -> object:
    """Our rules."""
    return filters.check(*file, filters.FilterConfig())


def codeparrot_filter(file: tuple[str, bytes]) -> tuple[float, int, float]:
    """The statistics as codeparrot's `preprocessing.py` takes them."""
    text = file[1].decode()
    lengths = [len(line) for line in text.splitlines()] or [0]
    return float(np.mean(lengths)), max(lengths), float(np.mean([c.isalnum() for c in text]))


def page(text: str) -> str:
    """A page of HTML that holds a text, with a script."""
    lines = "".join(f"<p class='line'>{line}</p>\n" for line in text.splitlines())
    return f"<html><head><script>var x = 1;</script></head><body>{lines}</body></html>"


def stdlib_text(html: str) -> str:
    """Visible text by Python's own parser."""

    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = False
            self.parts: list[str] = []

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.hidden = self.hidden or tag in ("script", "style")

        def handle_endtag(self, tag: str) -> None:
            self.hidden = self.hidden and tag not in ("script", "style")

        def handle_data(self, data: str) -> None:
            if not self.hidden:
                self.parts.append(data)

    reader = Reader()
    reader.feed(html)
    return "".join(reader.parts)


def walked_imports(source: str) -> list[ast.AST]:
    """Every import by a walk over the whole tree."""
    nodes = ast.walk(ast.parse(source))
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


def graph() -> tuple[list[str], dict[str, set[str]]]:
    """A repository's files and dependencies, some of them cyclic."""
    rng = stable_rng(0, "benchmark graph")
    paths = [f"{number:05}.py" for number in range(GRAPH_FILES)]
    edges: dict[str, set[str]] = {path: set() for path in paths}
    for _ in range(GRAPH_EDGES):
        edges[rng.choice(paths)].add(rng.choice(paths))
    return paths, edges


def order(repository: tuple[list[str], dict[str, set[str]]]) -> list[str]:
    """Our order."""
    return dependency_order(*repository)


def argmin_order(repository: tuple[list[str], dict[str, set[str]]]) -> list[str]:
    """The paper's algorithm 1 as written: a search for the minimum at every step."""
    paths, edges = repository
    missing = {path: len(edges[path] - {path}) for path in paths}
    dependents: dict[str, list[str]] = {path: [] for path in paths}
    for path in paths:
        for needed in edges[path] - {path}:
            dependents[needed].append(path)
    ordered = []
    while missing:
        path = min(missing, key=lambda path: (missing[path], path))
        ordered.append(path)
        del missing[path]
        for dependent in dependents[path]:
            if dependent in missing:
                missing[dependent] -= 1
    return ordered


def shingle_set(text: str) -> set[int]:
    """Shingles as a set of tuples of tokens, hashed by Python."""
    tokens = re.findall(r"\w+", text)
    return {hash(tuple(tokens[start : start + 5])) for start in range(len(tokens) - 4)}


def beam_frame(record: bytes) -> None:
    """The frame as Beam's TFRecord sink writes it."""
    _TFRecordUtil.write_record(io.BytesIO(), record)


if __name__ == "__main__":
    main()
