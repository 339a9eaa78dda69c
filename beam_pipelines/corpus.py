# SPDX-License-Identifier: Apache-2.0
"""From repositories to documents: their connected components, files in dependency order.

    python -m beam_pipelines.corpus --source installed --output runs/corpus/default
    python -m beam_pipelines.corpus --source folder:DIR --output OUT --order random --seed 1
    python -m beam_pipelines.corpus --source 'archive:gs://bucket/*.tar.gz' --output gs://bucket/out

`filter_stage`, `order_stage` and `held_out_stage` are the whole graph. The output folder holds
`train-*.tfrecord` and `held_out-*.tfrecord` (`coder.data.records.Document`), `rejects-*.jsonl`,
`corpus_report.md`, and `manifest.json`, which is written last. A run that was cut goes on with the
first stage that it had not finished. Exit status: 0 done or up to date, 1 nothing was kept, 2 the
command cannot be carried out as given.
"""

import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PBegin, PCollection

from beam_pipelines import corpus_summary, join_metadata, manifest, options, storage
from beam_pipelines.corpus_options import CorpusOptions, check
from beam_pipelines.corpus_report import write_report
from beam_pipelines.deduplicate_files import DeduplicateFiles
from beam_pipelines.filter_files import FilterFiles, KeptFile, Rules, kept_record
from beam_pipelines.join_metadata import JoinMetadata, metadata_state
from beam_pipelines.order_dependencies import OrderConfig, WriteDocuments
from beam_pipelines.read_repositories import ReadRepositories, Survey, survey
from beam_pipelines.reject_near_held_out import RejectNearHeldOut
from beam_pipelines.separate_outputs import Count
from beam_pipelines.sources.kinds import source_of
from beam_pipelines.sources.matching import is_remote
from beam_pipelines.sources.source import Source, SourceError
from beam_pipelines.split_held_out import held_out_of
from beam_pipelines.stages import StageResult, Stages
from beam_pipelines.write_tfrecords import (
    WriteShards,
    document_record,
    read_reject,
    reject_record,
)
from coder import config
from coder.data.languages import LanguageError, Languages
from coder.data.opt_out import OptOut, OptOutError
from coder.data.records import Document

# Raised when the same input and options give other documents than before, so that old output is not
# taken for new.
FORMAT = 2

LEAST_SHARDS, SHARD_BYTES = 8, 32 * 2**20

log = logging.getLogger("beam_pipelines")


@dataclass(frozen=True)
class Job:
    """What the stages need to know."""

    output: str
    source: Source
    rules: Rules
    metadata: JoinMetadata
    order: OrderConfig
    shards: int


def filter_stage(pipeline: beam.Pipeline, job: Job, channel: str) -> Any:
    """From the source to references of the files that pass the rules, and rejects."""
    read = pipeline | "read repositories" >> ReadRepositories(job.source)
    wanted = read.kept | "join metadata" >> job.metadata
    spread = wanted.kept | "spread batches" >> beam.Reshuffle()
    filtered = spread | "filter files" >> FilterFiles(job.source, job.rules, channel)
    passed = (
        filtered.kept
        | "passed" >> beam.Map(kept_record)
        | WriteShards(job.output, "stages/filter/passed", job.shards)
    )
    rejects = (read.rejects, wanted.rejects, filtered.rejects) | "refused" >> beam.Flatten()
    refused = rejects | "refused records" >> WriteRejects(job, "stages/filter/rejects")
    names = read.kept | "names" >> beam.Map(lambda batch: batch.info.name) | beam.Distinct()
    repositories = names | "repositories" >> beam.Map(lambda _: Count("repositories", 1))
    counts = (
        read.counts,
        wanted.counts,
        filtered.counts,
        repositories,
    ) | "counts" >> beam.Flatten()
    return (passed, refused, counts) | beam.Flatten()


