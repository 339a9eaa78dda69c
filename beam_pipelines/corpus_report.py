# SPDX-License-Identifier: Apache-2.0
"""A finished corpus for people: `corpus_report.md` and its plots, in the corpus's folder.

    python -m beam_pipelines.corpus_report --run runs/corpus/default

Written after every run of `beam_pipelines.corpus`; this draws it again. All figures are those of
`manifest.json`; only the samples of rejects are read from `rejects-*.jsonl`.
"""

import hashlib
import heapq
import json
import logging
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_pipelines import manifest, options, paper_corpus, storage
from beam_pipelines.corpus_shards import read_finished
from beam_pipelines.reasons import STAGES, by_stage, reason_of
from beam_pipelines.text_format import code, percent, plain, power, size
from coder.report.rendering import table

REPORT = "corpus_report.md"
SAMPLES = 5
"""Rejects that are shown for each reason."""
_MOST_ROWS = 40
"""Of a table that may be of any length."""
_FALLBACKS = {
    "components": "components were over --component-bytes and became a document for each file",
    "component_files": "files were in such components",
    "repositories": "repositories were too large to be ordered and became a document for each file",
    "repository_files": "files were in such repositories",
}


@dataclass(frozen=True)
class ReportOptions:
    """Options of the report."""

    run: str
    """Folder of a finished corpus."""


def write_report(output: str | os.PathLike[str]) -> None:
    """Writes the report of a finished corpus into its folder, wherever Beam's file systems reach.

    The same corpus gives the same bytes on the same platform.

    Raises:
        OutputError: the folder holds no finished corpus.
    """
    from beam_pipelines import corpus_plots  # matplotlib takes a second to import

    output = os.fspath(output)
    done = read_finished(output)
    plots = corpus_plots.draw(done)
    report = markdown(done, sorted(plots), samples(output, done))
    for name, data in {**plots, REPORT: report.encode()}.items():
        temporary = storage.join(output, f"{name}.partial")
        with FileSystems.create(temporary, "image/png", CompressionTypes.UNCOMPRESSED) as file:
            file.write(data)
        storage.replace(temporary, storage.join(output, name))


