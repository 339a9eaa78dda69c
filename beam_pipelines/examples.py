# SPDX-License-Identifier: Apache-2.0
"""From documents to packed training examples: rearranged for infilling, tokenized, one length.

    python -m beam_pipelines.examples --documents DIR --tokenizer FILE --output OUT
    python -m beam_pipelines.examples ... --fim-rate 0.5 --fim-format spm --sequence-length 1024
    python -m beam_pipelines.examples ... --objective msp --granularity window --tokens 6000000

`build` is the whole graph. The output folder holds `train-*.tfrecord` or `held_out-*.tfrecord`
(`coder.data.packing`) and `manifest.json`, which is written last. Exit status: 0 done or up to
date, 1 nothing was written, 2 the command cannot be carried out as given.
"""

import dataclasses
import json
import logging
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from beam_pipelines import examples_summary, manifest, options, progress
from beam_pipelines.local_workers import fatal_worker_deaths
from beam_pipelines.sample_excerpts import needed_share, shard_limits
from coder import config
from coder.config import DataConfig
from coder.data import fim, spans
from coder.data.documents import DocumentsError, corpus_manifest, split_shards
from coder.data.records import Split
from coder.data.tfrecord import CorruptRecordError
from coder.data.tokenizer import Tokenizer, TokenizerError
from coder.data.units import window_tokens

if TYPE_CHECKING:
    from apache_beam import Pipeline

# Raised when the same input and options give other examples than before, so that old output is
# not taken for new.
FORMAT = 1

SUMMARY = "shards.json.partial"

log = logging.getLogger("beam_pipelines")


