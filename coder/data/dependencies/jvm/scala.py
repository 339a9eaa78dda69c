# SPDX-License-Identifier: Apache-2.0
"""Scala's declarations, imports and names, from its tokens; Scala 2 and 3, braces or indentation.

All imports and packages of a file count for the whole of it, wherever they stand. What stands in a
package object, or outside of types, belongs to the package and is found as Kotlin's functions are;
what an implicit search finds is found by nobody.
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
    r"(?P<comment>//[^\n]*+)|(?P<kept>`[^`\n]++`)|'(?:\\.\w*+|[^'\\\n])'"
    r'|"""(?s:.*?)(?:"{3,}|\Z)|"(?:[^"\\\n]|\\.)*+"?',
    {
        "comment_": (r"/\*", r"(?P<nest>/\*)|(?P<end>\*/)"),
        "raw": (r'(?<=\w)"""', r'\$\$|(?P<end>"{3,})|(?P<hole>\$\{)'),
        "line": (r'(?<=\w)"', r'\\.|\$\$|(?P<end>"|(?=\n))|(?P<hole>\$\{)'),
    },
)
_TOKEN = re.compile(rf"\n[ \t]*+(?=\S)|{NUMBER}|{CHAIN}|\.\s*+[*{{]|=>|<-|==|[{{}}()\[\];,=@:*\"]")

_TYPES = frozenset("class enum object trait type".split())
_VALUES = frozenset("def given val var".split())
_STATEMENTS = _TYPES | _VALUES | frozenset("export import package".split())
_KEYWORDS = _STATEMENTS | frozenset(
    "abstract case catch do else extends false final finally for forSome if implicit lazy macro"
    " match new null override private protected return sealed super then this throw true try while"
    " with yield".split()
)
_BEFORE_TYPE = frozenset(("@", ":", "[", "extends", "new", "with"))
_BEFORE_SUPERTYPE = frozenset(("extends", "with"))
_AFTER_SUPERTYPES = _STATEMENTS | frozenset("{};:=")
_BEFORE_PARAMETER = frozenset("[,")
_BEFORE_INDENTED = frozenset(("=", "match", "catch"))
_MAX_PACKAGES = 64  # clauses in a file: the last ones count
_EVERYTHING = frozenset(("_", "*", "given"))


def parse(path: str, text: str) -> Unit:
    """What a Scala file declares, imports and names."""
    return _Parser(path, text).parse().tidied()


class _Parser:
    def __init__(self, path: str, text: str) -> None:
        self._tokens = [";", *_TOKEN.findall(_LITERALS.code(text))[:MAX_TOKENS], ";", ";", ";"]
        self._ahead = Ahead(self._tokens, _KEYWORDS)
        self._unit = Unit(packages=folders(path), relative=True)
        self._blocks = Blocks(self._unit.packages[0])
        self._has_package = False
        self._width = 0  # the indentation of the line

    def parse(self) -> Unit:
        """Reads all tokens."""
        tokens, position = self._tokens, 1
        while position < len(tokens) - 3:
            token = tokens[position]
            if token[0] == "\n":
                self._width = len(token) - 1
                self._blocks.dedent(self._width)
            elif token in "{}();":
                self._blocks.punctuate(token)
            elif token in _STATEMENTS:
                position = self._statement(token, position + 1)
            elif token == "case" and self._blocks.at_constants:
                position = self._declare_cases(position + 1)
            elif is_name(token, _KEYWORDS):
                self._name(token, position)
            if tokens[position + 1][0] == "\n":
                self._end_line(tokens[position])
            position += 1
        return self._unit

    def _end_line(self, last: str) -> None:
        """Opens a block if the last token of a line begins one without a brace."""
        if last == ":" and self._blocks.is_announced:
            self._blocks.indent(self._width)
        elif last in _BEFORE_INDENTED:
            self._blocks.announce(None)
            self._blocks.indent(self._width)

    def _statement(self, keyword: str, position: int) -> int:
        """Notes an import or a declaration; returns the last position that is dealt with."""
        token = self._tokens[position]
        if keyword in ("import", "export"):
            return self._imports(position)
        if keyword == "package" and token == "object":
            return self._package(position + 1, True)
        if not is_name(token, _KEYWORDS):
            return position - 1
        if keyword == "package":
            return self._package(position, self._tokens[position + 1] in ("{", ":"))
        if keyword in _TYPES:
            self._declare_type(keyword, position)
        else:
            self._declare_value(keyword, position)
        return position

    def _package(self, position: int, body: bool) -> int:
        """Notes a package clause, for its body or for what follows."""
        if not is_name(self._tokens[position], _KEYWORDS):
            return position - 1
        around = self._blocks.innermost.name if self._has_package else ""
        full = tidy(dotted(around or "", tidy(self._tokens[position])))
        before = self._unit.packages[:_MAX_PACKAGES] if self._has_package else []
        self._unit.packages = [full, *before]
        self._has_package = True
        if body:
            self._blocks.announce(Block(full))
        else:
            self._blocks.rename(full)
        return position

    def _declare_type(self, keyword: str, position: int) -> None:
        """Notes the type whose name is at `position`."""
        name, full = tidy(self._tokens[position]), None
        if self._blocks.is_local():
            self._unit.hidden.add(name)
        else:
            full = dotted(self._blocks.innermost.name or "", name)
            self._unit.types.setdefault(full, []).extend(  # a class and its companion are one
                self._named_at(
                    self._ahead.supertypes(position + 1, _BEFORE_SUPERTYPE, _AFTER_SUPERTYPES)
                )
            )
        if keyword != "type":
            self._blocks.announce(Block(full, is_type=True, constants=keyword == "enum"))
        if self._tokens[position + 1] == "[":
            self._hide_parameters(position + 1)

    def _named_at(self, positions: list[int]) -> list[str]:
        return [tidy(self._tokens[position]) for position in positions]

    def _declare_value(self, keyword: str, position: int) -> None:
        """Notes the function or variable whose name is at `position`; a `given` may have none."""
        name, block = tidy(self._tokens[position]), self._blocks.innermost
        if keyword == "given" and self._tokens[position + 1] != ":":
            self._unit.names.add(name)
            return
        if self._tokens[position + 1] == "[":
            self._hide_parameters(position + 1)
        if self._blocks.in_header:
            self._unit.hidden.add(name)
            return
        self._blocks.announce(None)
        if block.is_type:
            self._unit.members.add(name)
        elif block.name is not None:
            self._unit.functions.add(dotted(block.name, name))
        self._unit.hidden.update([] if block.is_type else [name])

    def _declare_cases(self, position: int) -> int:
        """Notes the cases of an enum, whose names begin at `position`."""
        while is_name(self._tokens[position], _KEYWORDS):
            name = tidy(self._tokens[position])
            self._unit.types.setdefault(dotted(self._blocks.innermost.name or "", name), [])
            if self._tokens[position + 1] != ",":
                return position
            position += 2
        return position - 1

    def _hide_parameters(self, position: int) -> None:
        """Hides the type parameters that the bracket at `position` declares."""
        self._unit.hidden.update(self._ahead.type_parameters(position, _BEFORE_PARAMETER))

    def _imports(self, position: int) -> int:
        """Notes the imports of a statement; returns its last position."""
        while is_name(self._tokens[position], _KEYWORDS):
            position = self._import(position)
            if self._tokens[position + 1] != ",":
                return position
            position += 2
            position += self._tokens[position][0] == "\n"
        return position - 1

    def _import(self, position: int) -> int:
        """Notes one import; returns its last position."""
        path = tidy(self._tokens[position])
        owner, _, last = path.rpartition(".")
        after = self._tokens[position + 1]
        if owner and last in _EVERYTHING:
            self._unit.imports.append(Import(owner, None))
        elif after[0] == "." and after.endswith("{"):
            return self._selectors(path, position + 2)
        elif after[0] == "." and after.endswith("*"):
            self._unit.imports.append(Import(path, None))
            return position + 1
        elif after == "as":
            self._unit.imports.append(Import(path, tidy(self._tokens[position + 2])))
            return position + 2
        else:
            self._unit.imports.append(Import(path, last))
        return position

    def _selectors(self, path: str, position: int) -> int:
        """Notes what stands in the braces of an import; returns where they close."""
        groups: list[list[str]] = [[]]
        while position < len(self._tokens) - 3 and (token := self._tokens[position]) != "}":
            if token == ",":
                groups.append([])
            elif token[0] != "\n":
                groups[-1].append(tidy(token))
            position += 1
        names = {group[0]: group[-1] for group in groups if group}
        hides = frozenset(name for name, alias in names.items() if name != alias)
        for name, alias in names.items():
            if name in _EVERYTHING:
                self._unit.imports.append(Import(path, None, hides))
            elif alias != "_":
                self._unit.imports.append(Import(f"{path}.{name}", alias))
        return position

    def _name(self, token: str, position: int) -> None:
        """Notes a name as what it may stand for, or as one of the file itself."""
        before, after = self._tokens[position - 1], self._tokens[position + 1]
        lower = token[0].islower()
        if "." not in token and lower and after in (":", "=>", "<-"):
            self._unit.hidden.add(tidy(token))
            return
        if "." not in token and after == "=" and before in "(,":
            return
        self._unit.loose.add(token.partition(".")[0])
        if "." in token or not lower or before in _BEFORE_TYPE:
            self._unit.names.add(token)
