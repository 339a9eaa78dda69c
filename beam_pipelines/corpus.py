# SPDX-License-Identifier: Apache-2.0
"""From repositories to documents: their connected components, files in dependency order.

    python -m beam_pipelines.corpus --source installed --output runs/corpus/default
    python -m beam_pipelines.corpus --source folder:DIR --output OUT --order random --seed 1
    python -m beam_pipelines.corpus --source folder:DIR --output OUT -- --runner=FlinkRunner

`build` is the whole graph. The output folder holds `train-*.tfrecord` and `held_out-*.tfrecord`
(`coder.data.records.Document`), `rejects-*.jsonl`, and `manifest.json`, which is written last. Exit
status: 0 done or up to date, 1 nothing was kept, 2 the command cannot be carried out as given.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from beam_pipelines import corpus_summary, manifest, options, progress
from beam_pipelines.local_workers import fatal_worker_deaths
from beam_pipelines.read_repositories import (
    Repository,
    SourceError,
    batches,
    input_digest,
    list_repositories,
)
from beam_pipelines.split_held_out import held_out_names
from coder import config
from coder.data import filters, ordering
from coder.data.languages import language_of

if TYPE_CHECKING:
    from apache_beam import Pipeline

# Raised when the same input and options give other documents than before, so that old output is not
# taken for new.
FORMAT = 1

SUMMARY = "shards.json.partial"

log = logging.getLogger("beam_pipelines")


@dataclass(frozen=True)
class CorpusOptions:
    """Options of the corpus pipeline."""

    output: Path
    """Folder to write to."""
    source: str = "installed"
    """installed: what requirements.txt locks. folder:DIR: each child folder is a repository."""
    order: ordering.Order = "dependency"
    """How the files of a document follow each other."""
    seed: int = 0
    """Draws ties and random orders, and the held-out repositories of a folder."""
    shards: Annotated[int, tyro.conf.arg(metavar="N")] = 8
    """Output files of each split."""
    workers: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Processes on this machine; with 1, the work is done in this one."""


@dataclass(frozen=True)
class Job:
    """What `build` needs to know beyond the repositories."""

    output: str
    order: ordering.Order
    seed: int
    shards: int
    held_out: frozenset[str]
    channel: str = ""


