# SPDX-License-Identifier: Apache-2.0
"""`python -m coder complete`: what a model writes after a prompt, or at a place in a file."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from coder.checkpoint import CheckpointError
from coder.data.languages import path_header
from coder.data.tokenizer import Tokenizer, TokenizerError
from coder.huggingface.export_model import DType
from coder.infer.answer import Settings, Words, Writer
from coder.infer.load import Loaded, load
from coder.infer.place import Place, PlaceError, read_place
from coder.infer.prompt import Format, PromptError, check_utf8, fitted, infill_prompt, nearest_ids
from coder.infer.repository import Neighbourhood, nearest_within, neighbourhood
from coder.infer.screen import Screen, interruptible, note

_REFUSALS = (CheckpointError, FloatingPointError, PlaceError, PromptError, TokenizerError)
"""What is said in a sentence."""


@dataclass(frozen=True)
class Options:
    """Goes on with a text, or fills in the middle of one (docs/completion.md)."""

    model: Path
    """Folder of a trained run or of an imported checkpoint."""
    adapter: Path | None = None
    """Folder of an adapter in PEFT's layout, to use beside the model."""
    dtype: DType = "stored"
    """Type of the parameters in memory; on a CPU float32 is faster, and takes twice bfloat16's."""
    prompt: Words = None
    """Text to go on with; -: standard input. In bash, $'a\\nb' has a line break."""
    suffix: Words = None
    """With --prompt: the text after the answer, which then is a middle."""
    at: str | None = None
    """In place of --prompt: path:line, the end of a line, or path:line:column; both from 1."""
    repository: Path | None = None
    """With --at: a folder; what the file imports from it is put before the file."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=Settings)
    """How the answer is written."""


def main(argv: list[str]) -> None:
    """Runs the command; exits with status 1 and a sentence where it cannot be answered."""
    options = tyro.cli(Options, args=argv, prog="python -m coder complete")
    with interruptible():
        try:
            _complete(options)
        except _REFUSALS as error:
            sys.exit(f"error: {error}")


def _complete(options: Options) -> None:
    options.settings.check()
    place = _place(options)
    found = neighbourhood(options.repository, place) if options.repository else None
    loaded = load(options.model, options.adapter, options.dtype)
    writer = Writer(loaded, options.settings)
    is_middle = options.prompt is None or options.suffix is not None
    form = infill_format(loaded, place.suffix) if is_middle else None
    prompt = prompt_ids(loaded, form, place, writer.room, found)
    screen = Screen()
    screen.before(place.prefix)
    for text in writer.write(prompt):
        screen.answer(text)
    screen.after(place.suffix)


def _place(options: Options) -> Place:
    """Where the answer is to stand.

    Raises:
        PromptError: the options contradict each other, or what they name is no text.
        PlaceError: there is no such place in a file.
    """
    if (options.prompt is None) == (options.at is None):
        raise PromptError("give either --prompt or --at")
    if options.at is not None:
        if options.suffix is not None:
            raise PromptError("--suffix goes with --prompt: after --at comes the rest of the file")
        return read_place(options.at)
    if options.repository is not None:
        raise PromptError("--repository goes with --at, the place in one of its files")
    prompt = options.prompt or ""
    check_utf8("--prompt", prompt)
    check_utf8("--suffix", options.suffix or "")
    if prompt == "-":
        if sys.stdin is None:
            raise PromptError("--prompt -: standard input is closed")
        try:
            prompt = sys.stdin.buffer.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise PromptError(f"standard input is not UTF-8: {error}") from None
    return Place(Path(), prompt, options.suffix or "")


def infill_format(loaded: Loaded, suffix: str) -> Format | None:
    """The format of a prompt with a suffix; None if the suffix is blank and there is no format.

    Raises:
        PromptError: the model was trained without infilling, and there is a suffix to be seen.
    """
    if loaded.infill is None and suffix.strip():
        raise PromptError(
            "this model was trained without infilling and cannot see what follows: ask for the end "
            "of a text, or take a model that fills in"
        )
    return loaded.infill


def prompt_ids(
    loaded: Loaded,
    form: Format | None,
    place: Place,
    room: int,
    found: Neighbourhood | None = None,
) -> list[int]:
    """What the model is shown; says what had to be left out of it.

    Args:
        loaded: the model.
        form: of a prompt with a hole; None: the text before the place, and nothing after it.
        place: where the answer is to stand.
        room: tokens at most.
        found: what the file imports, for a file of a repository.

    Raises:
        PromptError: there is nothing to begin with, or no room.
    """
    tokenizer = loaded.tokenizer
    prefix_ids = nearest_ids(tokenizer, place.prefix, room + 1, at_end=True)
    suffix = place.suffix if form else ""
    suffix_ids = nearest_ids(tokenizer, suffix, room + 1, at_end=False)
    frame = len(_framed(loaded, form, [], []))
    size = len(prefix_ids) + len(suffix_ids)
    lead = _lead(tokenizer, found, room - frame - size) if found else []
    left = room - frame - len(lead)
    if left < min(1, size):
        raise PromptError(
            f"{room} tokens are too few for a prompt, of which {frame} are control tokens: "
            "choose a smaller --max-new-tokens"
        )
    prefix_ids, suffix_ids = fitted(prefix_ids, suffix_ids, left)
    if len(prefix_ids) + len(suffix_ids) < size:
        note(
            f"the text does not fit the model's context: it sees the last {len(prefix_ids)} tokens "
            f"before the answer" + (f" and the first {len(suffix_ids)} after it" if form else "")
        )
    prompt = _framed(loaded, form, [*lead, *prefix_ids], suffix_ids)
    if not prompt:
        raise PromptError(
            "the prompt is empty, and the model's tokenizer has no token that begins a text"
        )
    return prompt


def _framed(
    loaded: Loaded, form: Format | None, prefix_ids: Sequence[int], suffix_ids: Sequence[int]
) -> list[int]:
    if form is None:
        return [*loaded.bos_ids, *prefix_ids]
    return infill_prompt(loaded.tokenizer, prefix_ids, suffix_ids, form)


def _lead(tokenizer: Tokenizer, found: Neighbourhood, room: int) -> list[int]:
    """What stands before a file of a repository: as many neighbours as fit, and its own path."""
    header = tokenizer.encode(path_header(found.path, found.language))
    kept = nearest_within(found.neighbours, tokenizer, room - len(header))
    dropped = len(found.neighbours) - len(kept)
    names = ", ".join(one.path for one in kept) or "no other file"
    note(
        f"before {found.path}: {names}"
        + (f"; left out for lack of room: {dropped}" if dropped else "")
    )
    # Files end with a line break, across which no token reaches, so they can be encoded apart.
    return [*tokenizer.encode("".join(one.text for one in kept)), *header]
