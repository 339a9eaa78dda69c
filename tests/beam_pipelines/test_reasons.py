# SPDX-License-Identifier: Apache-2.0
"""The table of reasons covers the words that the code gives, and names options that there are."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from beam_pipelines import corpus
from beam_pipelines.reasons import REASONS, STAGES, by_stage
from coder.data import filters

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in ("beam_pipelines", "coder/data")
    for path in (ROOT / folder).rglob("*.py")
    if "Reject" in path.read_text(encoding="utf-8") or path.parent.name == "sources"
)
WORD = re.compile(r"[a-z]+(_[a-z]+)*")

# Which argument of a call is a reason.
CALLS = {"Reject": 2, "reject": 0, "_rejected": 1, "ArchiveError": 0, "MemberError": 0, "Member": 2}
NO_REASONS = {"file", "folder"}  # kinds of archive members
COMPOSED = {"hardlink_outside"}  # put together at run time


def words(node: ast.expr | None) -> Iterator[str]:
    """The constants that an expression may be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from words(node.body)
        yield from words(node.orelse)


def first_of_pairs(node: ast.expr | None) -> Iterator[str]:
    """The first constants of the pairs that an expression may be or yield in a pair."""
    if isinstance(node, ast.IfExp):
        yield from first_of_pairs(node.body)
        yield from first_of_pairs(node.orelse)
    elif isinstance(node, ast.Tuple):
        yield from words(node.elts[0]) if len(node.elts) == 2 else ()
        yield from (word for element in node.elts for word in first_of_pairs(element))


def gives_reasons(function: ast.FunctionDef) -> bool:
    """Whether a function returns a reason alone."""
    says = ast.get_docstring(function) or ""
    return function.name.endswith("_reason") or says.startswith("The reason against")


def reasons_given(tree: ast.AST) -> Iterator[str]:
    """Reasons as arguments, as the first of a pair with a detail, assigned, and returned."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            place = CALLS.get(node.func.id)
            if place is not None and len(node.args) > place:
                yield from words(node.args[place])
        elif isinstance(node, ast.Assign):
            if ast.unparse(node.targets[0]) in ("reason", "problem"):
                yield from words(node.value)
                yield from first_of_pairs(node.value)
        elif isinstance(node, ast.FunctionDef) and gives_reasons(node):
            for inner in ast.walk(node):
                yield from words(inner.value) if isinstance(inner, ast.Return) else ()
        elif isinstance(node, ast.Return | ast.Yield):
            yield from first_of_pairs(node.value)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_reason_in_the_code_is_in_the_table(path: Path) -> None:
    given = set(reasons_given(ast.parse(path.read_bytes())))
    given = {word for word in given if WORD.fullmatch(word)} - NO_REASONS
    assert given <= REASONS.keys()


def test_every_reason_of_the_table_is_given_somewhere() -> None:
    found = {word for path in SOURCES for word in reasons_given(ast.parse(path.read_bytes()))}
    assert REASONS.keys() - found - set(filters.REASONS) - COMPOSED == set()


def test_every_rule_is_in_the_table() -> None:
    assert set(filters.REASONS) <= REASONS.keys()


def test_stages_and_sentences_are_whole() -> None:
    for word, reason in REASONS.items():
        assert reason.stage in STAGES, word
        assert reason.meaning.endswith("."), word


def test_every_option_of_the_table_is_one_of_the_command(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        corpus.main(["--help"])
    known = set(re.findall(r"--[a-z.-]+", capsys.readouterr().out))
    options = {option for reason in REASONS.values() for option in reason.setting.split(", ")}
    assert options - {""} <= known


def test_counts_are_sorted_into_stages_in_order() -> None:
    counts = {"empty": 2, "exact_duplicate": 5, "longest_line": 7, "of_the_future": 1}
    stages = by_stage(counts)
    assert [*stages] == [*STAGES, ""]
    assert list(stages["rules"].items()) == [("longest_line", 7), ("empty", 2)]
    assert stages["duplicates"] == {"exact_duplicate": 5}
    assert stages["source"] == {}
    assert stages[""] == {"of_the_future": 1}
