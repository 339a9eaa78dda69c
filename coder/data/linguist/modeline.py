# SPDX-License-Identifier: Apache-2.0
"""The language that a file names in a line for Vim (`vim: ft=c`) or Emacs (`-*- c -*-`).

What Linguist's two regular expressions find, in linear time. One thing less: in a line of more
than `LONGEST_LINE` characters no modeline is seen.
"""

import re

from coder.data.linguist.tables import tables

SEARCHED_LINES = 5
"""Lines at the start and at the end of a file where a modeline may be."""
LONGEST_LINE = 1000
LARGEST_FILE = 1 << 20
"""Bytes; Linguist looks for lines in no larger file."""

_LINE_END = re.compile(r"\r\n|\r|\n")


def by_modeline(text: str) -> str | None:
    """The language that a modeline names; None: there is none, or no such language."""
    searched = "\n".join(first_lines(text, SEARCHED_LINES))
    if "UseVimball" in searched:
        return None  # the modeline is that of a file within
    searched += "\n".join(_last_lines(text, SEARCHED_LINES))
    name = _named(searched)
    if name is None:
        return None
    by_alias = tables().by_alias
    return by_alias.get(name.lower()) or by_alias.get(name.partition(",")[0].lower())


def first_lines(text: str, count: int) -> list[str]:
    r"""The first lines that end in \n, \r or \r\n, without their ends; "" comes after the last."""
    if len(text) > LARGEST_FILE:
        return []
    end = 0
    if "\r" not in text:
        for _ in range(count):
            following = text.find("\n", end) + 1
            if not following:
                break
            end = following
        return text[:end].split("\n") if end else []
    for found, _ in zip(_LINE_END.finditer(text), range(count), strict=False):
        end = found.end()
    return _LINE_END.split(text[:end]) if end else []


def _last_lines(text: str, count: int) -> list[str]:
    r"""The last lines, as Linguist finds them from the end: there \r\n counts for two line ends.

    Where the text starts with a line end and has few lines, the search starts at the end again.
    """
    if len(text) > LARGEST_FILE:
        return []
    end = start = len(text)
    ends_line = False
    has_return = "\r" in text
    counted = 0
    while counted < count:
        before = end or len(text)
        found = text.rfind("\n", 0, before)
        if has_return:
            found = max(found, text.rfind("\r", 0, before))
        if found < 0:
            break
        start = found + (2 if text.startswith("\r\n", found) else 1)
        if counted == 0 and start == len(text):
            ends_line = True
            count += 1
        end = found
        counted += 1
    lines = _LINE_END.split(text[start:])
    return lines[:-1] if ends_line else lines


def _named(text: str) -> str | None:
    """The file type in the first Emacs modeline, or else in the first of Vim."""
    has_emacs = "-*-" in text
    has_vim = _VIM_HINT.search(text)
    if not has_emacs and not has_vim:
        return None
    lines = [line for line in text.split("\n") if len(line) <= LONGEST_LINE]
    if has_emacs:
        for line in lines:
            found = _EMACS.search(line)
            if found:
                return found[1]
    if has_vim:
        for line in lines:
            name = _vim_file_type(line, _VIM_FILE_TYPE)
            if name is not None:
                return name
    return None


# `[ \t]*` before `mode` would only repeat what `.*?` does.
_EMACS = re.compile(
    r"""-\*-
    (?: [ \t]* (?= [^:;\s]+ [ \t]* -\*- )                   # -*- ruby -*-
      | (?: .*? [ \t;] | (?<=-\*-) [ \t]* )                 # -*- tab-width: 4;
        mode [ \t]* : [ \t]*                                #     mode: ruby
    )
    ([^:;\s]+)
    (?= [ \t;] | (?<![-*]) -\*- )
    .*? -\*-""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)

_VIM_HINT = re.compile(r"(?:filetype|ft|syntax)[ \t]*=\w", re.ASCII)
_VIM_START = re.compile(
    r"""(?: (?:^|[ \t]) (?:vi|Vi(?=m)) (?: m [<=>]? [0-9]+ | m )? | [ \t] ex )
    (?= : (?= [ \t]* set? [ \t] [^\r\n:]+ : )               # set ft=ruby:
      | : (?! [ \t]* set? [ \t] ) )                         # ft=ruby""",
    re.VERBOSE | re.ASCII,
)
_VIM_FILE_TYPE = re.compile(r"[ \t:](?:filetype|ft|syntax)[ \t]*=(\w+)(?=$|\s|:)", re.ASCII)
_VIM_HELP = re.compile(r"[ \t:](?:filetype|ft|syntax)[ \t]*=(help)(?=$|\s|:)", re.ASCII)
_WORD = re.compile(r"\w*", re.ASCII)
_BLANKS = re.compile(r"[ \t]*")
_COLON = re.compile(r"[ \t]*:")
_EQUALS = re.compile(r"[ \t]*=")
_VALUE = re.compile(r"[^\\\s]|\\.", re.ASCII)


def has_vim_help(head: str) -> bool:
    """Whether a Vim modeline anywhere in the text says that it is part of Vim's manual."""
    if "=help" not in head:
        return False
    lines = (line for line in head.split("\n") if len(line) <= LONGEST_LINE)
    return any(_vim_file_type(line, _VIM_HELP) for line in lines)


def _vim_file_type(line: str, declaration: re.Pattern[str]) -> str | None:
    """The file type of a line's first Vim modeline that has such a declaration.

    Options may stand before it, and how they are divided is ambiguous. The ways are tried in the
    order of Linguist's expression, `(separator word (= value)?)*`, but none twice: a place in the
    line and in the expression from which nothing was found is remembered, for all starts alike.
    """
    if not _VIM_HINT.search(line):
        return None
    seen: set[tuple[str, int]] = set()
    for start in _VIM_START.finditer(line):
        todo = [("options", start.end())]
        while todo:
            step = todo.pop()
            if step in seen:
                continue
            seen.add(step)
            place, at = step
            if place == "type":
                found = declaration.match(line, at)
                if found:
                    return found[1]
            else:
                todo.extend(reversed(_ways(line, place, at)))
    return None


def _ways(line: str, place: str, at: int) -> list[tuple[str, int]]:
    """The places that may follow one in a modeline, in the order in which they are to be tried."""
    if place == "options":
        ways = []
        colon = _COLON.match(line, at)
        if colon:
            ways.append(("after colon", colon.end()))
        if line[at : at + 1] in (" ", "\t"):
            ways.append(("word", at + 1))
        return [*ways, ("type", at)]
    if place == "after colon":
        further = [(place, at + 1)] if line[at : at + 1] in (" ", "\t") else []
        return [*further, ("word", at)]
    if place == "word":
        end = _end(_WORD, line, at)
        equals = _EQUALS.match(line, end)
        return [("value", equals.end()), ("options", end)] if equals else [("options", end)]
    value = _VALUE.match(line, at)
    return [("value", value.end()), ("options", at)] if value else [("options", at)]


def _end(pattern: re.Pattern[str], line: str, at: int) -> int:
    found = pattern.match(line, at)
    return found.end() if found else at