def order_stage(pipeline: beam.Pipeline, job: Job, channel: str, filtered: StageResult) -> Any:
    """From these references to the documents of both splits; those of `train` are final."""
    files = (
        pipeline
        | "passed" >> ReadStage(job, filtered.paths("stages/filter/passed"))
        | "files" >> beam.Map(KeptFile.decode)
    )
    members = files | "members" >> beam.Filter(lambda file: not file.is_beside)
    beside = files | "beside" >> beam.Filter(lambda file: file.is_beside)
    distinct = members | "deduplicate files" >> DeduplicateFiles()
    gathered = (distinct.kept, beside) | "with those beside" >> beam.Flatten()
    documents = gathered | "write documents" >> WriteDocuments(
        job.source,
        job.order,
        job.output,
        {"train": "train", "held_out": "stages/order/held_out"},
        job.shards,
        channel,
    )
    rejects = (distinct.rejects, documents.rejects) | "refused" >> beam.Flatten()
    refused = rejects | "refused records" >> WriteRejects(job, "stages/order/rejects")
    return (documents.kept, refused, documents.counts) | "results" >> beam.Flatten()


def held_out_stage(
    pipeline: beam.Pipeline, job: Job, channel: str, filtered: StageResult, ordered: StageResult
) -> Any:
    """From all documents to the held-out ones that training does not hold; all rejects together."""
    train = (
        pipeline
        | "train" >> ReadStage(job, ordered.paths("train"))
        | "train documents" >> beam.Map(Document.decode)
    )
    held_out = (
        pipeline
        | "held out" >> ReadStage(job, ordered.paths("stages/order/held_out"))
        | "held-out documents" >> beam.Map(Document.decode)
    )
    far = held_out | "reject near held-out" >> RejectNearHeldOut(train, channel)
    earlier = (
        pipeline
        | "earlier rejects"
        >> beam.Create(
            [
                storage.join(job.output, path)
                for result in (filtered, ordered)
                for path in result.paths("stages/")
                if path.endswith(".jsonl")
            ]
        )
        | "lines" >> beam.FlatMap(storage.read_lines)
        | "rejects" >> beam.Map(read_reject)
    )
    kept = (
        far.kept
        | "held-out records" >> beam.Map(document_record)
        | WriteShards(job.output, "held_out", job.shards)
    )
    rejects = (earlier, far.rejects) | "all rejects" >> beam.Flatten()
    refused = rejects | "reject records" >> WriteRejects(job, "rejects")
    return (kept, refused) | "results" >> beam.Flatten()


class ReadStage(beam.PTransform):
    """The records of an earlier stage's shards, a shard to a worker at a time.

    Grouping deals the shards out in this order, where `Reshuffle` draws lots: with shards of
    unequal size, some of several workers would long have nothing left to do.
    """

    def __init__(self, job: Job, paths: Sequence[str]) -> None:
        """`paths`: below the output folder, the largest first."""
        super().__init__()
        self.addresses = [storage.join(job.output, path) for path in paths]

    def expand(self, begin: PBegin):
        """Adds the step to the graph."""
        return (
            begin
            | beam.Create(list(enumerate(self.addresses)))
            | "deal out" >> beam.GroupByKey()
            | "addresses" >> beam.FlatMapTuple(lambda _, addresses: addresses)
            | "records" >> beam.FlatMap(storage.read_records)
        )


