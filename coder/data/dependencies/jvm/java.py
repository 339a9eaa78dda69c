# SPDX-License-Identifier: Apache-2.0
"""Java's declarations, imports and names, from its tokens.

A simple name counts as a type's unless where it stands says otherwise: before a parenthesis without
`new` (a method), after a type (a variable), before `=`; in lower case it must stand where only a
type can. What javadoc names is a comment.
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
    r"(?P<comment>//[^\n]*+|/\*(?s:.*?)(?:\*/|\Z))"
    r'|"""(?s:[^"\\]|\\.|"(?!""))*+(?:""")?|"(?:[^"\\\n]|\\.)*+"?|' + r"'(?:\\.\w*+|[^'\\\n])'",
    {},
)
_TOKEN = re.compile(rf'{NUMBER}|{CHAIN}|\.\s*+\*|->|::\s*+\w*+|[{{}}()<>;,=@:&|\]"]')

_MODIFIERS = frozenset(
    "abstract default final native non private protected public sealed static strictfp"
    " synchronized transient volatile".split()
)
_PRIMITIVES = frozenset("boolean byte char double float int long short void var".split())
_KEYWORDS = _MODIFIERS | frozenset(
    "assert break case catch class continue do else enum extends false finally for if implements"
    " import instanceof interface new null package permits return static super switch this throw"
    " throws true try while yield".split()
)
_DECLARING = frozenset("class enum interface record".split())
_BEFORE_TYPE = frozenset("@ extends implements instanceof new permits throws".split())
_BEFORE_TYPE_AND_PARENTHESIS = frozenset("@ case instanceof new".split())
_BEFORE_SUPERTYPE, _AFTER_SUPERTYPES = frozenset(("extends", "implements")), frozenset("{;}")
_BEFORE_TYPE_PARAMETERS = _MODIFIERS | frozenset("{};")
_BEFORE_PARAMETER = frozenset("<,")


def parse(path: str, text: str) -> Unit:
    """What a Java file declares, imports and names."""
    return _Parser(path, text).parse().tidied()


class _Parser:
    def __init__(self, path: str, text: str) -> None:
        self._tokens = [";", *_TOKEN.findall(_LITERALS.code(text))[:MAX_TOKENS], ";", ";"]
        self._ahead = Ahead(self._tokens, _KEYWORDS)
        self._unit = Unit(packages=folders(path))
        self._blocks = Blocks(self._unit.packages[0])

    def parse(self) -> Unit:
        """Reads all tokens."""
        tokens, position = self._tokens, 1
        while position < len(tokens) - 2:
            token = tokens[position]
            if token in "{}();":
                self._blocks.punctuate(token)
            elif token == "<":
                if tokens[position - 1] in _BEFORE_TYPE_PARAMETERS:
                    self._hide_parameters(position)
            elif token in _DECLARING and self._declares(position):
                position += 1
                self._declare(token, position)
            elif token == "import":
                position = self._import(position + 1)
            elif token == "package" and is_name(tokens[position + 1], _KEYWORDS):
                position += 1
                self._blocks.rename(tidy(tokens[position]))
                self._unit.packages = [tidy(tokens[position])]
            elif is_name(token, _KEYWORDS) and self._may_be_type(token, position):
                self._unit.names.add(token)
            position += 1
        return self._unit

    def _declares(self, position: int) -> bool:
        """Whether `class`, or `record`, which may be a name as well, declares a type."""
        if not is_name(self._tokens[position + 1], _KEYWORDS):
            return False
        return self._tokens[position] != "record" or self._tokens[position + 2] in ("(", "<")

    def _declare(self, keyword: str, position: int) -> None:
        """Notes the type whose name is at `position`, and its supertypes."""
        name, full = tidy(self._tokens[position]), None
        if self._blocks.is_local():
            self._unit.hidden.add(name)
        else:
            full = dotted(self._blocks.innermost.name or "", name)
            self._unit.types[full] = self._named_at(
                self._ahead.supertypes(position + 1, _BEFORE_SUPERTYPE, _AFTER_SUPERTYPES)
            )
        self._blocks.announce(Block(full, is_type=True, constants=keyword == "enum"))
        if self._tokens[position + 1] == "<":
            self._hide_parameters(position + 1)

    def _hide_parameters(self, position: int) -> None:
        """Hides the type parameters that the angle bracket at `position` declares."""
        self._unit.hidden.update(self._ahead.type_parameters(position, _BEFORE_PARAMETER))

    def _named_at(self, positions: list[int]) -> list[str]:
        return [tidy(self._tokens[position]) for position in positions]

    def _import(self, position: int) -> int:
        """Notes the import whose name begins at `position`; returns where it ends."""
        position += self._tokens[position] == "static"
        if is_name(self._tokens[position], _KEYWORDS):
            path = tidy(self._tokens[position])
            everything = self._tokens[position + 1].endswith("*")
            name = None if everything else path.rpartition(".")[2]
            self._unit.imports.append(Import(path, name))
        return position

    def _may_be_type(self, token: str, position: int) -> bool:
        """Whether the first part of a name may be a type's, by what stands around it."""
        if "." in token:
            return True
        if token in _PRIMITIVES:
            return False
        before, after = self._tokens[position - 1], self._tokens[position + 1]
        if (
            after == "="
            or (after == "(" and before not in _BEFORE_TYPE_AND_PARENTHESIS)
            or (before == "case" and after in (":", "->", ","))
            or (before in "{," and self._blocks.at_constants)
            or (is_name(before, _KEYWORDS) and self._tokens[position - 2] != "@")
        ):
            return False
        return not token[0].islower() or before in _BEFORE_TYPE or is_name(after, _KEYWORDS)
