# SPDX-License-Identifier: Apache-2.0
"""Compares languages and exclusions with Ruby's Linguist: `make oracle NAME=languages`.

Needs `ruby` with the gem github-linguist of the release whose data we have
(`coder/data/linguist/upstream/VERSION`; Debian and Ubuntu: ruby-github-linguist). Prints
`oracle languages/<case> precision=<p> recall=<r>` for files made up from Linguist's own tables and
for the machine's real files, writes the same to benchmarks/results/oracle_languages.json, and
what Linguist says of the made-up files to tests/golden/linguist.json, for `make test`.

Files that Linguist leaves to its classifier are counted apart (`classifier`), as are those that
are no text by Linguist's judgement or by ours (`binary`), which end before any language is asked.
"""

import base64
import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from benchmarks._linguist_cases import HAND_WRITTEN, made_up, real
from coder.config import write_json
from coder.data.linguist import detect
from coder.data.linguist.exclusions import is_generated, is_minified, is_vendored

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "oracle_languages.json"
GOLDEN = ROOT / "tests" / "golden" / "linguist.json"
FOLDERS = (
    sysconfig.get_paths()["purelib"],
    "/usr/include",
    "/usr/lib/python3",
    "/usr/lib/ruby",
    "/usr/share",
)


def main(folders: list[str]) -> None:
    """Compares the made-up files and those below the folders."""
    check_ruby()
    files = [(path, text.encode()) for path, text in made_up()]
    theirs = linguist(files)
    rows = compare("made_up", files, theirs)
    write_golden(files, theirs)
    found = real([Path(folder) for folder in folders])
    rows |= compare("real", found, linguist(found))
    for name, row in rows.items():
        shown = " ".join(f"{key}={value:.4f}" for key, value in row.items() if key != "files")
        print(f"oracle languages/{name} {shown} files={row['files']:.0f}")
    write_json(RESULT, rows)


def check_ruby() -> None:
    """Ends with a sentence where Ruby's Linguist is not there, or is of another release."""
    wanted = (ROOT / "coder/data/linguist/upstream/VERSION").read_text().strip()
    found = None
    if shutil.which("ruby"):
        command = ["ruby", "-rlinguist", "-e", "print Linguist::VERSION"]
        run = subprocess.run(command, capture_output=True, text=True)
        found = run.stdout if run.returncode == 0 else None
    if found != wanted:
        sys.exit(
            f"make oracle NAME=languages needs ruby with the gem github-linguist {wanted}, "
            f"and found {found or 'none'}: gem install github-linguist -v {wanted}, or "
            "apt-get install ruby-github-linguist"
        )


def linguist(files: Iterable[tuple[str, bytes]]) -> list[dict]:
    """What Ruby's Linguist says of each file."""
    lines = [
        json.dumps({"path": path, "text": base64.b64encode(content).decode()})
        for path, content in files
    ]
    program = ROOT / "benchmarks" / "_linguist.rb"
    run = subprocess.run(
        ["ruby", program], input="\n".join(lines), stdout=subprocess.PIPE, text=True, check=True
    )
    return [json.loads(line) for line in run.stdout.splitlines()]


def compare(
    case: str, files: list[tuple[str, bytes]], theirs: list[dict]
) -> dict[str, dict[str, float]]:
    """Precision and recall of each kind of decision; the first differences are printed."""
    pairs: dict[str, list[tuple[object, object]]] = {}
    shown = 0
    for (path, content), expected in zip(files, theirs, strict=True):
        text = decoded(content)
        if text is None or expected["binary"]:
            pairs.setdefault("binary", []).append((text is None, expected["binary"]))
            continue
        kind = "classifier" if is_by_classifier(expected) else "language"
        answers = {
            kind: (detect.language(path, text), expected["language"]),
            "vendored": (is_vendored(path), expected["vendored"]),
            "generated": (is_generated_or_minified(path, text), expected["generated"]),
        }
        for name, (ours, wanted) in answers.items():
            pairs.setdefault(name, []).append((ours, wanted))
            if ours != wanted and name != "classifier" and shown < 20:
                print(f"  {case}: {name} of {path} {text[:80]!r} is {wanted}, not {ours}")
                shown += 1
    return {f"{case}/{name}": scores(answers) for name, answers in pairs.items()}


def is_by_classifier(said: dict) -> bool:
    """Whether Linguist's classifier chose among several languages."""
    return said["strategy"] == "Classifier" and said["language"] is not None


def scores(answers: list[tuple[object, object]]) -> dict[str, float]:
    """Precision and recall over the answers that are neither None nor False."""
    right = sum(1 for ours, wanted in answers if ours and ours == wanted)
    return {
        "precision": right / max(1, sum(1 for ours, _ in answers if ours)),
        "recall": right / max(1, sum(1 for _, wanted in answers if wanted)),
        "files": len(answers),
    }


def is_generated_or_minified(path: str, text: str) -> bool:
    """What Linguist calls generated; by name alone a minified file is only vendored to it."""
    return is_generated(path, text) or is_minified(path.replace("min.", "m."), text)


def decoded(content: bytes) -> str | None:
    """The text of a file as the pipeline has it; None: it is none."""
    if b"\0" in content:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def write_golden(files: list[tuple[str, bytes]], theirs: list[dict]) -> None:
    """Writes what Linguist says, where its classifier is not asked.

    For the repository's size, of the files made up from tables only one in four.
    """
    rows = [
        [path, content.decode(), said["language"], said["vendored"], said["generated"]]
        for index, ((path, content), said) in enumerate(zip(files, theirs, strict=True))
        if (index % 4 == 0 or index >= len(files) - len(HAND_WRITTEN))
        and not is_by_classifier(said)
        and not said["binary"]
    ]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    GOLDEN.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:] or list(FOLDERS))
