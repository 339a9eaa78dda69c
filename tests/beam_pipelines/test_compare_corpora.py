# SPDX-License-Identifier: Apache-2.0
"""The difference of two corpora: each way in which a file can change, and none for equal ones."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines import compare_corpora
from beam_pipelines.compare_corpora import compare, main
from coder.data.records import Document, Reject
from tests.beam_pipelines.finished_corpus import SETTINGS, document, finish

DOCUMENT = document("a", {"1.py": "x = 1\n", "2.py": "y = 2\n", "3.py": "z = 3\n"})
OTHER = document("b", {"1.py": "other = 1\n"})
REJECTS = (Reject("a", "r.py", "empty", ""), Reject("a", "s.py", "xml", ""))


def found(
    tmp_path: Path,
    documents: Sequence[Document],
    rejects: Sequence[Reject] = REJECTS,
    settings: dict[str, Any] = SETTINGS,
) -> dict[tuple[str, str, str], tuple[int, list[str]]]:
    """The changes from the corpus above to another: (kind, before, after) to count and samples."""
    before = finish(tmp_path / "before", [DOCUMENT, OTHER], REJECTS)
    after = finish(tmp_path / "after", documents, rejects, settings, shards=3)
    result = compare(before, after)
    assert result["equal"] == (not result["changes"] and not result["settings"])
    return {
        (change["kind"], change["before"], change["after"]): (change["files"], change["samples"])
        for change in result["changes"]
    }


def with_files(*order: int) -> Document:
    return replace(DOCUMENT, files=tuple(DOCUMENT.files[n] for n in order))


def with_last(**changes: Any) -> Document:
    return replace(DOCUMENT, files=(*DOCUMENT.files[:2], replace(DOCUMENT.files[2], **changes)))


def test_the_same_files_in_other_shards_are_equal(tmp_path: Path) -> None:
    assert found(tmp_path, [OTHER, DOCUMENT], REJECTS[::-1]) == {}


@pytest.mark.parametrize(
    ("changed", "kind", "files"),
    [
        (with_last(text="z = 4\n"), "content", ["a/3.py"]),
        (with_last(licence="ISC"), "label", ["a/3.py"]),
        (with_last(language="C"), "label", ["a/3.py"]),
        (replace(DOCUMENT, revision="2.0"), "label", ["a/1.py", "a/2.py", "a/3.py"]),
        (replace(DOCUMENT, split="held_out"), "split", ["a/1.py", "a/2.py", "a/3.py"]),
        (replace(DOCUMENT, id="a#0.py"), "document", ["a/1.py", "a/2.py", "a/3.py"]),
        (with_files(0, 2, 1), "order", ["a/2.py", "a/3.py"]),
    ],
)
def test_kept_files_differ_in_one_way_each(
    changed: Document, kind: str, files: list[str], tmp_path: Path
) -> None:
    ((key, (count, samples)),) = found(tmp_path, [changed, OTHER]).items()
    assert key == (kind, "kept", "kept")
    assert (count, sorted(samples)) == (len(files), files)


def test_a_file_that_joins_or_leaves_a_document_does_not_reorder_the_others(tmp_path: Path) -> None:
    assert found(tmp_path / "less", [with_files(0, 2), OTHER]) == {
        ("lost", "kept", "absent"): (1, ["a/2.py"])
    }
    more = replace(DOCUMENT, files=(replace(DOCUMENT.files[0], path="0.py"), *DOCUMENT.files))
    assert found(tmp_path / "more", [more, OTHER]) == {
        ("gained", "absent", "kept"): (1, ["a/0.py"])
    }


def test_moves_between_kept_rejected_and_absent_are_told_apart(tmp_path: Path) -> None:
    kept_now = document("a", {"r.py": "found = 1\n"})
    rejects = [
        Reject("a", "s.py", "binary", ""),
        Reject("b", "1.py", "opt_out", ""),
        Reject("c", "new.py", "empty", ""),
    ]
    assert found(tmp_path, [DOCUMENT, kept_now], rejects) == {
        ("gained", "empty", "kept"): (1, ["a/r.py"]),
        ("lost", "kept", "opt_out"): (1, ["b/1.py"]),
        ("moved", "xml", "binary"): (1, ["a/s.py"]),
        ("appeared", "absent", "empty"): (1, ["c/new.py"]),
    }
    assert found(tmp_path / "none", [DOCUMENT, OTHER], REJECTS[:1]) == {
        ("disappeared", "xml", "absent"): (1, ["a/s.py"])
    }


def test_an_entry_that_an_archive_repeats_is_not_the_kept_one(tmp_path: Path) -> None:
    rejects = [*REJECTS, Reject("a", "1.py", "duplicate_path", "")]
    assert found(tmp_path, [DOCUMENT, OTHER], rejects) == {
        ("appeared", "absent", "duplicate_path"): (1, ["a/1.py"])
    }


def test_rows_of_one_path_are_compared_as_one_kept_file_and_reasons(tmp_path: Path) -> None:
    reasons = ["duplicate_path", "exact_duplicate", "duplicate_path", "empty"]
    before = [*REJECTS, *(Reject("a", "1.py", reason, "") for reason in reasons)]
    before += [Reject("a", "2.py", "xml", ""), Reject("a", "r.py", "xml", "")]
    one = finish(tmp_path / "one", [DOCUMENT, OTHER], before)
    two = finish(tmp_path / "two", [OTHER, DOCUMENT], before[::-1], shards=5)
    assert compare(one, two)["equal"] and compare(two, one)["equal"]
    fewer = [reject for reject in before if reject.path != "1.py" or reject.reason != "empty"]
    three = finish(tmp_path / "three", [with_files(0, 2), OTHER], [*fewer, before[2]])
    assert [
        (c["kind"], c["before"], c["after"], c["samples"]) for c in compare(one, three)["changes"]
    ] == [
        ("lost", "kept", "absent", ["a/2.py"]),
        ("moved", "empty", "duplicate_path", ["a/1.py"]),
    ]


@given(st.permutations(range(3)))
def test_a_permutation_moves_the_files_that_it_moves(order: list[int]) -> None:
    was = {key: state for key, _, state in compare_corpora._files(DOCUMENT)}
    now = compare_corpora._files(with_files(*order))
    entries = [(key, name, was[key], state) for key, name, state in now]
    assert compare_corpora._reordered(entries) == {n for n in range(3) if order[n] != n}


def test_the_command_says_by_its_status_whether_corpora_differ(tmp_path: Path, capsys) -> None:
    before = finish(tmp_path / "before", [DOCUMENT], REJECTS)
    settings = {**SETTINGS, "filters": {"max_line": 900, "keep_vendored": False}}
    after = finish(tmp_path / "after", [with_files(1, 0, 2)], REJECTS, settings)

    def status(*arguments: object) -> int:
        with pytest.raises(SystemExit) as error:
            main(list(map(str, arguments)))
        return int(error.value.code or 0)

    assert status(before, before) == 0
    assert "equal" in capsys.readouterr().out
    assert status(before, after, "--json", tmp_path / "diff.json") == 1
    out = capsys.readouterr().out
    assert "setting filters.max_line: 1000 -> 900" in out
    assert "2 order: at another place" in out and "    a/1.py" in out
    assert json.loads((tmp_path / "diff.json").read_text())["changes"][0]["files"] == 2
    assert status(before, tmp_path / "nowhere") == 2
    assert "no finished output" in capsys.readouterr().err


def test_only_some_of_many_files_are_named_and_always_the_same(tmp_path: Path) -> None:
    many = document("many", {f"{n:03}.py": "x\n" for n in range(200)})
    first = found(tmp_path / "one", [DOCUMENT, OTHER, many])
    second = found(tmp_path / "two", [many, OTHER, DOCUMENT])
    assert first == second
    count, samples = first["gained", "absent", "kept"]
    assert count == 200 and len(samples) == compare_corpora.SAMPLES
