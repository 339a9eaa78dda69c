# SPDX-License-Identifier: Apache-2.0
"""Kotlin's declarations, imports and names, from its tokens.

Functions and variables outside of types are found by their imports. Without one, by the package
alone or `import a.*`, they count where nothing else can be meant: neither the file nor any type of
the repository has one of that name, and no dot stands before it (so that extensions need imports).
For Java, those of `tools.kt` are members of a class `ToolsKt`, or of what `@file:JvmName` says.
"""

import re

from coder.data.dependencies.jvm.units import Import, Unit, dotted, folders
from coder.data.dependencies.literals import Literals
from coder.data.dependencies.tokens import (
    CHAIN,
    MAX_TOKENS,
    NUMBER,
    Ahead,
    Block,
    Blocks,
    is_name,
    tidy,
)

_LITERALS = Literals(
    r"(?P<comment>//[^\n]*+)|(?P<kept>`[^`\n]++`)|'(?:\\.\w*+|[^'\\\n])'",
    {
        "comment_": (r"/\*", r"(?P<nest>/\*)|(?P<end>\*/)"),
        "raw": (r'"""', r'(?P<end>"{3,})|(?P<hole>\$\{)'),
        "line": (r'"', r'\\.|(?P<end>"|(?=\n))|(?P<hole>\$\{)'),
    },
)
_TOKEN = re.compile(rf'{NUMBER}|{CHAIN}|\.\s*+\*|->|::\s*+\w*+|==|[{{}}()<>\[\];,=@:?"]')
_FACADE = re.compile(r'@file\s*+:\s*+(?:\[\s*+)?JvmName\s*+\(\s*+"(\w++)"')

_DECLARING = frozenset("class interface object typealias".split())
_KEYWORDS = _DECLARING | frozenset(
    "abstract actual annotation as break by catch companion const constructor continue crossinline"
    " data do else enum expect external false final finally for fun if import in infix init inline"
    " inner internal is lateinit noinline null open operator out override package private protected"
    " public reified return sealed super suspend tailrec this throw true try val value var vararg"
    " when where while".split()
)
_FUNCTIONS = frozenset(("fun", "val", "var"))
_STATEMENTS = _DECLARING | _FUNCTIONS | {"import"}
_BEFORE_TYPE = frozenset(("@", ":", "as", "is"))
_COLON, _AFTER_SUPERTYPES = frozenset(":"), _STATEMENTS | frozenset("{};=")
_BEFORE_PARAMETER = frozenset(("<", ",", "in", "out", "reified"))


def parse(path: str, text: str) -> Unit:
    """What a Kotlin file declares, imports and names."""
    unit = _Parser(path, text).parse()
    if unit.functions:
        stem = path.rpartition("/")[2].partition(".")[0]
        found = _FACADE.search(text)
        facade = found[1] if found else f"{stem[:1].upper()}{stem[1:]}Kt"
        unit.types.setdefault(dotted(unit.packages[0], facade), [])
    return unit.tidied()


