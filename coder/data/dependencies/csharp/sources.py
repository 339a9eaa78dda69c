# SPDX-License-Identifier: Apache-2.0
"""What a C# file declares and names, and through which namespaces, from its tokens.

Properties are often called what types are called. A name that the file gives to a variable or
member counts as a type's only where nothing but a type can stand: before a name, after `new` or
`is`, with type arguments. A type with parameters has their number in its name, as the runtime has
it: ``List`1``.
"""

import re
from dataclasses import dataclass, field

from coder.data.dependencies.literals import Literals
from coder.data.dependencies.tokens import (
    MAX_PARTS,
    MAX_TOKENS,
    NUMBER,
    Ahead,
    Block,
    Blocks,
    is_name,
)

ATTRIBUTE = "["
"""Stands before a name in `Source.names` that may lack its ending `Attribute`."""

_LITERALS = Literals(
    r"(?P<comment>//[^\n]*+|/\*(?s:.*?)(?:\*/|\Z)|#[^\n]*+)"
    r"|'(?:\\.\w*+|[^'\\\n])'" + r'|@"(?:[^"]++|"")*+"?|"(?:[^"\\\n]|\\.)*+"?',
    {
        "interpolated": (r'\$"(?!"")', r'\\.|\{\{|(?P<end>"|(?=\n))|(?P<hole>\{)'),
        "verbatim": (r'\$@"|@\$"', r'""|\{\{|(?P<end>")|(?P<hole>\{)'),
    },
    fence=r'(?<!\$)\$*+"{3,}',
)
_NAME = r"@?[^\W\d]\w*+"
_TOKEN = re.compile(
    rf"{NUMBER}|(?:(?:\.|->)\s*+)?+{_NAME}(?:\s*+(?:\.|::)\s*+{_NAME})*+"
    r'|=>|==|[-+*/%&|^!~]++=?|[{}()<>\[\];,=:?"]'
)
_SPACE = re.compile(r"[\s@]+")

_TYPES = frozenset("class delegate enum interface record struct".split())
_PRIMITIVES = frozenset(
    "bool byte char decimal double dynamic float int long nint nuint object sbyte short string"
    " uint ulong ushort var void".split()
)
_KEYWORDS = frozenset(
    "abstract and as async await base break case catch checked class const continue default"
    " delegate do else enum event explicit extern false finally fixed for foreach from get global"
    " goto group if implicit in init interface internal is join let lock namespace new not null"
    " operator or orderby out override params partial private protected public readonly ref"
    " required return scoped sealed select set sizeof stackalloc static struct switch this throw"
    " true try typeof unchecked unsafe using virtual volatile when where while with yield".split()
)
_NO_NAMES = _KEYWORDS | _PRIMITIVES
_BEFORE_TYPE = frozenset("as is new".split())
_BEFORE_OPERAND = frozenset("default sizeof typeof".split())
_BEFORE_TYPE_AND_PARENTHESIS = frozenset("case is new".split())
_AFTER_DECLARED = frozenset("{ = ; , ) => in".split())
_NO_ARGUMENTS = frozenset('{ } ; = => == != : "'.split())
_COLON, _AFTER_SUPERTYPES = frozenset(":"), frozenset("{ } ; where".split())


@dataclass
class Scope:
    """A namespace's part of a file, or the file itself."""

    namespace: str = ""
    parent: int | None = None
    """Position in `Source.scopes` of what is around."""
    usings: list[str] = field(default_factory=list)
    """Namespaces and types whose types are visible by their simple names."""
    aliases: dict[str, str] = field(default_factory=dict)


@dataclass
class Source:
    """A source file."""

    scopes: list[Scope] = field(default_factory=lambda: [Scope()])
    shared: Scope = field(default_factory=Scope)
    """What `global using` makes visible in all files of the project."""
    types: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    """Full name of each type to its scope and its supertypes, as they are written."""
    partial: set[str] = field(default_factory=set)
    """Types of which other files may have other parts."""
    names: set[tuple[int, str]] = field(default_factory=set)
    """Names that may begin with a type's, each with its scope."""


