# SPDX-License-Identifier: Apache-2.0
"""What happened to one file, as a person is told it."""

from pathlib import Path

import pytest

from beam_pipelines.explain import main
from coder.data.records import Reject
from tests.beam_pipelines.finished_corpus import SETTINGS, document, finish


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    package = {
        "pkg/base.py": "x = 1\n",
        "pkg/user.py": "from pkg import base\n",
        "pkg/top.py": "from pkg.user import base\n",
    }
    documents = [
        document("owner/tool", package),
        document("owner/tool", {"README.md": "# Tool\n"}, language="Markdown"),
        document("other", {"pkg/base.py": "y = 2\n", "twice.py": "z = 3\n"}, split="held_out"),
    ]
    rejects = [
        Reject("other", "copy.py", "exact_duplicate", "of owner/tool/pkg/base.py"),
        Reject("other", "copy2.py", "exact_duplicate", "of owner/tool/pkg/base.py"),
        Reject("owner/tool", "wide.py", "longest_line", ""),
        Reject("owner/tool", "third_party/[x].py", "vendored", ""),
        Reject("other", "twice.py", "duplicate_path", "an entry before has the same path"),
        Reject("other", "twice.py", "exact_duplicate", "of other/twice.py"),
        Reject("owner/tool", "far.py", "exact_duplicate", "of other/gone.py"),
        Reject("other", "gone.py", "near_training", ""),
        Reject("other", "gone.py", "empty", ""),
        Reject("owner/tool", "pkg/top.py", "longest_line", ""),
        Reject("late", "late", "created_late", "2024-01-01"),
        Reject("owner/tool", "strange.py", "of_the_future", "who knows"),
    ]
    rejects += [Reject(f"repository{n}", "a.py", "empty", "") for n in range(20)]
    folder = tmp_path_factory.mktemp("corpus")
    return finish(folder, documents, rejects, {**SETTINGS, "component_bytes": 500}, shards=4)


def told(corpus: Path, repo: str, path: str, capsys: pytest.CaptureFixture[str]) -> str:
    main(["--run", str(corpus), "--repo", repo, "--path", path])
    out = capsys.readouterr().out
    assert "\x1b" not in out, "colour in a pipe"
    return out


def test_a_kept_file_is_followed_through_all_stages(corpus: Path, capsys) -> None:
    out = told(corpus, "owner/tool", "pkg/user.py", capsys)
    assert out.startswith("pkg/user.py of owner/tool: kept\n")
    assert out.count("✓") == 7
    assert "language Python" in out and "licence MIT" in out
    assert "file 2 of 3 in document owner/tool#pkg/base.py, order dependency" in out
    assert "depends on pkg/base.py\n" in out
    assert "needed by pkg/top.py\n" in out
    assert "split train" in out


def test_a_file_of_its_own_may_be_there_for_the_size_of_its_component(corpus: Path, capsys) -> None:
    out = told(corpus, "owner/tool", "README.md", capsys)
    assert "file 1 of 1 in document owner/tool#README.md" in out
    assert "over --component-bytes 500" in out


def test_a_kept_file_names_the_copies_that_were_rejected_for_it(corpus: Path, capsys) -> None:
    out = told(corpus, "owner/tool", "pkg/base.py", capsys)
    (line,) = [line for line in out.splitlines() if "preferred" in line]
    assert "2 equal files" in line and "other/copy.py" in line and "other/copy2.py" in line
    assert "preferred" not in told(corpus, "other", "pkg/base.py", capsys)


def test_a_rejected_file_stops_at_its_stage(corpus: Path, capsys) -> None:
    out = told(corpus, "owner/tool", "wide.py", capsys)
    assert out.startswith("wide.py of owner/tool: rejected\n")
    assert "✗ the paper's rules\n" in out
    assert "longest_line: Its longest line is too long." in out
    assert "--rules.max-line was 1000" in out
    assert "✓ language and origin" in out
    assert "· equal files: not reached" in out


def test_brackets_in_a_path_are_no_markup(corpus: Path, capsys) -> None:
    out = told(corpus, "owner/tool", "third_party/[x].py", capsys)
    assert out.startswith("third_party/[x].py of owner/tool: rejected\n")
    assert "--rules.keep-vendored was False" in out


def test_a_duplicate_leads_to_the_file_that_was_kept(corpus: Path, capsys) -> None:
    out = told(corpus, "other", "copy.py", capsys)
    assert "owner/tool/pkg/base.py was kept, in document owner/tool#pkg/base.py" in out


def test_a_repeated_entry_of_an_archive_is_told_beside_the_kept_one(corpus: Path, capsys) -> None:
    out = told(corpus, "other", "twice.py", capsys)
    assert out.startswith("twice.py of other: kept\n")
    assert out.count("twice.py of other: rejected\n") == 2
    assert "other/twice.py was kept" in out and "rejected later" not in out


def test_rows_of_one_path_that_were_rejected_are_told_after_the_kept_one(corpus: Path, capsys):
    out = told(corpus, "owner/tool", "pkg/top.py", capsys)
    kept, rejected = out.split("pkg/top.py of owner/tool: rejected\n")
    assert kept.startswith("pkg/top.py of owner/tool: kept\n") and "longest_line" in rejected


def test_only_what_lost_its_place_after_its_equals_was_rejected_later(corpus: Path, capsys) -> None:
    out = told(corpus, "owner/tool", "far.py", capsys)
    assert "other/gone.py was rejected later: near_training\n" in out
    assert "rejected later: empty" not in out


def test_a_repository_that_was_never_listed_stands_for_its_files(corpus: Path, capsys) -> None:
    out = told(corpus, "late", "src/any.py", capsys)
    assert "created_late: The repository was created too late." in out
    assert "--created-before was 2023-02-01" in out
    assert "✗ what is known of the repository" in out


def test_a_reason_of_another_version_is_told_as_it_is(corpus: Path, capsys) -> None:
    out = told(corpus, "owner/tool", "strange.py", capsys)
    assert "of_the_future" in out and "who knows" in out


@pytest.mark.parametrize(
    ("repo", "path", "message"),
    [
        ("owner/tol", "pkg/base.py", "no repository owner/tol; nearest: owner/tool"),
        ("owner/tool", "pkg/bas.py", "no file pkg/bas.py in owner/tool; nearest: pkg/base.py"),
        ("owner/tool", "src/main/base.py", "nearest: pkg/base.py"),
    ],
)
def test_an_unknown_file_is_an_error_with_the_nearest(
    repo: str, path: str, message: str, corpus: Path, capsys
) -> None:
    with pytest.raises(SystemExit) as error:
        main(["--run", str(corpus), "--repo", repo, "--path", path])
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_its_shards_is_an_error(tmp_path: Path, capsys) -> None:
    finish(tmp_path, [document("a", {"a.py": "x = 1\n"})])
    next(tmp_path.glob("train-*")).unlink()
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SystemExit) as error:
            main(["--run", str(folder), "--repo", "a", "--path", "a.py"])
        assert error.value.code == 2
    assert "is missing; build the corpus again" in capsys.readouterr().err
