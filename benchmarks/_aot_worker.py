# SPDX-License-Identifier: Apache-2.0
"""Compiles what it is asked to, for one architecture: see `benchmarks.aot`.

One process has one target: the plugin keeps what it was first told of the GPU.
"""

import dataclasses
import json
import os
import sys
from importlib.metadata import version
from typing import Any

from benchmarks import _aot_cases, _aot_compile
from benchmarks._aot_targets import TARGETS, Target
from kernels import tiles

PACKAGES = ("jax", "jax-cuda13-plugin", "nvidia-cuda-nvcc")


def main() -> None:
    """Answers questions, a line of JSON each, until there are no more."""
    os.environ.update(_aot_compile.MOSAIC)
    target = TARGETS[json.loads(sys.argv[1])["architecture"]]
    _say({"versions": {name: version(name) for name in PACKAGES}})
    for question in sys.stdin:
        _say(_answer(json.loads(question), target))


def _answer(question: dict[str, Any], target: Target) -> dict[str, Any]:
    """The kernels of each case of an entry of the table, or why there are none."""
    key = tiles.Key(**{**question["key"], "widths": tuple(question["key"]["widths"])})
    tile = tiles.Tile(**question["tile"])
    (device,) = _aot_compile.devices(target)
    kernels = []
    try:
        with _aot_compile.on(device):
            for case, (function, arguments) in _aot_cases.cases(key, tile).items():
                found = _aot_compile.kernels(function, arguments, target)
                kernels += [{"case": case, **dataclasses.asdict(kernel)} for kernel in found]
    except Exception as error:  # Whatever is wrong with an entry, the others have their turn.
        return {"kernels": kernels, "error": f"{type(error).__name__}: {error}"}
    return {"kernels": kernels}


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