def parse(text: str) -> Source:
    """What a C# file declares and names."""
    return _Parser(text).parse()


def tidy(chain: str) -> str:
    """A dotted name without spaces and `@`, cut to the parts that are looked at."""
    if not chain.isidentifier():
        chain = _SPACE.sub("", chain).replace("::", ".")
        if chain.count(".") >= MAX_PARTS:
            return ".".join(chain.split(".", MAX_PARTS)[:MAX_PARTS])
    return chain


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = [
            ";",
            ";",
            *_TOKEN.findall(_LITERALS.code(text))[:MAX_TOKENS],
            ";",
            ";",
            ";",
            ";",
        ]
        self._ahead = Ahead(self._tokens, _NO_NAMES)
        self._blocks = Blocks("")
        self._source = Source()
        self._attributes: int | None = None  # the parentheses around the attributes that it is in
        self._declared = set[str]()
        self._doubtful = set[tuple[int, str]]()

    def parse(self) -> Source:
        """Reads all tokens."""
        tokens, position = self._tokens, 2
        while position < len(tokens) - 4:
            token = tokens[position]
            if token in "{}();":
                self._blocks.punctuate(token)
            elif token in "[]":
                self._bracket(token, position)
            elif token == "using":
                position = self._using(position + 1)
            elif token == "namespace":
                position = self._namespace(position + 1)
            elif token in _TYPES and self._declares(token, position + 1):
                position = self._declare(token, position)
            elif is_name(token, _NO_NAMES) or token[0] == "@":
                self._name(token, position)
            position += 1
        self._source.names |= {
            (scope, name)
            for scope, name in self._doubtful
            if name.partition(".")[0] not in self._declared
        }
        return self._source

    def _using(self, position: int) -> int:
        """Notes a using directive; returns the last position that is dealt with."""
        begin, block = position, self._blocks.innermost
        static = self._tokens[position] == "static"
        position += static + (self._tokens[position + static] == "unsafe")
        name, after = self._tokens[position], self._tokens[position + 1]
        if block.is_type or block.name is None or not is_name(name, _NO_NAMES):
            return begin - 1
        is_global = self._tokens[begin - 2] == "global"
        scope = self._source.shared if is_global else self._source.scopes[block.scope]
        if after == "=" and is_name(self._tokens[position + 2], _NO_NAMES):
            position += 2
            target = self._full_at(position)
            scope.aliases[tidy(name)] = target
            self._source.names.add((block.scope, target))
        elif after in (";", "<"):
            target = self._full_at(position)
            scope.usings.append(target)
            if static:
                self._source.names.add((block.scope, target))
        return position

    def _namespace(self, position: int) -> int:
        """Begins a namespace, for its braces or for the rest of the file."""
        if not is_name(self._tokens[position], _NO_NAMES):
            return position - 1
        block, scopes = self._blocks.innermost, self._source.scopes
        around, inner = block.name or "", tidy(self._tokens[position])
        full = tidy(f"{around}.{inner}" if around else inner)
        scopes.append(Scope(full, block.scope))
        if self._tokens[position + 1] == ";":
            block.name, block.scope = full, len(scopes) - 1
        else:
            self._blocks.announce(Block(full, scope=len(scopes) - 1))
        return position

    def _declares(self, keyword: str, position: int) -> bool:
        """Whether a keyword declares a type: `record` may be a name, a `delegate` have none."""
        token = self._tokens[position]
        if keyword == "record":
            return is_name(token, _NO_NAMES) and self._tokens[position + 1] in "(<{:;"
        return is_name(token, _KEYWORDS if keyword == "delegate" else _NO_NAMES) or token == "("

    def _declare(self, keyword: str, position: int) -> int:
        """Notes the type that the keyword at `position` declares; returns that of its name."""
        at = position + 1
        if keyword == "delegate":
            found = [p for p in self._ahead.outside_brackets(at, _AFTER_SUPERTYPES)]
            at = found[-1] if found else at
            if not found or self._tokens[at + 1] not in "(<" or at == position + 1:
                return position
        if not is_name(self._tokens[at], _NO_NAMES):
            return position
        name, block = tidy(self._tokens[at]) + self._arguments(at + 1)[1], self._blocks.innermost
        full = None
        if self._blocks.is_local():
            self._declared.add(name)
        else:
            full = f"{block.name}.{name}" if block.name else name
            self._note(full, at, position, block.scope)
        if keyword == "delegate":
            return position
        self._blocks.announce(Block(full, is_type=True, constants=keyword == "enum"))
        return at

    def _note(self, full: str, at: int, keyword_at: int, scope: int) -> None:
        """Notes a type's supertypes, and whether it is a part only."""
        supertypes = list[str]()
        for position in self._ahead.supertypes(at + 1, _COLON, _AFTER_SUPERTYPES):
            supertypes.append(self._full_at(position))
            self._source.names.add((scope, supertypes[-1]))
        self._source.types.setdefault(full, (scope, []))[1].extend(supertypes)
        if "partial" in self._tokens[keyword_at - 2 : keyword_at]:
            self._source.partial.add(full)

    def _full_at(self, position: int) -> str:
        """The dotted name at a position, with the number of its type arguments."""
        return tidy(self._tokens[position]) + self._arguments(position + 1)[1]

    def _arguments(self, position: int) -> tuple[int, str]:
        """Behind the type arguments at `position`, if there are any, and their number: ``"`2"``."""
        depth = commas = 0
        for at in self._ahead.positions(position) if self._tokens[position] == "<" else ():
            token = self._tokens[at]
            depth += (token in "([<") - (token in ")]>")
            commas += token == "," and depth == 1
            if depth == 0:
                return at + 1, f"`{commas + 1}"
            if token in _NO_ARGUMENTS:
                break
        return position, ""

    def _bracket(self, token: str, position: int) -> None:
        """Keeps track of whether square brackets hold attributes rather than an index."""
        before = self._tokens[position - 1]
        if token == "[" and not (is_name(before, _KEYWORDS) or before in (")", "]", "new")):
            self._attributes = self._blocks.parentheses
        elif token == "]" and self._attributes == self._blocks.parentheses:
            self._attributes = None

    def _name(self, token: str, position: int) -> None:
        """Notes a name as what it may stand for, or as declared here."""
        before, after = self._tokens[position - 1], self._tokens[position + 1]
        behind, arity = self._arguments(position + 1)
        use = (self._blocks.innermost.scope, tidy(token) + arity)
        if self._attributes == self._blocks.parentheses and before in "[,:":
            self._source.names.add((use[0], ATTRIBUTE + use[1]))
            return
        single = "." not in token and ":" not in token
        if single and self._is_declared(position):
            self._declared.add(use[1])
        elif single and (
            after == "="
            or (after[-1] == "=" and after[0] in "-+*/%&|^")
            or (after == ":" and before in "{,(")
            or (self._tokens[behind] == "(" and before not in _BEFORE_TYPE_AND_PARENTHESIS)
        ):
            return
        elif self._is_type(position, behind):
            self._source.names.add(use)
        elif not (single and token[0].islower()):
            self._doubtful.add(use)

    def _is_declared(self, position: int) -> bool:
        """Whether a variable, property or constant gets its name at a position."""
        before, after = self._tokens[position - 1], self._tokens[position + 1]
        if self._blocks.at_constants and before in ("{", ",", "]"):
            return True
        typed = is_name(before, _KEYWORDS) or before in (">", "]", "?")
        return typed and after in _AFTER_DECLARED

    def _is_type(self, position: int, behind: int) -> bool:
        """Whether nothing but a type can stand at a position; `behind` its type arguments."""
        tokens = self._tokens
        before, after, second = tokens[position - 1], tokens[position + 1], tokens[position + 2]
        return (
            behind > position + 1
            or is_name(after, _NO_NAMES)
            or after in ("operator", "this")
            or before in _BEFORE_TYPE
            or (before == "(" and tokens[position - 2] in _BEFORE_OPERAND)
            or (before == "<" and after in (",", ">"))
            or (before == "," and after == ">")
            or (after == "[" and second in ("]", ","))
            or (after == "?" and is_name(second, _NO_NAMES) and tokens[position + 3] != ":")
        )
