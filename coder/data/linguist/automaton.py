# SPDX-License-Identifier: Apache-2.0
"""Whether a pattern occurs in a text, in time linear in the text whatever the two are.

`re` tries one way of matching after another, which takes quadratic time and worse on some patterns
and texts. Here all ways are followed at once: Thompson's construction, and the sets of states that
come up are kept, so that a known set costs one dictionary look-up per character. Slower than `re`
on harmless patterns, so only what needs it runs here.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from coder.data.linguist.ruby_regex import parse, sre

_ANY = frozenset(map(chr, range(256)))
_SPACE = frozenset(" \t\n\r\f\v")
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_DIGIT = frozenset("0123456789")
_CATEGORIES = {
    sre.CATEGORY_SPACE: _SPACE,
    sre.CATEGORY_NOT_SPACE: _ANY - _SPACE,
    sre.CATEGORY_WORD: _WORD,
    sre.CATEGORY_NOT_WORD: _ANY - _WORD,
    sre.CATEGORY_DIGIT: _DIGIT,
    sre.CATEGORY_NOT_DIGIT: _ANY - _DIGIT,
}
_MOST_SETS = 2000
"""Sets that are kept; beyond, all are forgotten, which costs time but no memory."""

States = frozenset[int]


class _Row(dict[str, Any]):
    """Next character to the next row, or to True where the pattern has been found."""

    def __init__(self, states: States, before: str):
        super().__init__()
        self.states = states
        self.before = before


@dataclass
class Automaton:
    r"""Searches for a pattern of literals, classes, groups, repeats and `^ $ \A \Z \b`.

    Characters are those of latin-1 (`ruby_regex.as_bytes`).

    Raises:
        ValueError: the pattern has something else, as a look-ahead or a back-reference.
    """

    pattern: str
    flags: int
    _letters: list[frozenset[str]] = field(default_factory=list)
    """What a state consumes; empty for a state that consumes nothing."""
    _condition: list[Any] = field(default_factory=list)
    """Where a state that consumes nothing may be passed; None: anywhere."""
    _following: list[list[int]] = field(default_factory=list)
    _rows: dict[tuple[States, str], _Row] = field(default_factory=dict)

    def __post_init__(self):
        """Builds the states."""
        self._accept = self._state()
        items = parse(self.pattern, self.flags)
        self._start = self._sequence(items, self._accept, self.flags)

    def search(self, text: str) -> bool:
        """Whether the pattern occurs in `text`."""
        row: Any = self._row(frozenset(), "")
        for letter in text:
            following = row.get(letter)
            if following is None:
                following = self._step(row, letter)
            if following is True:
                return True
            row = following
        return self._step(row, "") is True

    def _step(self, row: _Row, letter: str) -> _Row | bool:
        """The row after `letter`, "" being the text's end; True where the pattern is found."""
        reached = self._closure(row.states | {self._start}, row.before, letter)
        if self._accept in reached:
            row[letter] = True
        else:
            consuming = (state for state in reached if letter in self._letters[state])
            following = frozenset(to for state in consuming for to in self._following[state])
            row[letter] = self._row(following, letter)
        return row[letter]

    def _row(self, states: States, before: str) -> _Row:
        # of the character before, conditions ask no more than this
        kind = before if before in ("", "\n") else "a" if before in _WORD else " "
        if (states, kind) not in self._rows:
            if len(self._rows) >= _MOST_SETS:
                self._rows.clear()
            self._rows[states, kind] = _Row(states, kind)
        return self._rows[states, kind]

    def _closure(self, states: States, before: str, after: str) -> set[int]:
        reached, todo = set(states), list(states)
        while todo:
            state = todo.pop()
            condition = self._condition[state]
            if self._letters[state] or (condition and not condition(before, after)):
                continue
            fresh = [to for to in self._following[state] if to not in reached]
            reached.update(fresh)
            todo.extend(fresh)
        return reached

    def _state(
        self, *following: int, letters: frozenset[str] = frozenset(), condition: Any = None
    ) -> int:
        self._letters.append(letters)
        self._condition.append(condition)
        self._following.append(list(following))
        return len(self._letters) - 1

    def _sequence(self, items: Any, end: int, flags: int) -> int:
        for operation, argument in reversed(list(items)):
            end = self._item(operation, argument, end, flags)
        return end

    def _item(self, operation: Any, argument: Any, end: int, flags: int) -> int:
        """The state from which the item leads to `end`."""
        if operation is sre.BRANCH:
            return self._state(*(self._sequence(part, end, flags) for part in argument[1]))
        if operation is sre.SUBPATTERN:
            _, added, removed, items = argument
            return self._sequence(items, end, (flags | added) & ~removed)
        if operation in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            least, most, items = argument
            return self._repeat(least, most, items, end, flags)
        if operation is sre.AT and argument in _CONDITIONS:
            return self._state(end, condition=_CONDITIONS[argument])
        return self._state(end, letters=_letters(operation, argument, flags))

    def _repeat(self, least: int, most: Any, items: Any, end: int, flags: int) -> int:
        if most is sre.MAXREPEAT:
            loop = self._state(end)
            self._following[loop].append(self._sequence(items, loop, flags))
            end = loop
        else:
            for _ in range(most - least):
                end = self._state(end, self._sequence(items, end, flags))
        for _ in range(least):
            end = self._sequence(items, end, flags)
        return end


def _letters(operation: Any, argument: Any, flags: int) -> frozenset[str]:
    """The characters that one item of a pattern consumes."""
    if operation is sre.ANY:
        return _ANY if flags & re.DOTALL else _ANY - {"\n"}
    if operation is sre.NOT_LITERAL:
        return _ANY - _cases({chr(argument)}, flags)
    if operation is sre.LITERAL:
        return _cases({chr(argument)}, flags)
    if operation is not sre.IN:
        raise ValueError(f"{operation} is nothing that an automaton can follow")
    found: set[str] = set()
    for kind, value in argument:
        if kind is sre.CATEGORY:
            found |= _CATEGORIES[value]
        elif kind is sre.RANGE:
            found.update(map(chr, range(value[0], value[1] + 1)))
        elif kind is sre.LITERAL:
            found.add(chr(value))
    cased = _cases(found, flags)
    return _ANY - cased if argument[0][0] is sre.NEGATE else cased


def _cases(letters: set[str], flags: int) -> frozenset[str]:
    if not flags & re.IGNORECASE:
        return frozenset(letters)
    ascii_only = {letter for letter in letters if letter.isascii()}
    return frozenset(letters).union(map(str.lower, ascii_only), map(str.upper, ascii_only))


def _is_boundary(before: str, after: str) -> bool:
    return (before in _WORD) != (after in _WORD)


_CONDITIONS = {
    sre.AT_BEGINNING: lambda before, after: before in ("", "\n"),
    sre.AT_BEGINNING_STRING: lambda before, after: before == "",
    sre.AT_END: lambda before, after: after in ("", "\n"),
    sre.AT_END_STRING: lambda before, after: after == "",
    sre.AT_BOUNDARY: _is_boundary,
    sre.AT_NON_BOUNDARY: lambda before, after: not _is_boundary(before, after),
}
"""What `(character before, character after)` must be, "" being the text's ends; MULTILINE."""
