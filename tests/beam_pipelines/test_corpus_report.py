# SPDX-License-Identifier: Apache-2.0
"""The report of a corpus: its figures are the manifest's, its bytes always the same."""

import json
import re
import shutil
from pathlib import Path

import pytest

from beam_pipelines.corpus_report import SAMPLES, main, write_report
from beam_pipelines.manifest import OutputError
from beam_pipelines.text_format import code, percent, plain, power, size
from coder.data.records import Reject
from tests.beam_pipelines.finished_corpus import document, finish

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    documents = [
        document("java", {f"A{n}.java": "class A {}\n" * 20 for n in range(9)}, "Java"),
        document("tool", {"a.py": "x = 1\n", "b.py": "import a\n"}),
        document("tool", {"c.py": "y = 2\n" * 500}, licence="", split="held_out"),
    ]
    rejects = [Reject("tool", f"gone{n}.py", "exact_duplicate", "of tool/a.py") for n in range(8)]
    rejects += [Reject("tool", "odd|`name`.py", "longest_line", ""), Reject("t", "n", "newer", "")]
    folder = tmp_path_factory.mktemp("corpus")
    counts = {"unparsed": 1, "fallback/components": 2, "fallback/component_files": 40}
    finish(folder, documents, rejects, counts=counts)
    write_report(folder)
    return folder


def rows(report: str, heading: str) -> dict[str, list[str]]:
    """The first table below a heading, by its first cells."""
    part = report.partition(f"## {heading}\n")[2]
    lines = re.findall(r"^\| (.*) \|$", part.partition("\n## ")[0], re.MULTILINE)
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]
    return {first.strip("*"): rest for first, *rest in cells}


def test_the_funnel_goes_from_read_to_kept_with_every_reason(corpus: Path) -> None:
    funnel = rows((corpus / "corpus_report.md").read_text(), "From read to kept")
    assert list(funnel)[2:] == [
        "read",
        "− `longest_line`",
        "− `exact_duplicate`",
        "− `newer`",
        "kept",
    ]
    assert funnel["read"][1] == "**22**"
    assert funnel["− `longest_line`"][:2] == ["1", "21"]
    assert "--rules.max-line" in funnel["− `longest_line`"][-1]
    assert funnel["− `exact_duplicate`"][:2] == ["8", "13"]
    assert funnel["kept"][1] == "**12**"


def test_languages_stand_beside_the_papers(corpus: Path) -> None:
    table = rows((corpus / "corpus_report.md").read_text(), "Languages")
    assert table["Python"] == ["3", "3.02 kB", "60.36 %", "121 GB", "15.12 %"]
    assert table["Java"] == ["9", "1.98 kB", "39.64 %", "149 GB", "18.63 %"]
    assert table["all"][:3] == ["12", "5 kB", "100 %"]


def test_documents_licences_and_fallbacks_are_told(corpus: Path) -> None:
    report = (corpus / "corpus_report.md").read_text()
    assert rows(report, "Documents")["8"] == ["1", "33.3 %"]
    assert rows(report, "Licences")["not known"] == ["1", "3 kB", "60.1 %"]
    assert "- 2 components were over --component-bytes" in report
    assert "- 40 files were in such components" in report


def test_samples_name_some_files_of_every_reason(corpus: Path) -> None:
    report = (corpus / "corpus_report.md").read_text()
    by_example = report.partition("## Rejects, by example")[2]
    assert by_example.count("- `tool/gone") == SAMPLES
    assert "`` tool/odd|`name`.py ``" in by_example
    assert "### `newer` (1, other)" in by_example


def test_every_plot_of_the_report_is_there(corpus: Path) -> None:
    report = (corpus / "corpus_report.md").read_text()
    names = re.findall(r"!\[[^]]+\]\((.+?)\)", report)
    assert names == ["corpus_funnel.png", "corpus_languages.png", "corpus_documents.png"]
    assert all((corpus / name).read_bytes().startswith(PNG) for name in names)
    assert not list(corpus.glob("*.partial"))


def test_the_same_corpus_has_the_same_report(corpus: Path, tmp_path: Path) -> None:
    copy = tmp_path / "another folder"
    shutil.copytree(corpus, copy, ignore=shutil.ignore_patterns("*.png", "*.md"))
    write_report(copy)
    for path in corpus.iterdir():
        assert (copy / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_corpus_of_which_nothing_was_rejected_has_a_report(tmp_path: Path) -> None:
    write_report(finish(tmp_path, [document("a", {"a.py": "x = 1\n"})]))
    assert "100.0 %" in (tmp_path / "corpus_report.md").read_text()


def test_a_folder_that_is_no_corpus_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(OutputError, match="no finished output"):
        write_report(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"by_split": {}}))
    with pytest.raises(SystemExit) as error:
        main(["--run", str(tmp_path)])
    assert error.value.code == 2
    assert "build the corpus again" in capsys.readouterr().err


def test_figures_are_written_for_people() -> None:
    assert [size(n) for n in (0, 999, 1000, 999_600, 12_345_678, 5e15)] == [
        "0 B",
        "999 B",
        "1 kB",
        "1 MB",
        "12.3 MB",
        "5e+03 TB",
    ]
    assert [power(n) for n in (0, 1, 512, 1024, 2**24)] == ["0", "1", "512", "1 Ki", "16 Mi"]
    assert [power(n, "B") for n in (8, 2**15)] == ["8 B", "32 KiB"]
    assert [percent(*p) for p in ((0, 9), (1, 3), (1, 10_000), (0, 0))] == [
        "0.0 %",
        "33.3 %",
        "< 0.1 %",
        "0.0 %",
    ]
    assert code("a`b") == "`` a`b ``"
    assert plain("a_b*|") == r"a\_b\*\|"
