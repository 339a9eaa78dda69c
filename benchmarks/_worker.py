# SPDX-License-Identifier: Apache-2.0
"""A process that does as it is told, a line of JSON at a time: one side of a comparison."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Worker:
    """The process; it has as many threads as it is given, whatever library it computes with."""

    def __init__(self, command: list[str], settings: dict[str, Any], threads: int):
        """Starts the process with its settings as last argument, and waits for its first line."""
        cores = {name: str(threads) for name in ("NPROC", "OMP_NUM_THREADS")}
        self._process = subprocess.Popen(
            [*command, json.dumps(settings)],
            cwd=ROOT,
            env={**os.environ, **cores, "JAX_PLATFORMS": "cpu"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.about = self._read()
        """What it said when it was ready."""

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Its answer."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"error: {self._process.args} ended with status {self._process.wait()}")
        return json.loads(line)
