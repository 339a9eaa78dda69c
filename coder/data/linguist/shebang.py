# SPDX-License-Identifier: Apache-2.0
"""The interpreter that a script's first line names (`#!/usr/bin/env python3`)."""

import re

from coder.data.linguist.tables import base_name, first_lines, tables

_INTERPRETER = re.compile(r"#!\s*\S+", re.ASCII)
_SPACE = re.compile(r"\s+", re.ASCII)
_FOLLOWED = re.compile(r"(\S+)\s+", re.ASCII)
_WORD = re.compile(r"\S+", re.ASCII)
_OPTION = re.compile(r"-[i0uCSv]*|--\S+", re.ASCII)
_VERSION = re.compile(r"\.\d+$", re.ASCII)
_EXEC = re.compile(r"exec (\w+)", re.ASCII)


def by_interpreter(text: str) -> tuple[str, ...]:
    """The languages of the interpreter in the shebang; empty without one."""
    if not text.startswith("#!"):
        return ()
    name = interpreter(text)
    return tables().by_interpreter.get(name, ()) if name else ()


def interpreter(text: str) -> str | None:
    """The interpreter's name without folder and minor version; None: the text names none."""
    line = text[: text.find("\n") if "\n" in text else len(text)]
    named = _INTERPRETER.match(line)
    if not named:
        return None
    script, at = named[0].rstrip("/").rpartition("/")[2], named.end()
    if script == "env":
        script, at = _run_by_env(line, at)
        if script is None:
            return None
    script = re.sub(r"^#!\s*", "", _VERSION.sub("", script))
    if script == "sh":
        script = _run_by_shell(text) or script
    if script == "osascript" and "-l" in line[at:]:
        return None  # its option tells the language, which need not be one with an interpreter
    return base_name(script)


def _run_by_env(line: str, at: int) -> tuple[str | None, int]:
    """What `env` runs: the first word after its options and variables; and where that ends."""
    space = _SPACE.match(line, at)
    at = space.end() if space else at
    while following := _FOLLOWED.match(line, at):
        word = following[1]
        if not _OPTION.fullmatch(word) and "=" not in word[1:-1]:
            break
        at = following.end()
    found = _WORD.match(line, at)
    return (found[0], found.end()) if found else (None, at)


def _run_by_shell(text: str) -> str | None:
    r"""What a shell script is passed on to in its first lines, as by `exec wish "$0" "$@"`.

    Linguist's expression is `exec (\w+).+\$0.+\$@`, here from its end, for linear time.
    """
    for line in first_lines(text, 5):
        end = line.rfind("$0", 0, max(0, line.rfind("$@") - 1))
        found = _EXEC.search(line, 0, end - 1) if end > 0 else None
        if found:
            return found[1]
    return None
