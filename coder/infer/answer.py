# SPDX-License-Identifier: Apache-2.0
"""One answer of a model as text, piece by piece while it is written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from coder.infer.engine import Engine, Request
from coder.infer.load import Loaded
from coder.infer.prompt import PromptError, check_utf8
from coder.infer.sampling import Sampling
from coder.infer.text import TextStream

Words = Annotated[
    str | None,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="STR",
        instance_from_str=lambda words: words[0],
        is_instance=lambda value: value is None or isinstance(value, str),
        str_from_instance=lambda value: [str(value)],
    ),
]
"""An option of any text; tyro alone takes the text None for none at all."""
_MOST_BY_DEFAULT = 256


@dataclass(frozen=True)
class Settings:
    """How an answer is written."""

    max_new_tokens: int | None = None
    """Tokens to write at most; None: 256, or half of the context if that is less."""
    temperature: float = 0.0
    """0: always the likeliest token; 1: tokens drawn as the model finds them likely."""
    top_p: float = 1.0
    """Draw from the likeliest tokens that together have this probability."""
    seed: int = 0
    """Of the draws."""
    stop: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Text before which the answer ends; may be given several times. In bash, $'\\n' is a line
    break."""

    def new_tokens(self, context_length: int) -> int:
        """`max_new_tokens`, or what it is by default.

        Raises:
            PromptError: it leaves no room for a prompt.
        """
        if self.max_new_tokens is None:
            return max(1, min(_MOST_BY_DEFAULT, context_length // 2))
        if not 1 <= self.max_new_tokens < context_length:
            raise PromptError(
                f"--max-new-tokens {self.max_new_tokens}: at least 1, and less than the "
                f"{context_length} tokens of the model's context, prompt included"
            )
        return self.max_new_tokens

    def sampling(self) -> Sampling:
        """How tokens are chosen.

        Raises:
            PromptError: a setting is out of its range.
        """
        try:
            return Sampling(self.temperature, self.top_p, self.seed)
        except ValueError as error:
            raise PromptError(f"{error}") from None

    def check(self) -> None:
        """Raises PromptError for what no model can do, before one is read."""
        self.sampling()
        for stop in self.stop:
            check_utf8("--stop", stop)
        if "" in self.stop:
            raise PromptError("--stop '': an empty text would end every answer before it begins")
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise PromptError(f"--max-new-tokens {self.max_new_tokens}: must be at least 1")


class Writer:
    """Writes answers one after another, with one cache, which grows when it has to."""

    def __init__(self, loaded: Loaded, settings: Settings):
        """Writes nothing yet.

        Raises:
            PromptError: a setting is not possible with this model.
        """
        self.loaded, self.stop = loaded, settings.stop
        self.sampling = settings.sampling()
        self.new_tokens = settings.new_tokens(loaded.context_length)
        self._engine: Engine | None = None

    @property
    def room(self) -> int:
        """Tokens that a prompt may have."""
        return self.loaded.context_length - self.new_tokens

    def write(self, prompt: Sequence[int]) -> Iterator[str]:
        """The text that follows a prompt of at least one and at most `room` tokens.

        Raises:
            FloatingPointError: the model's logits are not finite.
        """
        text = TextStream(self.loaded.tokenizer, self.stop)
        request = Request(
            prompt,
            self.new_tokens,
            self.sampling,
            self.loaded.end_ids,
            is_over=text.is_over if self.stop else None,
        )
        for piece in self._with_capacity(len(prompt) + self.new_tokens).stream([request]):
            yield text.feed(piece.tokens)
        yield text.finish()

    def _with_capacity(self, tokens: int) -> Engine:
        if self._engine is None or self._engine.capacity < tokens:
            capacity = min(1 << (tokens - 1).bit_length(), self.loaded.context_length)
            self._engine = Engine(self.loaded.model, slots=1, capacity=capacity)
        return self._engine