class _Parser:
    def __init__(self, path: str, text: str) -> None:
        self._tokens = [";", *_TOKEN.findall(_LITERALS.code(text))[:MAX_TOKENS], ";", ";", ";"]
        self._ahead = Ahead(self._tokens, _KEYWORDS)
        self._unit = Unit(packages=folders(path))
        self._blocks = Blocks(self._unit.packages[0])

    def parse(self) -> Unit:
        """Reads all tokens."""
        tokens, position = self._tokens, 1
        while position < len(tokens) - 3:
            token = tokens[position]
            if token in "{}();":
                self._blocks.punctuate(token)
            elif token in _STATEMENTS:
                position = self._statement(token, position + 1)
            elif token == "package" and is_name(tokens[position + 1], _KEYWORDS):
                position += 1
                self._blocks.rename(tidy(tokens[position]))
                self._unit.packages = [tidy(tokens[position])]
            elif is_name(token, _KEYWORDS):
                self._name(token, position)
            position += 1
        return self._unit

    def _statement(self, keyword: str, position: int) -> int:
        """Notes an import or a declaration; returns the last position that is dealt with."""
        if keyword == "import":
            return self._import(position)
        if keyword in _DECLARING:
            return self._declare_type(keyword, position)
        if self._tokens[position] == "interface":  # fun interface
            return self._declare_type("interface", position + 1)
        if not self._blocks.in_header:
            self._blocks.announce(None)
        if self._tokens[position] == "<":
            self._unit.hidden.update(self._ahead.type_parameters(position, _BEFORE_PARAMETER))
        self._declare_function(position)
        return position - 1

    def _named_at(self, positions: list[int]) -> list[str]:
        return [tidy(self._tokens[position]) for position in positions]

    def _import(self, position: int) -> int:
        token = self._tokens[position]
        if not is_name(token, _KEYWORDS):
            return position - 1
        path, after = tidy(token), self._tokens[position + 1]
        if after.endswith("*"):
            self._unit.imports.append(Import(path, None))
            return position + 1
        if after == "as" and is_name(self._tokens[position + 2], _KEYWORDS):
            self._unit.imports.append(Import(path, tidy(self._tokens[position + 2])))
            return position + 2
        self._unit.imports.append(Import(path, path.rpartition(".")[2]))
        return position

    def _declare_type(self, keyword: str, position: int) -> int:
        """Notes the type whose name is at `position`; an `object` may have none."""
        token, modifier = self._tokens[position], self._tokens[position - 2]
        named = is_name(token, _KEYWORDS) and "." not in token
        if not named and keyword != "object":
            return position - 1  # `Foo::class`, or no Kotlin
        name, full = tidy(token) if named else "Companion", None
        if self._blocks.is_local() or not (named or modifier == "companion"):
            self._unit.hidden.update([name] if named else [])
        else:
            full = dotted(self._blocks.innermost.name or "", name)
            self._unit.types[full] = self._named_at(
                self._ahead.supertypes(position + named, _COLON, _AFTER_SUPERTYPES)
            )
        self._blocks.announce(Block(full, is_type=True, constants=modifier == "enum"))
        if self._tokens[position + 1] == "<":
            found = self._ahead.type_parameters(position + 1, _BEFORE_PARAMETER)
            self._unit.hidden.update(found)
        return position if named else position - 1

    def _declare_function(self, position: int) -> None:
        """Notes the function or variable whose type parameters or receiver begin at `position`."""
        name, extends = "", False
        position = self._ahead.after_brackets(position)
        while is_name(self._tokens[position].lstrip(". ") or ";", _KEYWORDS):
            receiver, _, name = tidy(self._tokens[position]).rpartition(".")
            extends = extends or bool(receiver)
            position = self._ahead.after_brackets(position + 1)
            position += self._tokens[position] == "?"
            if self._tokens[position][0] != ".":
                break
            extends = True
        block = self._blocks.innermost
        if not name:
            return
        if self._blocks.in_header or block.is_type:
            self._unit.members.add(name)
        elif block.name is not None:
            self._unit.functions.add(dotted(block.name, name))
        if not (block.is_type or extends):
            self._unit.hidden.add(name)

    def _name(self, token: str, position: int) -> None:
        """Notes a name as what it may stand for, or as one of the file itself."""
        before, after = self._tokens[position - 1], self._tokens[position + 1]
        lower = token[0].islower()
        if "." not in token:
            if (
                after == "="
                or before in _FUNCTIONS
                or (before in "{," and self._blocks.at_constants)
            ):
                return
            if lower and (after in (":", "->") or (after == "in" and before == "(")):
                self._unit.hidden.add(tidy(token))
                return
        self._unit.loose.add(token.partition(".")[0])
        if "." in token or not lower or before in _BEFORE_TYPE:
            self._unit.names.add(token)
