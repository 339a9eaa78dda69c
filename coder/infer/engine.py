# SPDX-License-Identifier: Apache-2.0
"""Generation: many requests through a few slots that are always full (docs/generation.md).

A slot holds one sample. The device decodes all slots together, a chunk of tokens at a time; then
this side looks at what was written, hands it on, empties the slots whose samples are over and
fills them with the next in the queue. A prompt is read once, however many samples follow it.
"""

import math
import reprlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from coder.infer import slots as device
from coder.infer.sampling import Sampling, rule
from coder.model.cache import apart
from coder.model.transformer import Decoder

_SMALLEST_PROMPT = 16
"""Prompts are padded to powers of two, at least this."""
_FEWEST_PLACES = 256
"""The part of the cache that is looked at is a power of two, at least this."""

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Request:
    """A prompt, and what is to follow it."""

    prompt: Sequence[int]
    """Token numbers, one at least."""
    max_new_tokens: int
    """A sample's tokens at most."""
    sampling: Sampling = Sampling()
    """How they are chosen."""
    stop_ids: frozenset[int] = frozenset()
    """Tokens that end a sample and are no part of it."""
    samples: int = 1
    """How many; they differ where the sampling is not greedy."""
    is_over: Callable[[Sequence[int]], int | None] | None = None
    """Whether a sample is over for another reason, as a stop string: given all its tokens so far,
    how many of them to keep, or None to go on. Asked once in a while, so that the reason may lie
    before the last token; tokens after it must not change the answer."""


@dataclass(frozen=True)
class Sample:
    """What followed a prompt."""

    tokens: list[int]
    """Without the one in `stop_ids`."""
    log_probs: list[float]
    """Log-probability of each under the model itself, before temperature and top-p."""
    finish: Finish
    """Whether it came to a stop, or to `max_new_tokens`."""


@dataclass(frozen=True)
class Piece:
    """A part of a sample, as soon as it is there."""

    request: int
    """Number of the request among those given."""
    sample: int
    """Number of the sample among the request's."""
    tokens: list[int]
    """What follows the sample's earlier pieces."""
    log_probs: list[float]
    """As in `Sample`."""
    finish: Finish | None
    """Not None in a sample's last piece. Where `is_over` keeps fewer tokens than earlier pieces
    had, the last piece is empty: it takes nothing back."""


class Engine:
    """A model with a cache of fixed size."""

    def __init__(self, model: Decoder, *, slots: int = 8, capacity: int, chunk: int = 16):
        """Compiles nothing yet.

        Args:
            model: a decoder, on one device.
            slots: samples that are decoded at the same time.
            capacity: tokens of a prompt and what follows it, at most.
            chunk: tokens of a sample between two looks at it, at most.

        Raises:
            ValueError: one of them is less than 1, or no whole number.
        """
        for name, value in (("slots", slots), ("capacity", capacity), ("chunk", chunk)):
            _check_count(name, value)
        self.model, self.slots, self.capacity, self.chunk = model, slots, capacity, chunk
        self.layers = apart(model)
        self._state: device.State | None = None

    def complete(self, requests: Sequence[Request]) -> list[list[Sample]]:
        """The samples of every request.

        Raises:
            ValueError: a request cannot be answered; names it, and says why.
        """
        requests = self._checked(requests)
        samples: list[dict[int, Sample]] = [{} for _ in requests]
        for piece, sample in self._run(requests):
            if sample:
                samples[piece.request][piece.sample] = sample
        return [[found[number] for number in sorted(found)] for found in samples]

    def stream(self, requests: Sequence[Request]) -> Iterator[Piece]:
        """The samples of every request in pieces, as they are written.

        Raises:
            ValueError: as for `complete`, at once.
        """
        return (piece for piece, _ in self._run(self._checked(requests)))

    def _run(self, requests: Sequence[Request]) -> Iterator[tuple[Piece, Sample | None]]:
        """Pieces, and with the last of each sample the whole of it."""
        # A second run beside this one finds no state, and makes itself one.
        state, self._state = self._state, None
        run = _Run(self, requests, state or device.empty(self.model, self.slots, self.capacity))
        try:
            yield from run.pieces()
        except GeneratorExit:
            pass  # The reader has enough: the slots can be used again.
        self._state = run.state

    def _checked(self, requests: Sequence[Request]) -> Sequence[Request]:
        for number, request in enumerate(requests):
            _check(number, request, self.model.config.vocab_size, self.capacity)
        return requests


