# SPDX-License-Identifier: Apache-2.0
"""Options of the corpus pipeline, and which values of them make no sense."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from beam_pipelines import join_metadata, options
from beam_pipelines.join_metadata import MetadataConfig
from coder.data import ordering
from coder.data.filters import FilterConfig


@dataclass(frozen=True)
class CorpusOptions:
    """Options of the corpus pipeline."""

    output: str
    """Folder to write to; an address such as gs://bucket/corpus where the runner reaches it."""
    source: str = "installed"
    """installed: what requirements.txt locks. folder:DIR: each child folder is a repository.
    archive:GLOB: each tar or zip archive is one. git:DIR@REV: a repository or bundle, or a folder
    of them, at a revision. parquet:GLOB, jsonl:GLOB: rows with The Stack's columns."""
    languages: tuple[str, ...] = ("v1",)
    """v1, v2 (DeepSeek-Coder's lists), core (seven), names of languages, or several of these."""
    order: ordering.Order = "dependency"
    """How the files of a document follow each other."""
    component_bytes: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """A longer component becomes a document for each of its files, as in the paper's long-context
    stage (32 K tokens, about 110000 bytes); 0: however long."""
    rules: FilterConfig = field(default_factory=FilterConfig)
    """The rule filters."""
    metadata: Annotated[str, tyro.conf.arg(metavar="GLOB")] = ""
    """JSONL files with what a forge knows about the repositories: stars, forks, licence, date."""
    taken: Annotated[MetadataConfig, tyro.conf.arg(name="")] = field(default_factory=MetadataConfig)
    """Which repositories are taken by it."""
    opt_out: Path | None = None
    """A list of repositories and paths whose authors do not want them in a corpus."""
    seed: int = 0
    """Draws ties and random orders, and the held-out repositories."""
    shards: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Output files of each split; 0: one for 32 MiB of input, at least 8."""
    workers: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Processes on this machine; with 1, the work is done in this one."""


def check(chosen: CorpusOptions) -> None:
    """Raises OptionError for values that make no sense."""
    join_metadata.check(chosen.taken)
    for name, value, least, most in (
        ("seed", chosen.seed, 0, 2**63 - 1),
        ("shards", chosen.shards, 0, 99_999),
        ("workers", chosen.workers, 1, 9_999),
        ("component-bytes", chosen.component_bytes, 0, 2**63 - 1),
    ):
        if not least <= value <= most:
            raise options.OptionError(f"--{name} {value}: at least {least}, at most {most}")
    if not chosen.languages:
        raise options.OptionError("--languages: name a preset (v1, v2, core) or a language")
    kind, _, place = chosen.source.partition(":")
    if kind == "folder" and Path(chosen.output).resolve().is_relative_to(Path(place).resolve()):
        raise options.OptionError(
            f"--output {chosen.output} lies in the source, which would read what is written there"
        )
    for name, value in asdict(chosen.rules).items():
        if not value >= 0:  # as is true of no number, too
            option = name.replace("_", "-")
            raise options.OptionError(f"--rules.{option} {value}: at least 0")
