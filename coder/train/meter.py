# SPDX-License-Identifier: Apache-2.0
"""Counts tokens and time between two rows of the metrics."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from coder.data.loader import Batch, Loader
from coder.data.manifest import ExamplesError
from coder.model.transformer import flops_per_token
from coder.train.loss import ExpertSums
from coder.train.metrics import ExpertsRow, Row
from coder.train.run_folder import Run
from coder.train.schedule import schedule_factor
from coder.train.step import TrainState
from coder.train.throughput import recorded_peak


class Meter:
    """Turns the sums on the device and the clock of the host into rows."""

    def __init__(self, run: Run, tokens: int, birth: float):
        """Starts a clock.

        Args:
            run: for its model, its learning rate and its folder.
            tokens: that the run was trained on up to its last row.
            birth: on the monotonic clock, when the run would have begun without its interruptions.
        """
        self.tokens = tokens
        self._vocab_size = run.config.model.vocab_size
        length = run.config.data.sequence_length
        self._flops_per_token = flops_per_token(run.config.model, length)
        self._peak = recorded_peak(run.directory / "peak.json").flops_per_second
        self._learning_rate = run.config.train.learning_rate
        self._factor = jax.jit(schedule_factor(run.config.train))
        self._birth = birth
        self.start()

    def start(self) -> None:
        """Begins the span of time that the next row is about."""
        self._begin, self._waited = time.monotonic(), 0.0

    def elapsed(self) -> float:
        """Seconds that all attempts have taken."""
        return time.monotonic() - self._birth

    def fetch(self, loader: Loader) -> Batch:
        """The next batch; the time it takes counts as waiting.

        Raises:
            ExamplesError: a token is not in the model's vocabulary, where jax would read another
                row in silence.
            CorruptRecordError: an example fails its check sum.
        """
        begin = time.monotonic()
        batch = next(loader)
        largest = batch["tokens"].max()
        if largest >= self._vocab_size:
            raise ExamplesError(
                f"the examples hold token {largest}, but model.vocab_size={self._vocab_size}"
            )
        self._waited += time.monotonic() - begin
        return batch

    def row(self, state: TrainState) -> Row:
        """What happened since the last row; waits for the device."""
        window, skipped, step = jax.device_get((state.window, state.skipped, state.step))
        seconds = time.monotonic() - self._begin
        tokens_per_second = float(window.tokens) / seconds
        self.tokens += int(window.tokens)
        columns: dict[str, Any] = dict(
            step=int(step),
            loss=float(window.nats / window.tokens) if window.tokens else None,
            learning_rate=self._learning_rate * float(self._factor(jnp.int32(step - 1))),
            grad_norm=float(window.grad_norm / window.steps) if window.steps else None,
            tokens=self.tokens,
            skipped=int(skipped),
            tokens_per_second=tokens_per_second,
            mfu=tokens_per_second * self._flops_per_token / self._peak,
            data_wait=self._waited / seconds,
            seconds=self.elapsed(),
        )
        self.start()
        if window.experts is None:
            return Row(**columns)
        return ExpertsRow(**columns, **_loads(window.experts, float(window.steps)))


def _loads(experts: ExpertSums, steps: float) -> dict[str, Any]:
    """The columns of `ExpertsRow`."""
    loads_LE = np.asarray(experts.load_LE)
    choices = float(loads_LE.sum())
    return {
        "balance_loss": float(experts.balance) / steps if steps else None,
        "dropped": float(experts.dropped) / choices if choices else None,
        "busiest_expert": float(loads_LE.max()) * loads_LE.size / choices if choices else None,
        "idle_experts": int((loads_LE == 0).sum()),
    }