@dataclass
class _Sample:
    """A sample in a slot."""

    request: int
    number: int
    asked: Request
    tokens: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)

    def extend(
        self, tokens: list[int], log_probs: list[float], live: bool
    ) -> tuple[Piece, Sample | None]:
        """Takes what was written; a sample is returned when it is over.

        Raises:
            FloatingPointError: the model's logits are not finite.
        """
        before = len(self.tokens)
        if any(map(math.isnan, log_probs)):
            raise FloatingPointError(
                f"request {self.request}: after {before} tokens the model's logits are not finite: "
                "its parameters are damaged, or too large for its compute_dtype"
            )
        finish: Finish | None = None if live else "length"
        if tokens[-1] in self.asked.stop_ids:
            tokens, log_probs, finish = tokens[:-1], log_probs[:-1], "stop"
        self.tokens += tokens
        self.log_probs += log_probs
        kept = self.asked.is_over(self.tokens) if self.asked.is_over else None
        if kept is not None:
            del self.tokens[kept:], self.log_probs[kept:]
            finish = "stop"
        new = self.tokens[before:], self.log_probs[before:]
        piece = Piece(self.request, self.number, *new, finish)
        return piece, Sample(self.tokens, self.log_probs, finish) if finish else None


class _Run:
    """The requests of one call on their way through the slots."""

    def __init__(self, engine: Engine, requests: Sequence[Request], state: device.State):
        self.engine, self.state = engine, state
        self.waiting = deque(
            _Sample(number, sample, request)
            for number, request in enumerate(requests)
            for sample in range(request.samples)
        )
        self.slots: list[_Sample | None] = [None] * engine.slots
        self.text: device.Text | None = None

    def pieces(self) -> Iterator[tuple[Piece, Sample | None]]:
        """Until every sample is over."""
        steps = 1
        while self.waiting or any(self.slots):
            for slot in range(len(self.slots)):
                while self.waiting and self.slots[slot] is None:
                    yield self._begin(slot, self.waiting.popleft())
            # Short chunks first: a reader sees the beginning early.
            steps = min(2 * steps, self.engine.chunk)
            if any(self.slots):
                yield from self._write(steps)

    def _begin(self, slot: int, sample: _Sample) -> tuple[Piece, Sample | None]:
        """Puts a sample into a free slot, with its first token."""
        terms = _terms(sample, self.engine.model.config.vocab_size)
        text = self._read(sample)
        cache = device.place(self.state.cache, slot, text.cache)
        samples, *first = device.begin(self.state.samples, slot, text.logits_1V, terms)
        self.state = device.State(cache, samples)
        token, log_prob, live = jax.device_get(first)
        self.slots[slot] = sample
        if not self.waiting or self.waiting[0].request != sample.request:
            self.text = None
        return self._extend(slot, [token.item()], [log_prob.item()], bool(live))

    def _read(self, sample: _Sample) -> device.Text:
        """The sample's prompt, which is kept until the last of its request's samples has begun."""
        if self.text:
            return self.text
        prompt = np.asarray(sample.asked.prompt, np.int32)
        size = min(_bucket(len(prompt), _SMALLEST_PROMPT), self.engine.capacity)
        tokens_1T = np.zeros((1, size), np.int32)
        tokens_1T[0, : len(prompt)] = prompt
        length_1 = jnp.array([len(prompt)], jnp.int32)
        self.text = text = device.read(
            self.engine.model, self.engine.layers, jnp.asarray(tokens_1T), length_1
        )
        return text

    def _write(self, steps: int) -> Iterator[tuple[Piece, Sample | None]]:
        """Decodes a chunk."""
        live = [sample for sample in self.slots if sample]
        longest = max(len(sample.asked.prompt) + len(sample.tokens) for sample in live)
        places = min(_bucket(longest + steps, _FEWEST_PLACES), self.engine.capacity)
        # While others wait, a slot that is free is worth a look.
        least = len(live) if self.waiting else 1
        self.state, written = device.write(
            self.engine.model,
            self.engine.layers,
            self.state,
            np.array([sample is not None for sample in self.slots]),
            steps,
            least,
            size=self.engine.chunk,
            places=places,
        )
        samples = self.state.samples
        (tokens_BT, log_probs_BT), count_B, live_B = jax.device_get(
            (written, samples.count_B, samples.live_B)
        )
        for slot, sample in enumerate(self.slots):
            if sample:
                new = count_B[slot] - len(sample.tokens)
                tokens, log_probs = tokens_BT[slot, :new], log_probs_BT[slot, :new]
                yield self._extend(slot, tokens.tolist(), log_probs.tolist(), bool(live_B[slot]))

    def _extend(
        self, slot: int, tokens: list[int], log_probs: list[float], live: bool
    ) -> tuple[Piece, Sample | None]:
        """Hands new tokens to the sample in a slot, which is free when the sample is over."""
        sample = self.slots[slot]
        assert sample
        piece, whole = sample.extend(tokens, log_probs, live)
        if whole:
            self.slots[slot] = None
        return piece, whole


