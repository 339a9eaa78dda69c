# SPDX-License-Identifier: Apache-2.0
"""Reads what a run left behind: config.json, metrics.jsonl, done.json and eval.json."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Run:
    """One variant trained from one seed, as far as it got."""

    variant: str
    seed: int
    folder: Path
    config: dict[str, Any]
    done: dict[str, Any] | None
    evaluation: dict[str, Any] | None

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl; a last line that is still being written is left out."""
        return read_json_lines(self.folder / "metrics.jsonl")


def read_run(folder: Path, variant: str, seed: int) -> Run:
    """The run in `folder`; what is not there yet is None or empty.

    Raises:
        ValueError: a file is there but is not JSON; names it.
    """
    return Run(
        variant=variant,
        seed=seed,
        folder=folder,
        config=read_json(folder / "config.json") or {},
        done=read_json(folder / "done.json"),
        evaluation=read_json(folder / "eval.json"),
    )


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in `path`, or None if there is no such file.

    Raises:
        ValueError: the file does not hold a JSON object.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path} is not JSON ({error}): remove it to have it made again"
        ) from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds {type(values).__name__}, expected an object")
    return values


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The complete rows of a JSON-lines file that another process may be appending to."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    complete = text[: text.rfind("\n") + 1]
    return [json.loads(line) for line in complete.splitlines() if line.strip()]