@dataclass(frozen=True)
class ExamplesOptions:
    """Options of the examples pipeline."""

    documents: Path
    """Folder of a finished corpus."""
    tokenizer: Path
    """tokenizer.json of `python -m coder tokenizer`, or a released one."""
    output: Path
    """Folder to write to."""
    data: Annotated[DataConfig, tyro.conf.arg(name="")] = field(default_factory=DataConfig)
    """How documents become examples."""
    split: Split = "train"
    """Which documents."""
    seed: int = 0
    """Draws the sample of --tokens, what is rearranged, and where it is cut."""
    shards: Annotated[int, tyro.conf.arg(metavar="N")] = 4
    """Output files."""
    workers: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Processes on this machine."""


@dataclass(frozen=True)
class Job:
    """What `build` needs to know."""

    output: str
    split: Split
    inputs: tuple[str, ...]
    """Shards of documents."""
    data: DataConfig
    window_tokens: int
    """0 when units are not windows."""
    share: float
    """Part of the excerpts that is used."""
    seed: int
    limits: tuple[int | None, ...]
    """Examples of each output shard."""
    tokenizer: Tokenizer
    channel: str = ""


def build(pipeline: "Pipeline", job: Job) -> None:
    """The whole graph, from shards of documents to shards of packed examples."""
    import apache_beam as beam

    from beam_pipelines.make_texts import MakeTexts, read_shard_documents
    from beam_pipelines.pack_examples import PackShards
    from beam_pipelines.write_tfrecords import WriteSummary

    shards = pipeline | "shards" >> beam.Create(job.inputs) | "balance" >> beam.Reshuffle()
    documents = shards | "read documents" >> beam.FlatMap(read_shard_documents, job.channel)
    texts = documents | "make texts" >> beam.ParDo(
        MakeTexts(job.data, job.window_tokens, job.share, job.seed, job.tokenizer)
    )
    packed = PackShards(
        job.output, job.split, job.limits, job.data.sequence_length, job.tokenizer.vocab_size
    )
    _ = texts | packed | WriteSummary(job.output, SUMMARY)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    chosen, beam_flags = options.parse(
        ExamplesOptions,
        sys.argv[1:] if argv is None else argv,
        "python -m beam_pipelines.examples",
        __doc__ or "",
    )
    logging.basicConfig(level=logging.ERROR, format="%(message)s", force=True)
    log.setLevel(logging.INFO)
    try:
        sys.exit(run(chosen, beam_flags))
    except (
        CorruptRecordError,
        DocumentsError,
        TokenizerError,
        OSError,
        manifest.OutputError,
        options.OptionError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def run(chosen: ExamplesOptions, beam_flags: Sequence[str] = ()) -> int:
    """Writes examples, or finds them up to date; returns the exit status.

    Raises:
        OptionError, DocumentsError, TokenizerError, OutputError, CorruptRecordError, OSError: the
            command cannot be carried out as given.
    """
    check(chosen)
    corpus = corpus_manifest(chosen.documents)
    tokenizer = Tokenizer.load(chosen.tokenizer)
    check_control_tokens(tokenizer, chosen.data)
    settings = settings_of(chosen, corpus["digest"], tokenizer)
    if manifest.prepare(os.path.abspath(chosen.output), settings):
        print(f"{chosen.output} is up to date: same options, documents and tokenizer")
        return 0
    start = time.monotonic()
    job = make_job(chosen, corpus["by_split"][chosen.split]["bytes"], tokenizer)
    shards = execute(job, chosen.workers, beam_flags)
    result = examples_summary.assemble(settings, shards)
    if not result["examples"]:
        print(f"{chosen.output}: no text was long enough for an example", file=sys.stderr)
        return 1
    config.write_json(chosen.output / manifest.MANIFEST, result)
    (chosen.output / SUMMARY).unlink()
    print(examples_summary.sentence(result, chosen.output, time.monotonic() - start))
    return 0


def check(chosen: ExamplesOptions) -> None:
    """Raises OptionError for numbers that make no sense."""
    data = chosen.data
    for name, value, least, most in (
        ("shards", chosen.shards, 1, 99_999),
        ("workers", chosen.workers, 1, 99_999),
        ("sequence-length", data.sequence_length, 32, 2**24),
        ("window-tokens", data.window_tokens, 0, data.sequence_length),
        ("fim-rate", data.fim_rate, 0, 1),
        ("line-aligned", data.line_aligned, 0, 1),
        ("mask-rate", data.mask_rate, 0, 1),
        ("mean-span-length", data.mean_span_length, 1, data.sequence_length),
    ):
        if not least <= value <= most:
            raise options.OptionError(f"--{name} {value}: at least {least}, at most {most}")
    if data.tokens and data.tokens < data.sequence_length:
        raise options.OptionError(
            f"--tokens {data.tokens}: 0 for the whole split, or at least the "
            f"{data.sequence_length} of one example"
        )


def check_control_tokens(tokenizer: Tokenizer, data: DataConfig) -> None:
    """Raises TokenizerError if the tokenizer, perhaps a released one, cannot spell the format."""
    if data.fim_rate and data.objective == "msp":
        spans.prompt_ids(tokenizer, (), ())
    elif data.fim_rate:
        fim.prompt_ids(tokenizer, (), (), data.fim_format)


def settings_of(
    chosen: ExamplesOptions, documents_digest: str, tokenizer: Tokenizer
) -> dict[str, Any]:
    """What the bytes of the output depend on; neither folders nor workers are part of it."""
    return {
        "format": FORMAT,
        **config.to_json(chosen.data),
        "split": chosen.split,
        "seed": chosen.seed,
        "shards": chosen.shards,
        "documents_digest": documents_digest,
        "tokenizer_digest": config.digest(tokenizer.definition),
    }


def make_job(chosen: ExamplesOptions, split_bytes: int, tokenizer: Tokenizer) -> Job:
    """Settles what follows from the options and the documents.

    Raises:
        DocumentsError: there are no documents of that split.
        OptionError: no window fits the sequence.
    """
    inputs = split_shards(chosen.documents, chosen.split)
    try:
        length = window_tokens(chosen.data) if chosen.data.granularity == "window" else 0
    except ValueError as error:
        raise options.OptionError(str(error)) from error
    return Job(
        output=os.path.abspath(chosen.output),
        split=chosen.split,
        inputs=tuple(os.path.abspath(path) for path in inputs),
        data=chosen.data,
        window_tokens=length,
        share=needed_share(chosen.data, length, chosen.shards, split_bytes, inputs, tokenizer),
        seed=chosen.seed,
        limits=shard_limits(chosen.data, chosen.shards),
        tokenizer=tokenizer,
    )


def execute(job: Job, workers: int, beam_flags: Sequence[str]) -> list[dict[str, Any]]:
    """Runs the pipeline to its end; returns the rows of `WriteSummary`.

    Raises:
        DocumentsError: a shard of documents is damaged.
    """
    import apache_beam as beam

    flags = options.beam_options(beam_flags, workers)
    total = sum(os.path.getsize(path) for path in job.inputs)
    try:
        with (
            fatal_worker_deaths(),
            progress.shown("examples", total) as channel,
            beam.Pipeline(options=flags) as pipeline,
        ):
            build(pipeline, dataclasses.replace(job, channel=channel))
    except RuntimeError as error:  # as Beam hands on any error of a worker, type and text in it
        damage = re.search(rf"{CorruptRecordError.__name__}: (.*?)( \[while|\n|$)", str(error))
        if damage is None:
            raise
        raise DocumentsError(damage[1]) from error
    return json.loads((Path(job.output) / SUMMARY).read_text(encoding="utf-8"))["shards"]


if __name__ == "__main__":
    main()