class WriteRejects(beam.PTransform):
    """`Reject`s to shards of JSON lines."""

    def __init__(self, job: Job, prefix: str) -> None:
        """`prefix`: of the shards' names."""
        super().__init__()
        self.job, self.prefix = job, prefix

    def expand(self, rejects: PCollection):
        """Adds the step to the graph."""
        records = rejects | beam.Map(reject_record)
        return records | WriteShards(self.job.output, self.prefix, self.job.shards, ".jsonl")


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    chosen, beam_flags = options.parse(
        CorpusOptions,
        sys.argv[1:] if argv is None else argv,
        "python -m beam_pipelines.corpus",
        __doc__ or "",
    )
    logging.basicConfig(level=logging.ERROR, format="%(message)s", force=True)
    log.setLevel(logging.INFO)
    try:
        sys.exit(run(chosen, beam_flags))
    except (
        SourceError,
        LanguageError,
        OptOutError,
        manifest.OutputError,
        options.OptionError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def run(chosen: CorpusOptions, beam_flags: Sequence[str] = ()) -> int:
    """Builds a corpus, or finds it up to date; returns the exit status.

    Raises:
        SourceError, LanguageError, OptOutError, OutputError, OptionError: the command cannot be
            carried out as given.
    """
    check(chosen)
    manifest.check_reachable(chosen.output)
    if chosen.metadata:
        join_metadata.check_metadata(chosen.metadata)
    if beam_flags:
        options.beam_options(beam_flags)
    source = source_of(chosen.source)
    found = survey(source)
    job = make_job(chosen, source, found)
    settings = settings_of(chosen, job, found)
    stages = Stages(job.output, beam_flags, chosen.workers)
    if stages.are_left() and not stages.can_resume(settings):
        log.warning("%s: unfinished, with other options or another input: all anew", chosen.output)
    if manifest.prepare(job.output, settings, resume=stages.can_resume(settings)):
        if stages.are_left():
            finish(job, stages)
        print(f"{chosen.output} is up to date: same options and input as its {manifest.MANIFEST}")
        return 0
    start = time.monotonic()
    stages.begin(settings)
    result = corpus_summary.assemble(settings, execute(stages, job, found))
    if not result["documents"]:
        print(corpus_summary.nothing_kept(chosen.source, chosen.output, result), file=sys.stderr)
        return 1
    storage.write_json(storage.join(job.output, manifest.MANIFEST), result)
    finish(job, stages)
    corpus_summary.show(result, chosen.output, time.monotonic() - start)
    return 0


def finish(job: Job, stages: Stages) -> None:
    """What a run still has to do when its manifest is written."""
    write_report(job.output)
    stages.end()


def make_job(chosen: CorpusOptions, source: Source, found: Survey) -> Job:
    """Settles what follows from the options and the source."""
    output = chosen.output if is_remote(chosen.output) else os.path.abspath(chosen.output)
    opt_out = OptOut.read(chosen.opt_out) if chosen.opt_out else OptOut()
    held_out = held_out_of(chosen.source, source, chosen.seed, found.bytes)
    return Job(
        output,
        source,
        Rules(chosen.rules, Languages.named(chosen.languages), opt_out),
        JoinMetadata(chosen.metadata, chosen.taken),
        OrderConfig(chosen.order, chosen.seed, held_out, chosen.component_bytes),
        chosen.shards or max(LEAST_SHARDS, -(-found.bytes // SHARD_BYTES)),
    )


def settings_of(chosen: CorpusOptions, job: Job, found: Survey) -> dict[str, Any]:
    """What the bytes of the output depend on: neither the folder's name nor the workers."""
    held_out = job.order.held_out
    return {
        "format": FORMAT,
        "source": chosen.source,
        "languages": list(chosen.languages),
        "order": chosen.order,
        "component_bytes": chosen.component_bytes,
        "seed": chosen.seed,
        "shards": job.shards,
        "filters": asdict(chosen.rules),
        "taken": asdict(chosen.taken),
        "metadata": config.digest(metadata_state(chosen.metadata)) if chosen.metadata else "",
        "opt_out": job.rules.opt_out.digest,
        "held_out": held_out.share if held_out.listed is None else sorted(held_out.listed),
        "input_digest": found.digest,
    }


def execute(stages: Stages, job: Job, found: Survey) -> list[StageResult]:
    """Runs the stages that are not finished; returns what each has written and counted."""
    filtered = stages.run("filter", found.bytes, lambda p, channel: filter_stage(p, job, channel))
    passed = manifest.total(shard["counts"] for shard in filtered.shards)
    ordered = stages.run(
        "order",
        passed["passed_bytes"] + passed["beside_bytes"],
        lambda p, channel: order_stage(p, job, channel, filtered),
    )
    held_out = stages.run(
        "held_out",
        corpus_summary.split_bytes("train", ordered),
        lambda p, channel: held_out_stage(p, job, channel, filtered, ordered),
    )
    return [filtered, ordered, held_out]


if __name__ == "__main__":
    main()
