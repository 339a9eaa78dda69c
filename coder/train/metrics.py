# SPDX-License-Identifier: Apache-2.0
"""What a run says of itself: rows in metrics.jsonl and TensorBoard, progress on the terminal.

Rows are written in order and before the checkpoint of their step. A resumed run cuts the rows that
are newer than its checkpoint and writes them again, equal in all that is not a time: no gap, no
repeat.
"""

import json
import logging
import math
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tensorboardX import SummaryWriter

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LOG_LINES = 30.0


@dataclass(frozen=True)
class Row:
    """A row of metrics.jsonl, about the steps since the row before."""

    step: int
    """Steps done, from 1."""
    loss: float | None
    """Nats per token, mean over all tokens of these steps that count; None where every step was
    skipped.
    """
    learning_rate: float
    """Of the last of these steps; of Muon's AdamW part."""
    grad_norm: float | None
    """Mean over these steps, before clipping."""
    tokens: int
    """Tokens trained on since the run began."""
    skipped: int
    """Steps skipped as non-finite since the run began."""
    tokens_per_second: float
    mfu: float
    """See `coder.train.throughput`."""
    data_wait: float
    """Share of the time that went into waiting for batches."""
    seconds: float
    """Time that all attempts at the run have taken, work that was lost and done again included."""


@dataclass(frozen=True)
class ExpertsRow(Row):
    """The row of a model with experts."""

    balance_loss: float | None
    """Mean over these steps of the balance losses, which are not a part of `loss`; None where
    every step was skipped.
    """
    dropped: float | None
    """Share of the tokens' choices of experts that were dropped."""
    busiest_expert: float | None
    """Tokens of the busiest expert of any layer, as a multiple of an even share."""
    idle_experts: int
    """Experts of all layers that no token chose."""


class MetricsFile:
    """metrics.jsonl, continued behind the rows of the steps that a checkpoint covers."""

    def __init__(self, path: Path, step: int):
        """Opens `path` and cuts the rows that are newer than `step`."""
        rows = _read(path)
        self.seconds = max((row["seconds"] for row in rows), default=0.0)
        """What the last attempt had taken when it ended, as far as is known."""
        kept = [row for row in rows if row["step"] <= step]
        temporary = path.with_name(path.name + ".tmp")
        with open(temporary, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in kept)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        self._file = open(path, "a", encoding="utf-8")

    def write(self, row: Row) -> None:
        """Appends a row; the operating system has it when this returns, so a kill loses none."""
        values = {name: _finite(value) for name, value in asdict(row).items()}
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class Board:
    """The same rows for TensorBoard; what earlier attempts wrote is superseded from `step` on."""

    def __init__(self, directory: Path, step: int):
        """Begins an event file in `directory`."""
        self._writer = SummaryWriter(str(directory), purge_step=step + 1 if step else None)

    def write(self, row: Row) -> None:
        """One scalar per column."""
        for name, value in asdict(row).items():
            if name != "step" and value is not None:
                self._writer.add_scalar(name, value, row.step)

    def close(self) -> None:
        """Writes what is left."""
        self._writer.close()


class ProgressReport:
    """A bar with the time left on a terminal; elsewhere a line of log now and then."""

    def __init__(self, title: str, steps: int, step: int):
        """Begins at `step` of `steps`."""
        self._steps, self._first_step = steps, step
        self._begin = self._last_line = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
        )
        self._task = self._bar.add_task(title, total=steps, completed=step, state="compiling")
        self._on_terminal = self._bar.console.is_terminal
        if self._on_terminal:
            self._bar.start()

    def write(self, row: Row) -> None:
        """Shows the newest row."""
        loss = "skipped" if row.loss is None else f"loss {row.loss:.3f}"
        state = f"{loss}  {row.tokens_per_second:,.0f} tokens/s  mfu {row.mfu:.0%}"
        self._bar.update(self._task, completed=row.step, state=state)
        now = time.monotonic()
        if self._on_terminal or (
            row.step < self._steps and now - self._last_line < SECONDS_BETWEEN_LOG_LINES
        ):
            return
        self._last_line = now
        left = (now - self._begin) / (row.step - self._first_step) * (self._steps - row.step)
        logger.info("step %d/%d  %s  %.0f s left", row.step, self._steps, state, left)

    def close(self) -> None:
        """Leaves the bar as it stands."""
        self._bar.stop()


class Outputs:
    """Every place a row goes to."""

    def __init__(self, directory: Path, step: int, steps: int):
        """Continues the files of the run's `directory` behind `step` of `steps`."""
        file = MetricsFile(directory / "metrics.jsonl", step)
        self.seconds = file.seconds
        """What earlier attempts took, as far as their rows tell."""
        self._outputs = (
            file,
            Board(directory / "tensorboard", step),
            ProgressReport(str(directory), steps, step),
        )

    def write(self, row: Row) -> None:
        """Writes a row everywhere, to the file first."""
        for output in self._outputs:
            output.write(row)

    def close(self) -> None:
        """Closes everything."""
        for output in self._outputs:
            output.close()


def _read(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file; a last line that a killed process did not finish is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


def _finite(value: float | int | None) -> float | int | None:
    """JSON has no NaN."""
    return value if value is None or math.isfinite(value) else None
