# SPDX-License-Identifier: Apache-2.0
"""Compiles what it is asked to, for one architecture: see `benchmarks.aot`.

One process has one target: the plugin keeps what it was first told of the GPU.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks import _aot_cases, _aot_compile, _aot_programs
from benchmarks._aot_targets import TARGETS, Target
from kernels import tiles


def main() -> None:
    """Answers questions, a line of JSON each, until there are no more."""
    os.environ.update(_aot_compile.MOSAIC)
    target = TARGETS[json.loads(sys.argv[1])["architecture"]]
    _say({"target": target.name})
    for question in sys.stdin:
        _say(_answer(json.loads(question), target))


def _answer(question: dict[str, Any], target: Target) -> dict[str, Any]:
    """What was compiled, or why it was not."""
    try:
        if "program" in question:
            return _aot_programs.compiled(_aot_programs.PROGRAMS[question["program"]])
        return {"kernels": list(_entry(question, target))}
    except Exception as error:  # Whatever is wrong with it, the others have their turn.
        return {"kernels": [], "error": f"{type(error).__name__}: {error}"}


def _entry(question: dict[str, Any], target: Target) -> Iterator[dict[str, Any]]:
    """The kernels of all cases of an entry of the table."""
    key = tiles.Key(**{**question["key"], "widths": tuple(question["key"]["widths"])})
    tile = tiles.Tile(**question["tile"])
    (device,) = _aot_compile.devices(target)
    with _aot_compile.on(device):
        for case, (function, arguments) in _aot_cases.cases(key, tile).items():
            for kernel in _aot_compile.kernels(function, arguments, target):
                yield {"case": case, **dataclasses.asdict(kernel)}


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
