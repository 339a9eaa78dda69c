# SPDX-License-Identifier: Apache-2.0
r"""Conversations as DeepSeek-Coder's instruct models were taught them.

    v1: <bos>{system}### Instruction:\n{user}\n### Response:\n{assistant}\n<|EOT|>\n
    V2: <bos>{system}\n\nUser: {user}\n\nAssistant: {assistant}<eos>User: ...

These are the templates of the released `tokenizer_config.json`, oddities included: v1 puts nothing
between a system text of one's own and what follows, its own system text lacks the last full stop
that the README's has, and V2's prompt ends in `Assistant:` without a space.

Control tokens are put in as ids. What a message says stays text, whatever it spells.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from coder.data.tokenizer import Tokenizer

Template = Literal["v1", "v2"]
TEMPLATES: tuple[Template, ...] = get_args(Template)
Role = Literal["system", "user", "assistant"]

V1_SYSTEM = (
    "You are an AI programming assistant, utilizing the Deepseek Coder model, developed by "
    "Deepseek Company, and you only answer questions related to computer science. For politically "
    "sensitive questions, security and privacy issues, and other non-computer science questions, "
    "you will refuse to answer\n"
)
"""v1's system text where a conversation has none; V2 has none at all."""


@dataclass(frozen=True)
class Message:
    """What somebody says."""

    role: Role
    content: str


def prompt_ids(tokenizer: Tokenizer, messages: Sequence[Message], template: Template) -> list[int]:
    """A conversation up to where the assistant is to speak.

    Raises:
        TokenizerError: the tokenizer has no token that ends a reply in this template.
    """
    ids, text = [tokenizer.bos], ""
    for part in (_v1 if template == "v1" else _v2)(tokenizer, messages):
        if isinstance(part, str):
            text += part  # encoded with its neighbours: merges may reach from one into the other
        else:
            ids += [*tokenizer.encode(text), part]
            text = ""
    return ids + tokenizer.encode(text)


def end_id(tokenizer: Tokenizer, template: Template) -> int:
    """The token that ends a reply.

    Raises:
        TokenizerError: the tokenizer has none.
    """
    return tokenizer.eot if template == "v1" else tokenizer.eos


def reply(text: str, template: Template) -> str:
    """What the assistant said, without the white space that belongs to the template."""
    return text.removesuffix("\n") if template == "v1" else text.removeprefix(" ")


def _v1(tokenizer: Tokenizer, messages: Sequence[Message]) -> Iterator[str | int]:
    if all(message.role != "system" for message in messages):
        yield V1_SYSTEM
    for message in messages:
        if message.role == "system":
            yield message.content
        elif message.role == "user":
            yield f"### Instruction:\n{message.content}\n"
        else:
            yield f"### Response:\n{message.content}\n"
            yield end_id(tokenizer, "v1")
            yield "\n"
    yield "### Response:\n"


def _v2(tokenizer: Tokenizer, messages: Sequence[Message]) -> Iterator[str | int]:
    for message in messages:
        if message.role == "system":
            yield f"{message.content}\n\n"
        elif message.role == "user":
            yield f"User: {message.content}\n\n"
        else:
            yield f"Assistant: {message.content}"
            yield end_id(tokenizer, "v2")
    yield "Assistant:"
