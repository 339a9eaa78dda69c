# SPDX-License-Identifier: Apache-2.0
"""What `benchmarks.corpus` measures on: installed files, made repositories, archives, a graph."""

import io
import tarfile
import zipfile

from beam_pipelines.sources.installed import InstalledSource
from beam_pipelines.sources.source import FileBatch, FileReference, RepositoryInfo, Unit, in_batches
from coder.data import filters
from coder.data.languages import PRESETS, Languages
from coder.data.records import stable_hash, stable_rng

LANGUAGES = Languages(PRESETS["v1"])
RULES = filters.FilterConfig()

Repository = tuple[dict[str, str], dict[str, str], dict[str, str]]
"""Texts by path, languages by path, and the texts of project files by path."""


def installed(size: int, ending: str = "") -> list[FileBatch]:
    """Files of the default corpus that have to be read, `size` bytes in all, drawn by hash."""
    source = InstalledSource()
    units = (unit for unit in source.units() if isinstance(unit, Unit))
    listed = (batch for unit in units for batch in source.batches(unit))
    found = [
        (stable_hash(0, "benchmark", batch.info.name, file.path), batch.info, file)
        for batch in listed
        if isinstance(batch, FileBatch)
        for file in batch.files or ()
        if file.path.endswith(ending) and _is_read(file)
    ]
    chosen: dict[RepositoryInfo, list[FileReference]] = {}
    for _, info, file in sorted(found, key=lambda row: row[0]):
        if size > 0:
            chosen.setdefault(info, []).append(file)
            size -= file.size
    batches = [batch for info, files in chosen.items() for batch in in_batches(info, files)]
    return [batch for batch in batches if isinstance(batch, FileBatch)]


def _is_read(file: FileReference) -> bool:
    return filters.check_name(file.path, file.size, RULES, LANGUAGES) is None


def tar_gz(files: list[tuple[str, bytes]]) -> bytes:
    """A tarball as GitHub makes them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, content in files:
            entry = tarfile.TarInfo(f"project/{path}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def zipped(files: list[tuple[str, bytes]]) -> bytes:
    """A wheel."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files:
            archive.writestr(path, content)
    return packed.getvalue()


def graph(files: int, edges: int) -> tuple[list[str], dict[str, set[str]]]:
    """A repository's files and dependencies, some of them cyclic."""
    rng = stable_rng(0, "benchmark graph")
    paths = [f"{number:06}.py" for number in range(files)]
    needed: dict[str, set[str]] = {path: set() for path in paths}
    for _ in range(edges):
        needed[rng.choice(paths)].add(rng.choice(paths))
    return paths, needed


# A file of each language as people write them: {0} is its number, {1} and {2} are others'.
_BODY = """
{comment} Computes the value of item {0}; see also "item {1}" and 'item {2}'.
{function}(left, right, names) {{
    {comment} what is left over goes to the right
    if (left > right && names["first {0}"] != null) {{
        total = left * {0} + right / 3 - compute(names["second"], "a \\"quoted\\" text", 0x1f);
        return total > 100 ? format("%d of %d", total, {0}) : "none: " + names["third"];
    }}
    for (i = 0; i < right; i++) {{ total += values[i] * weights[i % 16] - offset; }}
    return "done";
}}
"""
_FAMILIES: dict[str, tuple[str, str, str, str, dict[str, str]]] = {
    # family: language, path, head, function, project files
    "java": (
        "Java",
        "src/main/java/com/example/p{0}/Item{0}.java",
        "package com.example.p{0};\n\nimport java.util.List;\nimport com.example.p{1}.Item{1};\n"
        "import static com.example.p{2}.Item{2}.compute;\n\npublic class Item{0} {{",
        "public String value",
        {},
    ),
    "kotlin": (
        "Kotlin",
        "src/com/example/p{0}/Item{0}.kt",
        "package com.example.p{0}\n\nimport com.example.p{1}.Item{1}\nimport com.example.p{2}.*\n\n"
        "class Item{0} {{",
        "fun value",
        {},
    ),
    "csharp": (
        "C#",
        "src/Item{0}.cs",
        "using System;\nusing Example.Part{1};\nusing static Example.Part{2}.Item{2};\n\n"
        "namespace Example.Part{0};\n\npublic class Item{0} {{",
        "public string Value",
        {},
    ),
    "go": (
        "Go",
        "part{0}/item.go",
        'package part{0}\n\nimport (\n\t"fmt"\n\t"example.com/project/part{1}"\n'
        '\tother "example.com/project/part{2}"\n)\n',
        "func Value",
        {"go.mod": "module example.com/project\n\ngo 1.22\n"},
    ),
    "rust": (
        "Rust",
        "src/item{0}.rs",
        "use std::fmt;\nuse crate::item{1}::{{self, Value}};\nuse super::item{2}::Other;\n",
        "pub fn value",
        {"Cargo.toml": '[package]\nname = "project"\n'},
    ),
    "typescript": (
        "TypeScript",
        "src/item{0}.ts",
        "import {{ value }} from './item{1}';\nimport type {{ Other }} from '@/item{2}.js';\n"
        "export * from 'rxjs';\n",
        "export function value",
        {"tsconfig.json": '{"compilerOptions": {"paths": {"@/*": ["./src/*"]}}}'},
    ),
    "php": (
        "PHP",
        "src/Part{0}/Item{0}.php",
        "<?php\nnamespace App\\Part{0};\n\nuse App\\Part{1}\\Item{1};\n"
        "require_once __DIR__ . '/../Part{2}/Item{2}.php';\n\nclass Item{0} {{",
        "public function value",
        {"composer.json": '{"autoload": {"psr-4": {"App\\\\": "src/"}}}'},
    ),
    "ruby": (
        "Ruby",
        "lib/part/item{0}.rb",
        "require 'json'\nrequire_relative 'item{1}'\nrequire 'part/item{2}'\n\nmodule Part\n",
        "def value",
        {},
    ),
}


def repositories(sources: list[tuple[str, str]], files: int = 400) -> dict[str, Repository]:
    """A repository for each family of languages but Python.

    Args:
        sources: path and text of installed files; those in C and C++ are used as they are.
        files: how many the made ones have, of 4 KB each.
    """
    real = {path: text for path, text in sources if path.endswith((".h", ".c", ".cpp", ".hpp"))}
    found: dict[str, Repository] = {"c": (real, dict.fromkeys(real, "C++"), {})}
    for family, (language, path, head, function, project) in _FAMILIES.items():
        texts = {}
        for number in range(files):
            numbers = (number, number * 7 % files, number * 31 % files)
            comment = "#" if language == "Ruby" else "//"
            body = _BODY.format(*numbers, comment=comment, function=function)
            texts[path.format(*numbers)] = head.format(*numbers) + body * 6
        found[family] = texts, dict.fromkeys(texts, language), project
    return found
