# SPDX-License-Identifier: Apache-2.0
"""Where answers are written: to a terminal with what surrounds them, elsewhere as they are."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.style import Style

_AROUND = Style(dim=True)
_ANSWER = Style(bold=True, color="green")
_LINES = 8
"""Lines of the text around an answer that a terminal shows on either side."""
_CONTROL = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n\r"},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
}
"""Characters that a terminal would obey, to pictures of them, or U+FFFD where there is none."""


class Screen:
    """Standard output."""

    def __init__(self, stream: TextIO | None = None):
        """`stream`: in place of standard output."""
        self.stream = stream or sys.stdout
        if isinstance(self.stream, io.TextIOWrapper):
            self.stream.reconfigure(errors="replace")  # where a locale lacks a character
        self.is_terminal = self.stream.isatty()
        self._is_coloured = self.is_terminal and not os.environ.get("NO_COLOR")

    def answer(self, text: str) -> None:
        """A piece of an answer, at once."""
        self._write(text, _ANSWER)

    def before(self, text: str) -> None:
        """The last lines of what an answer follows; on a terminal only."""
        if self.is_terminal:
            self._write("".join(text.splitlines(keepends=True)[-_LINES:]), _AROUND)

    def after(self, text: str) -> None:
        """The first lines of what follows an answer, and a line break; on a terminal only."""
        if self.is_terminal:
            shown = "".join(text.splitlines(keepends=True)[:_LINES])
            self._write(shown if shown.endswith("\n") else shown + "\n", _AROUND)

    def end(self) -> None:
        """Ends an answer's last line."""
        self._write("\n", _AROUND)

    def _write(self, text: str, style: Style) -> None:
        if self.is_terminal:
            text = text.translate(_CONTROL)
        self.stream.write(style.render(text) if self._is_coloured and text else text)
        self.stream.flush()


def note(text: str) -> None:
    """Tells the user something beside the answer."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def interruptible() -> Iterator[None]:
    """Ends the program in silence on Ctrl-C, or when nobody reads its output any more."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Python flushes standard output once more as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
