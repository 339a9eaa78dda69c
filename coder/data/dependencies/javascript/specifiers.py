# SPDX-License-Identifier: Apache-2.0
"""What a JavaScript or TypeScript source imports, in one pass; nothing is parsed into a tree.

Strings, comments, template literals, regular expressions and the text between JSX tags have to be
told apart, and no more than that: a string is a specifier if `from`, `import`, `import(` or
`require(` stands before it, which nothing else in the language allows. Whether `/` begins a regular
expression and `<` an element hangs on what stands before them. Text is only looked at again where
that is bounded, so that time is linear whatever the input.
"""

import re
from collections.abc import Iterator

MAX_SPECIFIER = 500
"""Longest specifier, in characters, that is looked up."""

_SINGLE = r"'[^'\\\n\r]*+(?:\\(?:\r\n|(?s:.))?[^'\\\n\r]*+)*+(?:'|(?=[\n\r])|\Z)"
_COMMENT = r"//[^\n\r]*+|/\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/|\Z)"
_CODE = re.compile(
    r"""[^'"`/(){}<]*+(?:"""
    rf"(?P<string>{_SINGLE}|{_SINGLE.replace("'", '"')}|`[^`\\$]*+`)"
    rf"|(?P<comment>{_COMMENT})"
    r"|(?P<mark>\(++|\)++|[{}`</])|\Z)"
)
_REGEX = re.compile(
    r"/(?:[^/\\\[\n\r]|\\[^\n\r]|\[(?:[^\]\\\n\r]|\\[^\n\r])*+\])++/\w*+",
)
_TEMPLATE = re.compile(r"[^`\\$]*+(?:(?:\\(?s:.)?|\$(?!\{))[^`\\$]*+)*+(?P<mark>`|\$\{|\Z)")
_ELEMENT = re.compile(r"<(?P<name>[A-Za-z_$][\w$.:-]*+)?+(?:<[^<>(){}]*+>)?+(?=(?P<mark>[\s/>{]))")
_IN_TAG = re.compile(
    rf"""(?:[\s\w$.:=-]++|"[^"]*+"|'[^']*+'|{_COMMENT})*+(?P<mark>/?>|\{{)?+""",
)
_IN_CHILDREN = re.compile(r"[^<{]*+(?P<mark></[^<>]*+>|[<{]|\Z)")
_CLOSING = re.compile(r"</\s*+(?P<name>[\w$.:-]*+)\s*+>")
_END_OF_ARGUMENT = re.compile(rf"(?:\s++|{_COMMENT})*+[,)]")
_REFERENCE = re.compile(r"""///\s*+<reference\s[^>]*?\bpath\s*+=\s*+["']([^"'\n]++)["']""")
_SCRIPT = re.compile(
    r"<!--|<script(?=[\s>])(?P<attributes>(?:[^<>\"']++|\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z))*+)>?",
    re.IGNORECASE,
)
_SCRIPT_END = re.compile(r"</script", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""\b(src|lang)\s*+=\s*+["']?([^"'\s>]++)""")

_BEFORE_OPERAND = frozenset(
    "await case delete do else extends in instanceof new of return throw typeof void yield".split()
)
_WITH_CONDITION = frozenset(("if", "while", "for", "with"))
_LAST_WORD = re.compile(r"(?<![\w$])[a-z]++\Z")
_LONGEST_WORD = 12

# What the lexer stands in: entries of its stack. Positions of open parentheses are 0 or more.
_BRACE, _IN_TEMPLATE, _TAG, _CHILDREN = -1, -2, -3, -4


def specifiers_of(path: str, text: str) -> set[str]:
    """The specifiers that a source imports, of a component's scripts for `.vue` and `.svelte`."""
    if path.endswith((".vue", ".svelte")):
        return set(_component_specifiers(text))
    return _Lexer(text, jsx=not path.endswith((".ts", ".mts", ".cts"))).run()


def _component_specifiers(text: str) -> Iterator[str]:
    """What the `<script>` blocks of a component import, their `src` included."""
    position = 0
    while block := _SCRIPT.search(text, position):
        if block["attributes"] is None:
            position = text.find("-->", block.end())
            if position < 0:
                return
            continue
        attributes = dict(_ATTRIBUTE.findall(block["attributes"]))
        if "src" in attributes:
            yield attributes["src"]
        end = _SCRIPT_END.search(text, block.end())
        position = end.end() if end else len(text)
        source = text[block.end() : end.start() if end else None]
        yield from _Lexer(source, jsx=attributes.get("lang") in ("jsx", "tsx")).run()


class _Lexer:
    """Goes through a source once; `stack` says what encloses the position."""

    def __init__(self, text: str, jsx: bool) -> None:
        self.text = text
        self.jsx = jsx
        self.found = set[str]()
        self.stack = list[int]()
        self.names = list[str]()  # of the open elements, one for each _TAG and _CHILDREN
        self.closings: dict[str, int] | None = None
        # The last run of comments with only blanks between them, and the last parentheses closed.
        self.comments = (0, 0)
        self.parentheses = (0, 0)
        self.no_regex_before = 0

    def run(self) -> set[str]:
        """The specifiers of the source."""
        modes = {_IN_TEMPLATE: self._template, _TAG: self._tag, _CHILDREN: self._children}
        position = self.text.find("\n") if self.text.startswith("#!") else 0
        while 0 <= position < len(self.text):
            mode = modes.get(self.stack[-1], self._code) if self.stack else self._code
            position = mode(position)
        return self.found

    def _code(self, position: int) -> int:
        """Reads code until something else begins or goes on; where that is."""
        stack = self.stack
        for match in _CODE.finditer(self.text, position):
            kind = match.lastgroup
            if kind is None:
                break
            start, end = match.span(kind)
            if kind == "string":
                self._string(start, end)
                continue
            if kind == "comment":
                self._comment(start, end)
                continue
            mark = self.text[start]
            if mark == "(":
                stack.extend(range(start, end))
            elif mark == ")":
                self._close_parentheses(start, end)
            elif mark == "{":
                stack.append(_BRACE)
            elif mark == "}":
                while stack and stack[-1] >= 0:
                    stack.pop()
                if stack:
                    stack.pop()
                if stack and stack[-1] < _BRACE:
                    return end
            elif mark == "`":
                stack.append(_IN_TEMPLATE)
                return end
            elif (after := self._slash(start) if mark == "/" else self._angle(start)) > end:
                return after
        return -1

    def _close_parentheses(self, start: int, end: int) -> None:
        for closing in range(start, end):
            if not self.stack or self.stack[-1] < 0:
                return
            self.parentheses = (self.stack.pop(), closing + 1)

    def _slash(self, start: int) -> int:
        """The end of a regular expression or of a division's sign."""
        if start >= self.no_regex_before and self._operand_may_begin(start):
            if regex := _REGEX.match(self.text, start):
                return regex.end()
            line_end = self.text.find("\n", start)
            self.no_regex_before = line_end if line_end >= 0 else len(self.text)
        return start + 1

    def _angle(self, start: int) -> int:
        """The end of an element's name, or of a `<` that begins no element."""
        if self.jsx and (found := _ELEMENT.match(self.text, start)):
            if self._operand_may_begin(start):
                return self._begin_element(found)
        return start + 1

    def _begin_element(self, found: re.Match[str]) -> int:
        """Enters an element, or the type parameter `<T>`, of which nobody can tell yet."""
        name, mark, end = found["name"] or "", found["mark"], found.end()
        if mark == ">":
            if not self._is_closed(name, end):
                return found.start() + 1
            self.stack.append(_CHILDREN)
            self.names.append(name)
            return end + 1
        if name:
            self.stack.append(_TAG)
            self.names.append(name)
        return end

    def _leave_element(self) -> None:
        self.stack.pop()
        self.names.pop()

    def _template(self, position: int) -> int:
        match = _TEMPLATE.match(self.text, position)
        assert match is not None  # it ends at the end of the text if nowhere else
        if match["mark"] == "${":
            self.stack.append(_BRACE)
        else:
            self.stack.pop()
        return match.end()

    def _tag(self, position: int) -> int:
        match = _IN_TAG.match(self.text, position)
        assert match is not None  # everything in it is optional
        if match["mark"] == "{":
            self.stack.append(_BRACE)
        elif match["mark"] == ">" and self._is_closed(self.names[-1], match.end()):
            self.stack[-1] = _CHILDREN
        else:  # `/>`, or no element at all: nothing closes a type parameter
            self._leave_element()
        return match.end()

    def _is_closed(self, name: str, position: int) -> bool:
        """Whether a closing tag of that name comes later."""
        if self.closings is None:
            self.closings = {tag["name"]: tag.start() for tag in _CLOSING.finditer(self.text)}
        return self.closings.get(name, -1) >= position

    def _children(self, position: int) -> int:
        match = _IN_CHILDREN.match(self.text, position)
        assert match is not None  # it ends at the end of the text if nowhere else
        mark = match["mark"]
        if mark == "{":
            self.stack.append(_BRACE)
        elif mark.startswith("</"):
            self._leave_element()
        elif found := _ELEMENT.match(self.text, match.start("mark")):
            return self._begin_element(found)
        return match.end()

    def _comment(self, start: int, end: int) -> None:
        before = self._trimmed(start)
        first = self.comments[0] if before == self.comments[1] else start
        self.comments = (first, self._trimmed(end))
        at_the_top = self.comments[0] == 0  # a run of comments that no code precedes
        if at_the_top and self.text.startswith("///", start):
            if reference := _REFERENCE.match(self.text, start, end):
                path = reference[1]
                self.found.add(path if path.startswith((".", "/")) else f"./{path}")

    def _string(self, start: int, end: int) -> None:
        """Takes a string for a specifier if it stands where one must."""
        before = self._before(start)
        last = self.text[before - 1 : before]
        if last == "(":
            if not self._is_import_call(self._trimmed(before - 1)):
                return
            if not _END_OF_ARGUMENT.match(self.text, end):
                return
        elif last not in ("m", "t") or not self._ends_with_word(before, "from", "import"):
            return
        specifier = self.text[start + 1 : end - 1]
        if (
            len(specifier) <= MAX_SPECIFIER
            and "\\" not in specifier
            and self.text[end - 1] == self.text[start]
        ):
            self.found.add(specifier)

    def _is_import_call(self, end: int) -> bool:
        return self._ends_with_word(end, "import", "require", "require.resolve")

    def _ends_with_word(self, end: int, *words: str) -> bool:
        """Whether the text before `end` ends with one of the words, which is no property's name."""
        for word in words:
            if self.text.endswith(word, 0, end):
                rest = self.text[max(0, end - len(word) - 3) : end - len(word)]
                if rest == "..." or not rest or not (rest[-1] in "$_.#@" or rest[-1].isalnum()):
                    return True
        return False

    def _trimmed(self, end: int) -> int:
        """The position behind the last character before `end` that is no blank."""
        while end > 0 and self.text[end - 1].isspace():
            end -= 1
        return end

    def _before(self, end: int) -> int:
        """The position behind the last character before `end` that is no blank or comment."""
        end = self._trimmed(end)
        if end and end == self.comments[1]:
            end = self._trimmed(self.comments[0])
        return end

    def _operand_may_begin(self, position: int) -> bool:
        """Whether what stands before a position calls for an operand, not for an operator."""
        end = self._before(position)
        last = self.text[end - 1 : end]
        if last == ")":
            opened, closed = self.parentheses
            return closed == end and self._word(self._trimmed(opened)) in _WITH_CONDITION
        if last in ("+", "-"):
            return self.text[end - 2 : end - 1] != last
        if last == "!":  # in TypeScript, `a! / b`
            previous = self.text[end - 2 : end - 1]
            return not (previous.isalnum() or previous in ("_", "$", ")", "]"))
        if last.isalnum() or last in ("_", "$"):
            return self._word(end) in _BEFORE_OPERAND
        return last not in ("]", "'", '"', "`", ".")

    def _word(self, end: int) -> str:
        """The keyword that the text before `end` may end with; empty if none does."""
        tail = self.text[max(0, end - _LONGEST_WORD) : end]
        word = _LAST_WORD.search(tail)
        return word[0] if word and not tail[: word.start()].endswith(".") else ""
