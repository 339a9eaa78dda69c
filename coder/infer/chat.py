# SPDX-License-Identifier: Apache-2.0
"""`python -m coder chat`: a conversation with a model, several turns long."""

import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from coder import interrupts
from coder.checkpoint import CheckpointError
from coder.data import chat
from coder.data.chat import Message, Template
from coder.data.tokenizer import TokenizerError
from coder.huggingface.export_model import DType
from coder.infer.answer import Settings, Words, Writer
from coder.infer.load import load
from coder.infer.prompt import PromptError, check_utf8
from coder.infer.screen import Screen, interruptible, note

EXIT = "/exit"
"""A line that ends the conversation."""
QUOTES = '"""'
"""A line before and after a turn of several lines."""


@dataclass(frozen=True)
class Options:
    """Talks with a model: each line is a turn, /exit or the end of the input is the last.

    Lines between two that are three quotes each are one turn.
    """

    model: Path
    """Folder of an imported checkpoint or of a trained run."""
    adapter: Path | None = None
    """Folder of an adapter in PEFT's layout, to use beside the model."""
    dtype: DType = "stored"
    """Type of the parameters in memory; on a CPU float32 is faster, and takes twice bfloat16's."""
    system: Words = None
    """What the model is told before the first turn; None: what its template says."""
    template: Template | None = None
    """The form of a conversation; None: the one that the checkpoint brought along."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=Settings)
    """How the replies are written."""


def main(argv: list[str]) -> None:
    """Runs the command; exits with status 1 and a sentence where it cannot be answered."""
    options = tyro.cli(Options, args=argv, prog="python -m coder chat")
    with interruptible():
        try:
            _chat(options)
        except (CheckpointError, FloatingPointError, PromptError, TokenizerError) as error:
            sys.exit(f"error: {error}")


class Conversation:
    """What was said so far."""

    def __init__(self, writer: Writer, template: Template, system: str | None):
        """Nothing was said yet, but for the system text."""
        self.writer = writer
        self.template: Template = template
        if system and template == "v1" and not system.endswith("\n"):
            system += "\n"  # v1's template puts nothing between it and the first turn
        self.system = [] if system is None else [Message("system", system)]
        self.turns: list[Message] = []

    def ask(self, text: str) -> Generator[str]:
        """The reply, piece by piece; what was written of it counts as said if the reader stops.

        Raises:
            PromptError: the text does not fit the context, even when all before it is forgotten.
        """
        question = Message("user", text)
        prompt = self._prompt(question)
        written = shown = ""
        try:
            for piece in self.writer.write(prompt):
                written += piece
                before, shown = len(shown), chat.reply(written, self.template)
                yield shown[before:]
        finally:
            self.turns += [question, Message("assistant", shown)]

    def _prompt(self, question: Message) -> list[int]:
        """The conversation with a question; the oldest turns are forgotten where it is too long."""
        tokenizer, room = self.writer.loaded.tokenizer, self.writer.room
        forgotten = 0
        while True:
            messages = [*self.system, *self.turns[2 * forgotten :], question]
            prompt = chat.prompt_ids(tokenizer, messages, self.template)
            if len(prompt) <= room:
                break
            if 2 * forgotten == len(self.turns):
                raise PromptError(
                    f"{len(prompt)} tokens do not fit the {room} that the model's context has "
                    f"beside a reply of {self.writer.new_tokens}"
                )
            forgotten += 1
        if forgotten:
            del self.turns[: 2 * forgotten]
            note(f"the context is full: the model forgets the oldest of your turns ({forgotten})")
        return prompt


def _chat(options: Options) -> None:
    options.settings.check()
    check_utf8("--system", options.system or "")
    if sys.stdin is None:
        raise PromptError("standard input is closed: there is nobody to talk with")
    loaded = load(options.model, options.adapter, options.dtype)
    template = options.template or loaded.chat
    if template is None:
        raise PromptError(
            f"{options.model} has no chat template that is known: take an instruct model, or "
            "choose one with --template v1 or --template v2"
        )
    chat.end_id(loaded.tokenizer, template)  # Without one, no reply could be told as ended.
    conversation = Conversation(Writer(loaded, options.settings), template, options.system)
    screen = Screen()
    interrupts.raise_again()
    is_interactive = sys.stdin.isatty()
    if is_interactive:
        note(f"{options.model}, template {template}; Ctrl-C ends a reply, {EXIT} or Ctrl-D all")
        note(f"{QUOTES} in a line of its own begins and ends a turn of several lines")
    for turn in turns(_typed() if is_interactive else _piped()):
        _reply(conversation, turn, screen, is_interactive)


def turns(lines: Iterable[str | None]) -> Iterator[str]:
    """The turns of an input, of one line or of those between two lines of quotes.

    Args:
        lines: None: Ctrl-C, which gives up the turn that was begun.

    Raises:
        PromptError: the input ends within a turn.
    """
    begun: list[str] | None = None
    for line in lines:
        mark = line.strip() if line is not None else None
        if line is None:
            begun = None
        elif begun is None and mark == EXIT:
            return
        elif begun is None and mark == QUOTES:
            begun = []
        elif begun is not None and mark != QUOTES:
            begun.append(line)
        else:
            text = line if begun is None else "\n".join(begun)
            begun = None
            if text.strip():
                yield text
    if begun is not None:
        raise PromptError(f"the input ends within a turn: a line of {QUOTES} is missing")


def _reply(conversation: Conversation, turn: str, screen: Screen, is_interactive: bool) -> None:
    """Writes a reply; what is wrong with one turn ends no conversation at a terminal."""
    try:
        with closing(conversation.ask(turn)) as pieces:
            for piece in pieces:
                screen.answer(piece)
    except PromptError as error:
        if not is_interactive:
            raise
        note(f"error: {error}")
    except KeyboardInterrupt:
        if not is_interactive:
            raise
    screen.end()


def _typed() -> Iterator[str | None]:
    """The lines that a person types, until Ctrl-D; None for Ctrl-C."""
    import readline  # from here on `input` has editing and history

    readline.parse_and_bind("tab: self-insert")  # a turn may be code; file names have no use here
    while True:
        try:
            yield input("> " if sys.stdout.isatty() else "")
        except EOFError:
            note("")
            return
        except KeyboardInterrupt:
            note("")
            yield None
        except UnicodeDecodeError as error:
            note(f"error: the line is not UTF-8: {error}")


def _piped() -> Iterator[str]:
    """The lines of standard input.

    Raises:
        PromptError: a line is not UTF-8.
    """
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            yield line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise PromptError(f"line {number} of the input is not UTF-8: {error}") from None
