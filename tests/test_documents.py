# SPDX-License-Identifier: Apache-2.0
"""What the pages for people name exists: targets, modules, commands, linked files."""

import re
from importlib import util
from pathlib import Path

import pytest

from coder.__main__ import COMMANDS
from experiments.fim_ablation import EXPERIMENT

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = re.compile(r"`[^`\n]+`|^(?: {4}|\t).*$", re.MULTILINE)
"""Inline code and indented blocks."""


def named(page: Path, pattern: str) -> set[str]:
    """Every match of `pattern` in the page's code."""
    return {
        found
        for code in CODE.findall(page.read_text("utf-8"))
        for found in re.findall(pattern, code)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_make_targets_exist(page: Path) -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert named(page, r"\bmake +([a-z-]+)") <= set(targets)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_modules_and_commands_exist(page: Path) -> None:
    for module in named(page, r"python -m ([a-z_.]+)") - {"pip"}:
        assert util.find_spec(module), module
    assert named(page, r"python -m coder ([a-z-]+)") <= set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_linked_and_named_files_exist(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text("utf-8"))
    for link in links:
        assert (page.parent / link).exists(), link
    roots = "beam_pipelines|benchmarks|coder|docs|experiments|kernels|scripts|tests"
    for path in named(page, rf"`((?:{roots})/[\w/.]*)`"):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("scale", EXPERIMENT.scales)
def test_the_readme_says_what_a_scale_takes(scale: str) -> None:
    row = re.search(rf"^\| `{scale}`.*$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert row and EXPERIMENT.scales[scale].cost in row[0]
