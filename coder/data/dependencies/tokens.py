# SPDX-License-Identifier: Apache-2.0
"""What parsers share that only look for declarations: tokens, brackets, and blocks around them."""

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass

MAX_PARTS = 50
"""Parts of a dotted name, folders above a file and nested types: no real ones are deeper."""
MAX_TOKENS = 1 << 18
"""Tokens of a file that are read: a second's work. A megabyte of code has half as many."""
MAX_HEADER = 1000
"""Tokens after a type's name that are searched for its supertypes and type parameters."""

NAME = r"(?:(?:[^\W\d]|\$)[\w$]*+|`[^`\n]++`)"
"""An identifier."""

CHAIN = rf"(?:\.\s*+)?+{NAME}(?:\s*+\.\s*+{NAME})*+"
"""Identifiers with dots between; a first dot says that they are members of what stands before."""

NUMBER = r"\d(?:\w|\.(?=\d))*+"

_SPACE = re.compile(r"[\s`]+")
_OPENING, _CLOSING = frozenset("([<"), frozenset(")]>")


def tidy(chain: str) -> str:
    """A dotted name without spaces and backticks, cut to the parts that are looked at."""
    if not chain.isidentifier():
        chain = _SPACE.sub("", chain)
        if chain.count(".") >= MAX_PARTS:
            return ".".join(chain.split(".", MAX_PARTS)[:MAX_PARTS])
    return chain


def is_name(token: str, keywords: Set[str]) -> bool:
    """Whether a token is an identifier, dotted or not, but no member of what stands before."""
    first = token[0]
    return (first.isalpha() or first in "_$`") and token not in keywords


class Ahead:
    """Looks ahead in the tokens of a file, as far as takes linear time altogether.

    A file in which everything is a declaration that never ends is not looked at in full.
    """

    def __init__(self, tokens: list[str], keywords: Set[str]) -> None:
        """Of `tokens`, those that look like names but are in `keywords` are none."""
        self._tokens, self._keywords = tokens, keywords
        self._left = 2 * len(tokens)

    def outside_brackets(self, start: int, stops: Set[str]) -> Iterator[int]:
        """Where from `start` on tokens stand in no brackets of their own, up to one of `stops`."""
        depth = 0
        for position in self.positions(start):
            token = self._tokens[position]
            if token in _OPENING:
                depth += 1
            elif token in _CLOSING:
                depth -= 1
            elif depth == 0:
                if token in stops:
                    return
                yield position
            if depth < 0:
                return

    def supertypes(self, start: int, begins: Set[str], stops: Set[str]) -> list[int]:
        """Where the types stand that a declaration names as its supertypes.

        Args:
            start: the first token after the declared name.
            begins: what a supertype stands behind; also behind a comma, after the first.
            stops: what ends the declaration.
        """
        found, before = list[int](), ""
        for position in self.outside_brackets(start, stops):
            token = self._tokens[position]
            if (before in begins or (before == "," and found)) and is_name(token, self._keywords):
                found.append(position)
            before = token
        return found

    def type_parameters(self, start: int, before: Set[str]) -> list[str]:
        """The names that the bracket at `start` declares: those right behind one of `before`."""
        found, depth = list[str](), 0
        for position in self.positions(start):
            token = self._tokens[position]
            depth += (token in _OPENING) - (token in _CLOSING)
            if depth == 0 or token in "{};":
                break
            if depth == 1 and self._tokens[position - 1] in before and token.isidentifier():
                found.append(token)
        return found

    def after_brackets(self, start: int) -> int:
        """The position behind the bracket that begins at `start`, which is `start` if none does."""
        depth, position = 0, start
        for position in self.positions(start):
            depth += (self._tokens[position] in _OPENING) - (self._tokens[position] in _CLOSING)
            if depth <= 0:
                return position + (position > start)
        return position

    def positions(self, start: int) -> Iterator[int]:
        """The positions from `start` on, `MAX_HEADER` at most."""
        for position in range(start, min(start + MAX_HEADER, len(self._tokens))):
            if self._left == 0:
                return
            self._left -= 1
            yield position


@dataclass(slots=True)
class Block:
    """What stands between two braces, or is indented."""

    name: str | None
    """Full name of the type or package whose body it is; None for code."""
    is_type: bool = False
    constants: bool = False
    """Whether the names of an enum's constants may stand here."""
    parentheses: int = 0
    """How many were open where it began."""
    indent: int | None = None
    """For a block without braces: the indentation of the line that it belongs to."""
    scope: int = 0
    """A number that is handed on to the blocks within."""


class Blocks:
    """The blocks around the token that a parser has come to."""

    def __init__(self, package: str) -> None:
        """At the beginning of a file, whose package may become known later."""
        self._file = Block(package)
        self.parentheses = 0
        self._open: list[Block] = []
        self._pending: Block | None = None

    @property
    def innermost(self) -> Block:
        """The block around."""
        return self._open[-1] if self._open else self._file

    @property
    def at_constants(self) -> bool:
        """Whether an enum's constant may stand here."""
        return (
            bool(self._open)
            and self._open[-1].constants
            and self._open[-1].parentheses == self.parentheses
        )

    @property
    def in_header(self) -> bool:
        """Whether here are the parentheses of a type's header: its constructor's parameters."""
        return (
            self._pending is not None
            and self._pending.is_type
            and self._pending.parentheses < self.parentheses
        )

    @property
    def is_announced(self) -> bool:
        """Whether a type's or package's body may begin here."""
        return self._pending is not None and self._pending.parentheses == self.parentheses

    def rename(self, package: str) -> None:
        """Takes what follows in the innermost block, or in the file, for a package's."""
        self.innermost.name = package

    def announce(self, block: Block | None) -> None:
        """Says whose body the next brace opens, unless it stands in parentheses; None: nobody's."""
        self._pending = block
        if block:
            block.parentheses = self.parentheses
            block.scope = block.scope or self.innermost.scope

    def is_local(self) -> bool:
        """Whether what is declared here cannot be named in other files."""
        return self.innermost.name is None or len(self._open) > MAX_PARTS

    def punctuate(self, token: str) -> None:
        """Takes note of a token of one character."""
        if token == "{":
            announced = self._pending
            if announced and announced.parentheses == self.parentheses:
                self._pending = None
                announced.indent = None
                self._open.append(announced)
            else:
                scope = self.innermost.scope
                self._open.append(Block(None, parentheses=self.parentheses, scope=scope))
        elif token == "}":
            while self._open and self._open.pop().indent is not None:
                pass
        elif token == "(":
            self.parentheses += 1
        elif token == ")":
            self.parentheses -= 1
        elif token == ";":
            self.innermost.constants = False
            if not self.in_header:
                self._pending = None

    def indent(self, width: int) -> None:
        """Opens the announced block, or one of code, in lines indented by more than `width`."""
        announced = self._pending
        self._pending = None
        block = announced or Block(None, parentheses=self.parentheses)
        block.indent = width
        self._open.append(block)

    def dedent(self, width: int) -> None:
        """Ends the blocks without braces that a line of this indentation is no part of."""
        while self._open and (inner := self._open[-1].indent) is not None and width <= inner:
            self._open.pop()
