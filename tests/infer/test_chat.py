# SPDX-License-Identifier: Apache-2.0
"""`python -m coder chat`: turns, what is remembered of them, and how it ends."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from coder.data import chat
from coder.data.chat import Message
from coder.infer.answer import Settings, Writer
from coder.infer.chat import Conversation, _reply, main, turns
from coder.infer.load import Loaded, load
from coder.infer.prompt import PromptError
from coder.infer.screen import Screen
from tests.infer.small_models import LLAMA, TOKENIZER, write_imported, write_run

TEMPLATE = {"chat_template": "{{ '### Instruction:' }}{{ '### Response:' }}"}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("imported") / "v1"
    return write_imported(path, LLAMA, tokenizer_config=TEMPLATE)


@pytest.fixture(scope="module")
def loaded(imported: Path) -> Loaded:
    return load(imported)


class Scripted(Writer):
    """Writes what it is told to, and keeps what it is shown."""

    def __init__(self, loaded: Loaded, replies: Sequence[Sequence[str]], room: int = 10_000):
        super().__init__(loaded, Settings(max_new_tokens=8))
        self.replies, self.most, self.prompts = list(replies), room, list[str]()

    @property
    def room(self) -> int:
        return self.most

    def write(self, prompt: Sequence[int]) -> Iterator[str]:
        self.prompts.append(TOKENIZER.decode(prompt))
        yield from self.replies.pop(0)


@pytest.mark.parametrize(
    ("template", "pieces", "said"),
    [("v1", ["a", "\n", "b\n"], "a\nb"), ("v2", [" ", "a", " b\n"], "a b\n")],
)
def test_turns_are_remembered_as_the_template_has_them(loaded, template, pieces, said):
    writer = Scripted(loaded, [pieces, ["end"]])
    conversation = Conversation(writer, template, "Be brief.\n")
    assert "".join(conversation.ask("one")) == said
    assert "".join(conversation.ask("two")) == "end"
    messages = [
        Message("system", "Be brief.\n"),
        Message("user", "one"),
        Message("assistant", said),
        Message("user", "two"),
    ]
    assert writer.prompts[1] == TOKENIZER.decode(chat.prompt_ids(TOKENIZER, messages, template))


def test_v1_parts_a_system_text_from_the_first_turn(loaded):
    writer = Scripted(loaded, [["a"]])
    list(Conversation(writer, "v1", "Be brief.").ask("one"))
    assert "Be brief.\n### Instruction:\none\n" in writer.prompts[0]


def test_the_oldest_turns_are_forgotten_when_the_context_is_full(loaded, capsys):
    one_turn = len(chat.prompt_ids(TOKENIZER, [Message("user", "0")], "v2"))
    writer = Scripted(loaded, [["a"]] * 4, room=2 * one_turn + 8)
    conversation = Conversation(writer, "v2", None)
    for number in range(4):
        list(conversation.ask(str(number)))
    assert "User: 1" not in writer.prompts[3] and "User: 2" in writer.prompts[3]
    assert "forgets the oldest of your turns (1)" in capsys.readouterr().err
    with pytest.raises(PromptError, match="tokens do not fit"):
        list(conversation.ask("long " * 99))
    assert [turn.content for turn in conversation.turns][-2:] == ["3", "a"]


def test_an_interrupted_reply_counts_as_far_as_it_was_written(loaded, capsys):
    class Interrupted(Scripted):
        def write(self, prompt: Sequence[int]) -> Iterator[str]:
            yield " half"
            raise KeyboardInterrupt

    conversation = Conversation(Interrupted(loaded, []), "v2", None)
    _reply(conversation, "one", Screen(), is_interactive=True)
    assert [turn.content for turn in conversation.turns] == ["one", "half"]
    assert capsys.readouterr().out == "half\n"
    with pytest.raises(KeyboardInterrupt):
        _reply(conversation, "two", Screen(), is_interactive=False)


class Input(io.StringIO):
    """Standard input of bytes."""

    def __init__(self, data: bytes):
        super().__init__()
        self.bytes = data

    @property
    def buffer(self) -> io.BytesIO:
        return io.BytesIO(self.bytes)


def talk(monkeypatch: pytest.MonkeyPatch, data: bytes, model: Path, *options: str) -> None:
    monkeypatch.setattr("sys.stdin", Input(data))
    main(["--model", str(model), "--max-new-tokens", "6", *options])


def expected(loaded: Loaded, *questions: str) -> str:
    """The replies that a conversation of these lines gets, a line break after each."""
    writer = Writer(loaded, Settings(max_new_tokens=6))
    conversation = Conversation(writer, "v2", "s")
    return "".join("".join(conversation.ask(question)) + "\n" for question in questions)


def test_each_line_of_a_pipe_is_a_turn(imported, loaded, monkeypatch, capsys):
    options = ["--system", "s", "--template", "v2"]
    talk(monkeypatch, b"add\r\n\n \n/exit\nnever\n", imported, *options)
    assert capsys.readouterr().out == expected(loaded, "add")
    talk(monkeypatch, b"add\nb", imported, *options)
    assert capsys.readouterr().out == expected(loaded, "add", "b")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (['"""', "a", "", "  b", '"""', "c"], ["a\n\n  b", "c"]),
        (['"""', "/exit", ' """ ', "/exit", "c"], ["/exit"]),
        (['"""', '"""', " ", 'say """', "c"], ['say """', "c"]),
        (['"""', "given up", None, "c"], ["c"]),
    ],
)
def test_lines_between_quotes_are_one_turn(lines, expected):
    assert list(turns(lines)) == expected


def test_a_turn_without_an_end_is_told():
    with pytest.raises(PromptError, match='within a turn: a line of """ is missing'):
        list(turns(["a", '"""', "b"]))


def test_a_pipe_may_have_turns_of_several_lines(imported, loaded, monkeypatch, capsys):
    options = ["--system", "s", "--template", "v2"]
    talk(monkeypatch, b'"""\nadd\n\nb\n"""\n', imported, *options)
    assert capsys.readouterr().out == expected(loaded, "add\n\nb")


def test_a_model_without_a_template_needs_one_chosen(tmp_path, monkeypatch, capsys):
    run = write_run(tmp_path / "run")
    with pytest.raises(SystemExit, match="error: .*no chat template.*--template v1 or"):
        talk(monkeypatch, b"add\n", run)
    talk(monkeypatch, b"add\n", run, "--template", "v2", "--system", "s")
    assert capsys.readouterr().out.endswith("\n")


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (b"add\n", ["--temperature", "-1"], "temperature=-1.0"),
        (b"a\xff\n", [], "line 1 of the input is not UTF-8"),
        (b"long " * 200, [], "do not fit the 250 that the model's context has"),
    ],
)
def test_what_cannot_be_answered_is_said_in_a_sentence(
    data, options, message, imported, monkeypatch
):
    with pytest.raises(SystemExit, match=f"^error: .*{message}"):
        talk(monkeypatch, data, imported, *options)
