# SPDX-License-Identifier: Apache-2.0
"""Command lines of the pipelines: `<own options> [-- <Beam options>]`; unknown ones are errors.

Beam itself ignores options that it does not know, so a misspelt `--direct_num_worker` would
silently change nothing.
"""

import argparse
import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

# The runner is named, because `DirectRunner` is whichever of Prism (downloaded) and FnApiRunner it
# finds.
DEFAULT_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
VAGUE_RUNNERS = {"directrunner", "prismrunner", "bundlebasedirectrunner", "switchingdirectrunner"}


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
        OptionError: Beam has no such option, or the runner is one that depends on what can be
        downloaded.
    """
    from apache_beam.options import pipeline_options

    # Beam's own way of declaring options: a parser that every group of options adds its own to.
    parser = pipeline_options._BeamArgumentParser(
        allow_abbrev=False, exit_on_error=False, add_help=False
    )
    for group in pipeline_options.PipelineOptions.__subclasses__():
        group._add_argparse_args(parser)
    _check_known(parser, flags)
    defaults = [f"--runner={DEFAULT_RUNNER}"]
    if workers > 1:
        defaults += [f"--direct_num_workers={workers}", "--direct_running_mode=multi_processing"]
    chosen = pipeline_options.PipelineOptions([*defaults, *flags])
    runner = chosen.view_as(pipeline_options.StandardOptions).runner or ""
    if runner.lower() in VAGUE_RUNNERS:
        raise OptionError(
            f"--runner={runner} depends on what it can download; leave it out to run here"
        )
    return chosen


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
