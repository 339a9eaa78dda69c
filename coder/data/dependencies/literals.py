# SPDX-License-Identifier: Apache-2.0
"""Code without its comments and strings, for languages whose strings hold code: `"${size()}"`.

Time is linear in the text whatever it holds, and nesting takes no stack.
"""

import re
from collections.abc import Mapping

STRING = '"'
"""What stands for a string, or for a piece of one, in the code that `Literals.code` returns."""


class Literals:
    r"""The comments and strings of a language.

    Args:
        whole: expression for comments and strings that hold no code, each from end to end. Its
            group `comment` leaves a space behind, `kept` itself, everything else `STRING`.
        inside: for each kind of literal that may hold code or others of its kind: the expression
            for its beginning, and one for what to look out for in it, with the groups `end`,
            `hole` (code begins, up to the matching brace) and `nest` (one more `end` is needed).
            Whatever it matches outside of these groups is skipped (`\\.`).
        fence: expression for the beginning of strings that end with the quotes they began with.
    """

    def __init__(
        self, whole: str, inside: Mapping[str, tuple[str, str]], fence: str | None = None
    ) -> None:
        """Compiles the expressions, of which the earlier come first."""
        parts = [f"(?P<fence>{fence})"] if fence else []
        parts += [f"(?P<{kind}>{begin})" for kind, (begin, _) in inside.items()]
        begins = "|".join([*parts, whole])
        self._in_code = re.compile(begins)
        self._in_hole = re.compile(rf"(?P<open>\{{)|(?P<close>\}})|{begins}")
        self._inside = {kind: re.compile(within) for kind, (_, within) in inside.items()}

    def code(self, text: str) -> str:
        """The code alone; what is not closed goes on to the end of the text."""
        pieces, position = list[str](), 0
        holes: list[tuple[str, int]] = []  # the literals around, and the open braces in each hole
        while match := (self._in_hole if holes else self._in_code).search(text, position):
            pieces.append(text[position : match.start()])
            position, kind = match.end(), match.lastgroup
            if kind == "open":
                holes[-1] = (holes[-1][0], holes[-1][1] + 1)
                pieces.append("{")
                continue
            if kind == "close" and holes[-1][1] > 0:
                holes[-1] = (holes[-1][0], holes[-1][1] - 1)
                pieces.append("}")
                continue
            if kind == "close":
                kind = holes.pop()[0]
            pieces.append(" " if kind == "comment" else match[0] if kind == "kept" else STRING)
            if kind == "fence":
                position = _after(text, position, match[0].lstrip("$"))
            elif kind in self._inside:
                position, hole = self._leave(text, position, kind)
                if hole:
                    holes.append((kind, 0))
        pieces.append(text[position:])
        return "".join(pieces)

    def _leave(self, text: str, position: int, kind: str) -> tuple[int, bool]:
        """Where code begins again in or after a literal, and whether that is a hole in it."""
        depth = 0
        for match in self._inside[kind].finditer(text, position):
            if match.lastgroup == "hole":
                return match.end(), True
            if match.lastgroup == "nest":
                depth += 1
            elif match.lastgroup == "end":
                if depth == 0:
                    return match.end(), False
                depth -= 1
        return len(text), False


def _after(text: str, position: int, fence: str) -> int:
    end = text.find(fence, position)
    return len(text) if end < 0 else end + len(fence)