def _terms(sample: _Sample, vocab_size: int) -> device.Terms:
    """What is asked of a sample, as one row."""
    stops_1V = np.zeros((1, vocab_size), bool)
    stops_1V[0, list(sample.asked.stop_ids)] = True
    limit_1 = jnp.array([sample.asked.max_new_tokens], jnp.int32)
    return device.Terms(
        limit_1, jnp.asarray(stops_1V), rule([sample.asked.sampling], [sample.number])
    )


def _check(number: int, request: Request, vocab_size: int, capacity: int) -> None:
    """Raises ValueError where a request cannot be answered."""
    prompt, new = _as_array(request.prompt), request.max_new_tokens
    if prompt is None:
        raise ValueError(
            f"request {number}: the prompt must be one list of token numbers, as a tokenizer's "
            f"`encode` gives it, not {reprlib.repr(request.prompt)}"
        )
    if not len(prompt):
        raise ValueError(f"request {number}: the prompt is empty: give it at least its first token")
    if not 0 <= prompt.min() <= prompt.max() < vocab_size:
        raise ValueError(f"request {number}: the prompt has tokens outside of [0, {vocab_size})")
    outside = [
        token
        for token in request.stop_ids
        if not (isinstance(token, Integral) and 0 <= token < vocab_size)
    ]
    if outside:
        raise ValueError(f"request {number}: stop_ids {outside} are outside of [0, {vocab_size})")
    for name in ("max_new_tokens", "samples"):
        _check_count(f"request {number}: {name}", getattr(request, name))
    if len(prompt) + new > capacity:
        raise ValueError(
            f"request {number}: {len(prompt)} tokens of prompt and max_new_tokens={new} exceed "
            f"the capacity of {capacity} tokens"
        )


def _as_array(prompt: Sequence[int]) -> np.ndarray | None:
    """The token numbers of a prompt; None where it is something else."""
    try:
        array = np.asarray(prompt)
    except ValueError:  # lists of several lengths in a list
        return None
    whole = array.dtype.kind in "iu" or array.size == 0
    return array if array.ndim == 1 and whole else None


def _check_count(name: str, value: int) -> None:
    """Raises ValueError where it is no number of things."""
    if not isinstance(value, Integral):
        raise ValueError(f"{name}={value!r}: must be a whole number")
    if value < 1:
        raise ValueError(f"{name}={value}: must be at least 1")


def _bucket(size: int, smallest: int) -> int:
    """The power of two that holds `size`, at least `smallest`."""
    return max(smallest, 1 << (size - 1).bit_length())
