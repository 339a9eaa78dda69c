# SPDX-License-Identifier: Apache-2.0
"""Command lines of the pipelines: `<own options> [-- <Beam options>]`; unknown ones are errors.

Beam itself ignores options that it does not know, so a misspelt `--direct_num_worker` would
silently change nothing.
"""

import argparse
import difflib
import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

# The runner is named, because `DirectRunner` is whichever of Prism (downloaded) and FnApiRunner it
# finds.
DEFAULT_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
VAGUE_RUNNERS = {"directrunner", "prismrunner", "bundlebaseddirectrunner", "switchingdirectrunner"}


@dataclass(frozen=True)
class _Needs:
    """What a runner cannot do without, or would download.

    Attributes:
        options: Beam options, by their names in Python.
        library: a module that is none of this project's requirements.
        install: what `pip install` brings it.
    """

    options: tuple[str, ...] = ()
    library: str = ""
    install: str = ""


_NEEDS = {
    "PortableRunner": _Needs(("job_endpoint",)),
    "FlinkRunner": _Needs(("flink_job_server_jar",)),
    "SparkRunner": _Needs(("spark_job_server_jar",)),
    "DaskRunner": _Needs(library="distributed", install="'apache-beam[dask]'"),
    "DataflowRunner": _Needs(
        ("project", "region", "temp_location"), "google.cloud.dataflow", "-r requirements-gcp.txt"
    ),
}

# Beam knows neither its short name nor, before it is imported, its options.
_DASK_RUNNER = "apache_beam.runners.dask.dask_runner.DaskRunner"


class OptionError(ValueError):
    """An option is unknown or has an impossible value; the message names it."""


def parse[T](
    options: type[T], argv: Sequence[str], prog: str, description: str
) -> tuple[T, list[str]]:
    """Parses a frozen dataclass of options, and returns what follows `--` unread.

    An error is printed with the nearest valid names, and the process exits with status 2.
    """
    arguments = list(argv)
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    parsed = tyro.cli(options, args=arguments[:cut], prog=prog, description=description)
    return parsed, arguments[cut + 1 :]


def beam_options(flags: Sequence[str], workers: int = 1) -> "PipelineOptions":
    """Beam's options from `flags`, on FnApiRunner unless they name another runner.

    Args:
        flags: Beam options as on a command line.
        workers: Processes of the local runner; 1 keeps the work in this process.

    Raises:
        OptionError: Beam has no such option or runner, the runner lacks something, or it is one
        that depends on what can be downloaded.
    """
    from apache_beam.options import pipeline_options

    name = _runner_name(pipeline_options.PipelineOptions(list(flags)))
    if name == "DaskRunner":
        importlib.import_module("apache_beam.runners.dask.dask_runner")  # which declares options
    # Beam's own way of declaring options: a parser that every group of options adds its own to.
    parser = pipeline_options._BeamArgumentParser(
        allow_abbrev=False, exit_on_error=False, add_help=False
    )
    for group in pipeline_options.PipelineOptions.__subclasses__():
        group._add_argparse_args(parser)
    _check_known(parser, flags)
    chosen = pipeline_options.PipelineOptions(
        [f"--runner={DEFAULT_RUNNER}", *_local_flags(workers), *flags]
    )
    if name == "DaskRunner":
        chosen.view_as(pipeline_options.StandardOptions).runner = _DASK_RUNNER
    given = chosen.get_all_options()
    for option in _NEEDS.get(name, _Needs()).options:
        if not given[option]:
            raise OptionError(f"--runner={name} needs --{option} (docs/runners.md)")
    return chosen


def has_local_workers(chosen: "PipelineOptions") -> bool:
    """Whether the work is done on this machine, so that workers reach the launcher's files."""
    from apache_beam.options import pipeline_options

    environment = chosen.view_as(pipeline_options.PortableOptions).environment_type
    return environment == "LOOPBACK" or _runner_name(chosen) == "FnApiRunner"


def _local_flags(workers: int) -> list[str]:
    if workers == 1:
        return []
    return [f"--direct_num_workers={workers}", "--direct_running_mode=multi_processing"]


def _runner_name(chosen: "PipelineOptions") -> str:
    """The runner's short name; empty for the default.

    Raises:
        OptionError: it cannot be used.
    """
    from apache_beam.options.pipeline_options import StandardOptions

    given = chosen.view_as(StandardOptions).runner
    if not given:
        return ""
    # As Beam does: any case, with or without `Runner`; or the full name of a class.
    known = {name.lower(): name for name in (*StandardOptions.KNOWN_RUNNER_NAMES, *_NEEDS)}
    short = given.rpartition(".")[2].lower()
    name = known.get(short) or known.get(f"{short}runner")
    if name is None and "." not in given:
        near = difflib.get_close_matches(short, known, n=3)
        hint = f"; nearest: {', '.join(known[match] for match in near)}" if near else ""
        raise OptionError(f"unknown runner --runner={given}{hint}")
    if name and name.lower() in VAGUE_RUNNERS:
        raise OptionError(
            f"--runner={given} depends on what it can download; leave it out to run here"
        )
    needs = _NEEDS.get(name or "", _Needs())
    if needs.library and not _is_installed(needs.library):
        raise OptionError(
            f"--runner={given} needs a library that is not installed: pip install {needs.install}"
        )
    return name or given


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of a package that it is in
        return False


def _check_known(parser: argparse.ArgumentParser, flags: Sequence[str]) -> None:
    """Raises OptionError if Beam would ignore or refuse one of `flags`."""
    try:
        _, unknown = parser.parse_known_args(list(flags))
    except argparse.ArgumentError as error:
        raise OptionError(f"Beam option {error}") from error
    if unknown:
        name = unknown[0].partition("=")[0]
        near = difflib.get_close_matches(name, parser._option_string_actions, n=3)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise OptionError(f"unknown Beam option {unknown[0]}{hint}")
