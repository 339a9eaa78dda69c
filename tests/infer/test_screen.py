# SPDX-License-Identifier: Apache-2.0
"""What is written where: to a terminal, to a pipe, to a pipe that nobody reads."""

import io
import subprocess
import sys

import pytest

from coder.infer.screen import Screen, interruptible


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO) -> str:
    screen = Screen(stream)
    screen.before("".join(f"{number}\n" for number in range(20)) + "at")
    screen.answer("\x1b[31m\tred\r\n")
    screen.after("\nafter\n" + "x\n" * 20)
    screen.end()
    return stream.getvalue()


def test_a_pipe_gets_the_answer_as_it_is():
    assert shown(io.StringIO()) == "\x1b[31m\tred\r\n\n"


def test_a_locale_without_a_character_gets_a_question_mark():
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="ascii")
    Screen(stream).answer("é€")
    assert written.getvalue() == b"??"


def test_a_terminal_gets_the_lines_around_and_no_orders(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    before = "".join(f"{number}\n" for number in range(13, 20)) + "at"
    assert shown(Terminal()) == before + "␛[31m\tred\r\n" + "\nafter\n" + "x\n" * 6 + "\n"


def test_a_terminal_gets_no_control_characters_of_latin_1(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    Screen(stream).answer("\x9b31mé\x7f")
    assert stream.getvalue() == "\ufffd31mé␡"


def test_a_terminal_tells_the_answer_by_its_colour(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    Screen(stream).answer("a")
    assert stream.getvalue() == "\x1b[1;32ma\x1b[0m"


def test_an_interrupt_ends_in_silence():
    with pytest.raises(SystemExit) as ended, interruptible():
        raise KeyboardInterrupt
    assert ended.value.code == 130


def test_a_reader_who_leaves_is_no_error():
    code = (
        "from coder.infer.screen import Screen, interruptible\n"
        "with interruptible():\n"
        "    while True:\n"
        "        Screen().answer('a' * 4096)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stderr
        assert process.stdout.read(1) == b"a"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
