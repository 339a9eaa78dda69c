# SPDX-License-Identifier: Apache-2.0
"""The code of a Ruby source, in place: comments and what strings hold are blanked, in one pass.

A literal may begin with a quote, `/`, `%w[`, `<<~NAME`; which of these are operators hangs on what
stands before them, as in Ruby's own lexer. Code within `#{…}` is code. In the result, whole strings
in quotes are quotes with spaces between them; those with `#{…}` hold other characters too.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from functools import cache

_CODE = re.compile(
    r"""[^'"`#/%<?$\n{}]*+(?:
    (?P<quoted>'[^'\\]*+(?:\\(?s:.)?[^'\\]*+)*+(?:'|\Z)
        |"[^"\\\#]*+(?:(?:\\(?s:.)|\#(?!\{))[^"\\\#]*+)*+")
    |(?P<blank>\#[^\n]*+|(?<!\w)\?["'`\#/%](?=[\s,)\]}.;]|\Z)|\$["'`/%<?])
    |(?P<heredoc><<(?P<indented>[~-]?)
        (?:(?P<id>[^\W\d]\w*+)|(?P<quote>["'`])(?P<quoted_id>[^"'`\s][^"'`\r\n]{0,60})(?P=quote)))
    |(?P<percent>%[qQwWiIrsx]?+[(\[{<|!/"'`~^@$&*+,.:;?-])
    |(?P<mark>["`/{}\n])
    |[%<?$]
    |\Z)""",
    re.VERBOSE,
)
_VISIBLE = re.compile(r"[^\n]")
_SHORT_LINE = re.compile(r"^(?P<indent>[ \t]*+)(?P<id>\S[^\r\n]{0,60}+)\r?$", re.MULTILINE)
_BLOCK = re.compile(r"(?P<comment>=begin(?=\s|\Z))|__END__\r?(?:\n|\Z)")
_BLOCK_END = re.compile(r"^=end(?!\S)[^\n]*+\n?", re.MULTILINE)
_PLAIN_REGEX = re.compile(r"/[^/\\#\n]*+(?:\\.[^/\\#\n]*+)*+/")
_REGEX_IN_LINE = re.compile(r"/[^/\n]*+/")
_LAST_WORD = re.compile(r"(?<!\w)\w++[?!]?\Z")
_LONGEST_WORD = 20
_CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}
_RAW = frozenset("qwis")
_BEFORE_OPERAND = frozenset(
    "and begin case do else elsif end ensure if in not or rescue return then unless until when "
    "while yield".split()
)

Enclosure = tuple[str, str, bool]
"""What opens a literal once more within itself, what closes it, and whether it has `#{…}`."""
_BRACE = ("{", "}", True)


def masked(text: str) -> str:
    """A source of the same length in which only code is left, and quotes; up to `__END__`."""
    masker = _Masker(text)
    masker.run()
    parts, done = list[str](), 0
    for start, end in masker.blanks:
        blank = text[start:end]
        parts += (text[done:start], _VISIBLE.sub(" ", blank) if "\n" in blank else " " * len(blank))
        done = end
    return "".join((*parts, text[done:]))


class _Masker:
    """Goes through a source once; `stack` says what encloses the position."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.blanks = list[tuple[int, int]]()
        self.stack = list[Enclosure]()
        self.heredocs = list[tuple[str, bool]]()  # begun on this line: name, may it be indented
        self.literal_end = -1  # of the last regular expression, or literal that holds code
        self.short_lines: dict[tuple[str, bool], list[int]] | None = None

    def run(self) -> None:
        """Fills `blanks`."""
        position = self._line(0)
        while position < len(self.text):
            position = self._literal(position) if self._in_literal() else self._code(position)

    def _code(self, position: int) -> int:
        """Reads code until it ends or something else goes on; where that is."""
        while position < len(self.text):
            match = _CODE.match(self.text, position)
            assert match is not None  # it ends at the end of the text if nowhere else
            kind, position = match.lastgroup, match.end()
            if kind == "mark":
                position = self._mark(self.text[position - 1], position - 1)
            elif kind == "percent":
                self._begin_percent(match.start(kind), position)
            elif kind == "heredoc":
                self._begin_heredoc(match)
            elif kind == "blank":
                self.blanks.append((match.start(kind), position))
            elif kind == "quoted":
                start = match.start(kind) + 1
                if start < position - 1:
                    self.blanks.append((start, position - 1))
            if self._in_literal():
                break
        return position

    def _in_literal(self) -> bool:
        return bool(self.stack) and self.stack[-1] is not _BRACE

    def _mark(self, mark: str, start: int) -> int:
        """Takes in a sign that begins or ends something; where to read on."""
        if mark == "\n":
            return self._line(self._skip_heredocs(start + 1) if self.heredocs else start + 1)
        if mark == "{":
            self.stack.append(_BRACE)
        elif mark == "}":
            if self.stack:
                self.stack.pop()
        elif mark == '"':
            self.stack.append(("", mark, True))
        elif self._operand_may_begin(start, _REGEX_IN_LINE if mark == "/" else None):
            if mark == "/" and (whole := _PLAIN_REGEX.match(self.text, start)):
                self.blanks.append(whole.span())
                self.literal_end = whole.end()
                return whole.end()
            self.blanks.append((start, start + 1))
            self.stack.append(("", mark, True))
        return start + 1

    def _line(self, position: int) -> int:
        """Where code goes on at the beginning of a line, behind `=begin … =end` or `__END__`."""
        while block := _BLOCK.match(self.text, position):
            end = _BLOCK_END.search(self.text, block.end()) if block["comment"] else None
            after = end.end() if end else len(self.text)
            self.blanks.append((position, after))
            position = after
        return position

    def _begin_percent(self, start: int, end: int) -> None:
        """Enters a literal such as `%w[`, unless `%` is an operator."""
        if not self._operand_may_begin(start):
            return
        opening = self.text[end - 1]
        nests = opening if opening in _CLOSING else ""
        has_code = self.text[start + 1] not in _RAW
        self.blanks.append((start, end))
        self.stack.append((nests, _CLOSING.get(opening, opening), has_code))

    def _literal(self, position: int) -> int:
        """Reads on in a literal; where code or a literal within it begins, or where it ends."""
        opening, closing, _ = enclosure = self.stack[-1]
        match = _inside(*enclosure).match(self.text, position)
        assert match is not None  # it ends at the end of the text if nowhere else
        start, end = match.span("mark")
        mark = match["mark"]
        if mark == "#{":
            self.stack.append(_BRACE)
        elif mark and mark == opening:
            self.stack.append(enclosure)
        else:
            self.stack.pop()
            self.literal_end = end
        keeps_mark = mark == "#{" or closing == '"' != opening
        self.blanks.append((position, start if keeps_mark else end))
        return end

    def _begin_heredoc(self, match: re.Match[str]) -> None:
        """Takes note of `<<NAME` if a line with that name ends it."""
        key = (match["id"] or match["quoted_id"], bool(match["indented"]))
        if self._line_of(key, match.end()) is not None:
            self.blanks.append(match.span("heredoc"))
            self.heredocs.append(key)

    def _skip_heredocs(self, position: int) -> int:
        """Where the line after the texts of this line's heredocs begins."""
        for key in self.heredocs:
            line = self._line_of(key, position)
            if line is None:
                continue
            end = self.text.find("\n", self.text.find(key[0], line))
            after = end + 1 if end >= 0 else len(self.text)
            self.blanks.append((position, after))
            position = after
        self.heredocs.clear()
        return position

    def _line_of(self, key: tuple[str, bool], position: int) -> int | None:
        """The first line from a position on that holds only this name."""
        if self.short_lines is None:
            self.short_lines = defaultdict(list)
            for match in _SHORT_LINE.finditer(self.text):
                self.short_lines[match["id"], True].append(match.start())
                if not match["indent"]:
                    self.short_lines[match["id"], False].append(match.start())
        lines = self.short_lines.get(key, ())
        at = bisect_left(lines, position)
        return lines[at] if at < len(lines) else None

    def _operand_may_begin(self, start: int, in_line: re.Pattern[str] | None = None) -> bool:
        """Whether what stands before a position calls for an operand.

        After a name, as in `puts /x/`, a blank before the sign and none behind it speak for one,
        and then it has to match `in_line`.
        """
        end = start
        while end > 0 and self.text[end - 1] in " \t":
            end -= 1
        last = self.text[end - 1 : end]
        if last in (")", "]", "}", "'", '"', "`", ".") or end == self.literal_end:
            return False
        if last == ":":
            return end < start
        if not (last.isalnum() or last in ("_", "?", "!")):
            return True
        tail = self.text[max(0, end - _LONGEST_WORD) : end]
        if not (word := _LAST_WORD.search(tail)):
            return True
        if word[0] in _BEFORE_OPERAND:
            return True
        if word[0][0].isdigit() or word[0] == "def" or end == start:
            return False
        if self.text[start + 1 : start + 2] in ("", " ", "\t", "\n", "="):
            return False
        return in_line is None or in_line.match(self.text, start) is not None


@cache
def _inside(opening: str, closing: str, has_code: bool) -> re.Pattern[str]:
    """What goes from a position in a literal to where something else begins."""
    stops = re.escape(opening + closing)
    marks = "|".join(re.escape(mark) for mark in (opening, closing) if mark)
    if not has_code:
        plain = rf"[^\\{stops}]*+"
        return re.compile(rf"{plain}(?:\\(?s:.)?{plain})*+(?P<mark>{marks}|\Z)")
    plain = rf"[^\\#{stops}]*+"
    return re.compile(rf"{plain}(?:(?:\\(?s:.)?|\#(?!\{{)){plain})*+(?P<mark>{marks}|\#\{{|\Z)")