def build(pipeline: "Pipeline", repositories: Sequence[Repository], job: Job) -> None:
    """The whole graph, from references to repositories to shards of documents and rejects."""
    import apache_beam as beam

    from beam_pipelines.deduplicate_files import DeduplicateFiles
    from beam_pipelines.filter_files import FilterFiles
    from beam_pipelines.order_dependencies import OrderDependencies, is_of
    from beam_pipelines.reject_near_held_out import RejectNearHeldOut
    from beam_pipelines.write_tfrecords import (
        WriteShards,
        WriteSummary,
        document_record,
        reject_record,
    )

    listed = [reject for repository in repositories for reject in repository.rejects]
    work = [batch for repository in repositories for batch in batches(repository)]

    refused = pipeline | "refused on listing" >> beam.Create(listed)
    read = pipeline | "references" >> beam.Create(work) | "balance" >> beam.Reshuffle()
    filtered = read | "filter files" >> FilterFiles(job.channel)
    distinct = filtered.kept | "deduplicate files" >> DeduplicateFiles()
    ordered = distinct.kept | "order dependencies" >> OrderDependencies(
        job.order, job.seed, job.held_out, job.channel
    )
    train = ordered.kept | "train" >> beam.Filter(is_of, "train")
    held_out = ordered.kept | "held out" >> beam.Filter(is_of, "held_out")
    far = held_out | "reject near held-out" >> RejectNearHeldOut(train, job.channel)
    rejects = (
        refused,
        filtered.rejects,
        distinct.rejects,
        ordered.rejects,
        far.rejects,
    ) | beam.Flatten()

    shards = (
        train
        | "train records" >> beam.Map(document_record)
        | WriteShards(job.output, "train", job.shards),
        far.kept
        | "held-out records" >> beam.Map(document_record)
        | WriteShards(job.output, "held_out", job.shards),
        rejects
        | "reject records" >> beam.Map(reject_record)
        | WriteShards(job.output, "rejects", job.shards, ".jsonl"),
    )
    _ = shards | "all shards" >> beam.Flatten() | WriteSummary(job.output, SUMMARY)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    chosen, beam_flags = options.parse(
        CorpusOptions,
        sys.argv[1:] if argv is None else argv,
        "python -m beam_pipelines.corpus",
        __doc__ or "",
    )
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    log.setLevel(logging.INFO)
    try:
        sys.exit(run(chosen, beam_flags))
    except (SourceError, manifest.OutputError, options.OptionError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def run(chosen: CorpusOptions, beam_flags: Sequence[str] = ()) -> int:
    """Builds a corpus, or finds it up to date; returns the exit status.

    Raises:
        SourceError, OutputError, OptionError: the command cannot be carried out as given.
    """
    check(chosen)
    if beam_flags:
        options.beam_options(beam_flags)
    repositories = list_repositories(chosen.source)
    names = [repository.info.name for repository in repositories]
    held_out = held_out_names(chosen.source, names, chosen.seed)
    settings = settings_of(chosen, repositories, held_out)
    if manifest.prepare(chosen.output, settings):
        print(f"{chosen.output} is up to date: same options, same files as its {manifest.MANIFEST}")
        return 0
    start = time.monotonic()
    shards, unparsed = execute(chosen, beam_flags, repositories, held_out)
    result = corpus_summary.assemble(settings, repositories, shards, unparsed)
    if not result["documents"]:
        print(corpus_summary.nothing_kept(chosen.source, chosen.output, result), file=sys.stderr)
        return 1
    config.write_json(chosen.output / manifest.MANIFEST, result)
    (chosen.output / SUMMARY).unlink()
    corpus_summary.show(result, chosen.output, time.monotonic() - start)
    return 0


def check(chosen: CorpusOptions) -> None:
    """Raises OptionError for numbers that make no sense."""
    for name, value, least, most in (
        ("seed", chosen.seed, 0, 2**63 - 1),
        ("shards", chosen.shards, 1, 99_999),
        ("workers", chosen.workers, 1, 9_999),
    ):
        if not least <= value <= most:
            raise options.OptionError(f"--{name} {value}: at least {least}, at most {most}")


def settings_of(
    chosen: CorpusOptions, repositories: Sequence[Repository], held_out: frozenset[str]
) -> dict[str, Any]:
    """What the bytes of the output depend on: neither the folder's name nor the workers."""
    return {
        "format": FORMAT,
        "source": chosen.source,
        "order": chosen.order,
        "seed": chosen.seed,
        "shards": chosen.shards,
        "filters": asdict(filters.FilterConfig()),
        "held_out": sorted(held_out),
        "input_digest": input_digest(repositories),
    }


def execute(
    chosen: CorpusOptions,
    beam_flags: Sequence[str],
    repositories: Sequence[Repository],
    held_out: frozenset[str],
) -> tuple[list[dict[str, Any]], int]:
    """Runs the pipeline to its end; returns the rows of `WriteSummary` and the count `UNPARSED`."""
    import apache_beam as beam
    from apache_beam.metrics.metric import MetricsFilter

    from beam_pipelines.order_dependencies import UNPARSED

    flags = options.beam_options(beam_flags, chosen.workers)
    output = os.path.abspath(chosen.output)
    with (
        fatal_worker_deaths(),
        progress.shown("corpus", expected_work(repositories)) as channel,
        beam.Pipeline(options=flags) as pipeline,
    ):
        job = Job(output, chosen.order, chosen.seed, chosen.shards, held_out, channel)
        build(pipeline, repositories, job)
    counted = pipeline.result.metrics().query(MetricsFilter().with_metric(UNPARSED))["counters"]
    shards = json.loads((chosen.output / SUMMARY).read_text(encoding="utf-8"))
    return shards, sum(counter.result for counter in counted)


def expected_work(repositories: Sequence[Repository]) -> int:
    """Bytes that progress counts towards: a file is done when all stages are done with it."""
    return sum(file.size for repo in repositories for file in repo.files if language_of(file.path))


if __name__ == "__main__":
    main()