def samples(output: str, done: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    """Some rejects of every reason: those of the smallest hashes, in the order of their names."""
    smallest: dict[bytes, list[tuple[bytes, bytes]]] = {}
    for line in _reject_lines(output, done):
        # Within a string there are no plain quotes: this finds the field without decoding.
        reason = line.partition(b'"reason": "')[2].partition(b'"')[0]
        entry = (hashlib.blake2b(line, digest_size=8).digest(), line)
        found = smallest.setdefault(reason, [])
        found.append(entry)
        if len(found) > 100 * SAMPLES:
            found[:] = heapq.nsmallest(SAMPLES, found)
    chosen = {
        reason.decode(): [json.loads(line) for _, line in heapq.nsmallest(SAMPLES, found)]
        for reason, found in smallest.items()
    }
    return {
        reason: sorted(rejects, key=lambda reject: (reject["repository"], reject["path"]))
        for reason, rejects in chosen.items()
    }


def _reject_lines(output: str, done: Mapping[str, Any]) -> Iterator[bytes]:
    for shard in done["rejects"]:
        yield from storage.read_lines(storage.join(output, shard["path"]))


def markdown(
    done: Mapping[str, Any], plots: Sequence[str], shown: Mapping[str, list[dict[str, str]]]
) -> str:
    """The whole report.

    Args:
        done: the manifest.
        plots: file names of the plots there are.
        shown: samples of rejects by reason.
    """

    def plot(name: str, caption: str) -> list[str]:
        return [f"![{caption}]({name})"] if name in plots else []

    parts = [f"# Corpus of {code(done['config']['source'])}", facts(done)]
    parts += ["## From read to kept", kept_sentence(done)]
    parts += [*plot("corpus_funnel.png", "Files left after each reason"), funnel_table(done)]
    parts += ["## Languages", paper_sentence()]
    parts += [*plot("corpus_languages.png", "Share of each language"), language_table(done)]
    parts += ["## Documents", *documents_section(done)]
    parts += plot("corpus_documents.png", "Documents by files and by bytes")
    parts += ["## Licences", licence_table(done), "## Rejects, by example"]
    parts += list(samples_section(done, shown))
    return "\n\n".join(parts) + "\n"


def facts(done: Mapping[str, Any]) -> str:
    """What the corpus is made of and from, as a table."""
    settings, files = done["config"], done["files"]
    known = {
        "digest": code(done["digest"]),
        "source": code(settings["source"]),
        "input digest": code(str(settings.get("input_digest", ""))),
        "order": str(settings["order"]),
        "seed": str(settings["seed"]),
        "repositories": f"{done['repositories']:,}",
        "documents": f"{done['documents']:,}",
        "files": f"{files['kept']:,}",
        "size": size(sum(done["bytes"].values())),
        "imports not read": f"{done['unparsed']:,} files, kept without dependencies",
        "platform": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }
    for split, row in done["by_split"].items():
        known[f"split {split}"] = (
            f"{row['documents']:,} documents, {row['files']:,} files, {size(row['bytes'])}"
        )
    return table(["", ""], [[name, value] for name, value in known.items()])


def kept_sentence(done: Mapping[str, Any]) -> str:
    """How much was kept, and what the paper says of its own."""
    files = done["files"]
    return (
        f"{files['kept']:,} of {files['read']:,} files were kept "
        f"({percent(files['kept'], files['read'])}). After its rules, the paper keeps "
        f"{percent(paper_corpus.KEPT_SHARE, 1)} of its data; how much of a source is in the "
        "languages of the corpus at all differs."
    )


def funnel_table(done: Mapping[str, Any]) -> str:
    """Every reason in the order of the stages, with what it means and what changes it."""
    files = done["files"]
    left = files["read"]
    rows = [["**read**", "", f"**{left:,}**", "100 %", "", ""]]
    for stage, counts in by_stage(files["rejected"]).items():
        for word, number in counts.items():
            left -= number
            reason = reason_of(word)
            rows.append(
                [
                    f"− {code(word)}",
                    f"{number:,}",
                    f"{left:,}",
                    percent(number, files["read"]),
                    f"{STAGES.get(stage, 'other')}: {reason.meaning}",
                    code(reason.setting) if reason.setting else "",
                ]
            )
    share = percent(files["kept"], files["read"])
    rows.append(["**kept**", "", f"**{files['kept']:,}**", share, "", ""])
    return table(["", "files", "left", "of read", "why", "option"], rows, numbers=(1, 2, 3))


def paper_sentence() -> str:
    """What the paper's figures in the table of languages are."""
    return (
        f"In the form of {paper_corpus.SOURCE}, whose corpus has {paper_corpus.NUM_LANGUAGES} "
        f"languages, {paper_corpus.FILES / 1e6:.0f} million files and {size(paper_corpus.BYTES)}. "
        "Only those of its rows that could be checked are given."
    )


def language_table(done: Mapping[str, Any]) -> str:
    """Files, bytes and share of each language, and the paper's size and share."""
    total, files = sum(done["bytes"].values()), done["language_files"]
    rows = []
    for name, number in done["bytes"].items():
        theirs = paper_corpus.LANGUAGES.get(name)
        paper = ["", ""]
        if theirs:
            paper = [size(theirs.bytes) if theirs.bytes else "", f"{100 * theirs.share:.2f} %"]
        share = percent(number, total, digits=2)
        rows.append([name, f"{files[name]:,}", size(number), share, *paper])
    paper = [size(paper_corpus.BYTES), "100 %"]
    rows.append(["**all**", f"{sum(files.values()):,}", size(total), "100 %", *paper])
    header = ["language", "files", "size", "share", "paper: size", "share"]
    return table(header, rows, numbers=range(1, 6))


def documents_section(done: Mapping[str, Any]) -> Iterator[str]:
    """Sizes of documents, and what was not ordered for its size."""
    yield (
        f"{done['documents']:,} documents, one for each connected component of a repository's "
        f"dependencies, their files in the order {code(done['config']['order'])}."
    )
    for what, unit in (("files", ""), ("bytes", "B")):
        counts = done["document_sizes"][what]
        rows = [
            [power(int(least), unit), f"{number:,}", percent(number, done["documents"])]
            for least, number in counts.items()
        ]
        yield table([f"{what}, from", "documents", "share"], rows, numbers=(0, 1, 2))
    yield fallbacks_list(done)


def fallbacks_list(done: Mapping[str, Any]) -> str:
    """What was not ordered for its size."""
    fallbacks = {name: number for name, number in done["fallbacks"].items() if number}
    if not fallbacks:
        return "No component was over a limit of size: all were ordered."
    known = [name for name in _FALLBACKS if name in fallbacks]
    names = [*known, *(name for name in fallbacks if name not in known)]
    return "\n".join(f"- {fallbacks[name]:,} {_FALLBACKS.get(name, name)}" for name in names)


def licence_table(done: Mapping[str, Any]) -> str:
    """Files and bytes of each licence."""
    total = sum(done["bytes"].values())
    licences = list(done["licences"].items())
    rows = [
        [code(name) if name else "not known", f"{row['files']:,}", size(row["bytes"])]
        + [percent(row["bytes"], total)]
        for name, row in licences[:_MOST_ROWS]
    ]
    if rest := licences[_MOST_ROWS:]:
        files, count = (sum(row[key] for _, row in rest) for key in ("files", "bytes"))
        rows.append([f"{len(rest)} others", f"{files:,}", size(count), percent(count, total)])
    return table(["licence", "files", "size", "share"], rows, numbers=(1, 2, 3))


def samples_section(
    done: Mapping[str, Any], shown: Mapping[str, list[dict[str, str]]]
) -> Iterator[str]:
    """A few files for each reason, drawn by the hash of their names."""
    for stage, counts in by_stage(done["files"]["rejected"]).items():
        for word, number in counts.items():
            yield f"### {code(word)} ({number:,}, {STAGES.get(stage, 'other')})"
            yield reason_of(word).meaning
            lines = []
            for reject in shown.get(word, ()):
                detail = f": {plain(reject['detail'])}" if reject["detail"] else ""
                lines.append(f"- {code(reject['repository'] + '/' + reject['path'])}{detail}")
            yield "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    arguments = sys.argv[1:] if argv is None else argv
    prog = "python -m beam_pipelines.corpus_report"
    chosen, _ = options.parse(ReportOptions, arguments, prog, __doc__ or "")
    try:
        write_report(chosen.run)
    except manifest.OutputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(Path(chosen.run) / REPORT)


if __name__ == "__main__":
    main()
