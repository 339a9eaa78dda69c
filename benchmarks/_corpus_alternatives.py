# SPDX-License-Identifier: Apache-2.0
"""Other ways to do what the corpus pipeline does: the obvious one, or the one that is published."""

import ast
import io
import json
import re
import subprocess
import tarfile
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from apache_beam.io.tfrecordio import _TFRecordUtil

from beam_pipelines.sources.source import FileBatch
from benchmarks.oracle_imports_python import ORACLE


def read_bytes(batch: FileBatch) -> list[bytes]:
    """Reading without a look at what is opened."""
    return [Path(batch.info.place, file.path).read_bytes() for file in batch.files or ()]


def bigcode_filter(batch: FileBatch) -> int:
    """Reading, a language by extension, and the filters of bigcode-dataset.

    After the description of its `preprocessing/filtering.py`: statistics of lines and of
    alphanumeric characters, an XML declaration, the visible text of HTML, the size of JSON and
    YAML. HTML is read by the standard library's parser; bs4, which they use, is slower.
    """
    kept = 0
    for content, file in zip(read_bytes(batch), batch.files or (), strict=True):
        try:
            text = content.decode()
        except UnicodeDecodeError:
            continue
        lengths = [len(line) for line in text.splitlines()]
        if not lengths or sum(lengths) / len(lengths) > 100 or max(lengths) > 1000:
            continue
        if sum(map(str.isalnum, text)) / len(text) < 0.25 or "<?xml version=" in text[:100]:
            continue
        if file.path.endswith((".html", ".htm")):
            visible = len(stdlib_text(text))
            if not (visible > 100 and visible / len(text) > 0.2):
                continue
        if file.path.endswith((".json", ".yaml", ".yml")) and not 50 <= len(text) <= 5000:
            continue
        kept += 1
    return kept


def codeparrot_filter(file: tuple[str, bytes]) -> tuple[float, int, float]:
    """The statistics as codeparrot's `preprocessing.py` takes them."""
    text = file[1].decode()
    lengths = [len(line) for line in text.splitlines()] or [0]
    return float(np.mean(lengths)), max(lengths), float(np.mean([c.isalnum() for c in text]))


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
    """Every import by a walk over the whole syntax tree."""
    nodes = ast.walk(ast.parse(source))
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


_GRIMP = """
import grimp, json, resource, sys
sys.path[:0] = sys.argv[1::2]
before = resource.getrusage(resource.RUSAGE_SELF)
for package in sys.argv[2::2]:
    grimp.build_graph(package, cache_dir=None)
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
"""


def grimp_seconds(packages: dict[str, Path]) -> float:
    """Processor time that grimp takes for the graphs of packages, its start not counted."""
    arguments = [str(part) for name, root in packages.items() for part in (root, name)]
    command = [str(ORACLE / "bin" / "python"), "-c", _GRIMP, *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def stdlib_archive(address: str) -> int:
    """The size of all files of an archive, by Python's own readers."""
    if address.endswith(".gz"):
        with tarfile.open(address) as archive:
            opened = (archive.extractfile(member) for member in archive)
            return sum(len(file.read()) for file in opened if file)
    with zipfile.ZipFile(address) as archive:
        return sum(len(archive.read(name)) for name in archive.namelist())


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
