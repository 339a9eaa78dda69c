# SPDX-License-Identifier: Apache-2.0
r"""What a PHP source declares and what it names, in one pass over its words.

Comments, strings and the HTML around `<?php … ?>` are blanked first, which keeps positions. Names
are resolved as PHP does when it compiles: `use`, then the namespace; `\A\B` as it stands. Whether a
name stands for a class is not told by its place alone (`Foo` may be a type or a constant): names
that may be one are taken for one, and those that the repository declares nowhere drop out later.
"""

import posixpath
import re
from dataclasses import dataclass, field

from coder.data.dependencies.paths import join

MAX_NAME = 250
"""Longest name, in characters and with its namespace, that counts."""

_HTML = r"[^<]*+(?:<(?!\?(?!xml))[^<]*+)*+(?:<\?(?:php\b|=)?|\Z)"
_STRING = r"'[^'\\]*+(?:\\(?s:.)?[^'\\]*+)*+(?:'|\Z)"
_BLANKED = re.compile(
    rf"\A{_HTML}"
    rf"|\?>{_HTML}"
    r"|(?://|\#(?!\[))[^\n\r?]*+(?:\?(?!>)[^\n\r?]*+)*+"
    r"|/\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/|\Z)"
    rf"|{_STRING}|{_STRING.replace("'", '"')}|{_STRING.replace("'", '`')}"
    r"""|<<<[ \t]*+(?P<quote>["']?)(?P<id>[^\W\d]\w*+)(?P=quote)[ \t]*+\r?\n"""
    r"(?:(?![ \t]*+(?P=id)\b)[^\n]*+\n)*+[ \t]*+(?P=id)?"
)

_WORD = r"[^\W\d]\w*+"
_TOKEN = re.compile(
    # Passed over: what is no word, variables, members, numbers.
    rf"(?:[^\w\\$:\-{{}}\[\]#]++|(?:\$|->|::)\s*+\w++|\d\w*+|[$:\-]|\\(?!{_WORD})|\#(?!\[))*+"
    rf"(?:(?P<name>\\?{_WORD}(?:\\{_WORD})*+)|(?P<mark>[{{}}\[\]]|\#\[)|\Z)"
)
_AFTER = re.compile(r"\s*+(::|[(:]|=(?!>))?")
_BETWEEN = " \t\r\n&"
_NAMESPACE = re.compile(r"\s*+(?P<name>[\w\\]*+)\s*+(?:;|(?P<brace>\{))")
_IMPORT = re.compile(r"\s*+(?P<names>[\w\\\s,{}]++)(?=[;?]|\Z)")
_ITEM = re.compile(
    rf"\s*(?:(?P<kind>function|const)\s+)?\\?(?P<name>[\w\\]+)(?:\s+as\s+(?P<alias>{_WORD}))?\s*",
    re.IGNORECASE,
)
_KIND = re.compile(r"\s*+(function|const)\s", re.IGNORECASE)
_REQUIRED = re.compile(
    r"""[\s(]*+(?:(?P<up>(?:\\?dirname\s*+\(\s*+)*+)(?P<base>__DIR__|__FILE__)(?P<end>[\s),\d]*+)
    \.\s*+(?:DIRECTORY_SEPARATOR\s*+\.\s*+)?)?(?P<path>'\ *+'|"\ *+")\s*+(?:[;),?\]]|\Z)""",
    re.VERBOSE,
)

_DECLARING = frozenset(("class", "interface", "trait", "enum"))
_TELLING = frozenset(
    "case class const enum function goto include include_once instanceof interface namespace new "
    "require require_once trait use".split()
)
# Words that are no names and say nothing of the next one.
_IDLE = frozenset(
    "abstract and array as bool break callable catch clone continue declare die default do echo "
    "else elseif empty enddeclare endfor endforeach endif endswitch endwhile eval exit extends "
    "false final finally float fn for foreach global if implements insteadof int isset iterable "
    "list match mixed never null object or parent print private protected public readonly "
    "return self static string switch throw true try unset var void while xor yield __class__ "
    "__dir__ __file__ __function__ __line__ __method__ __namespace__ __trait__".split()
)
_REQUIRING = frozenset(("require", "require_once", "include", "include_once"))


@dataclass
class Source:
    """What a source declares and what it names; names are full, without the first backslash."""

    classes: set[str] = field(default_factory=set)
    """Declared classes, interfaces, traits and enumerations."""
    functions: set[str] = field(default_factory=set)
    constants: set[str] = field(default_factory=set)
    used_classes: set[str] = field(default_factory=set)
    used_functions: set[str] = field(default_factory=set)
    """Functions named by `use function` or with a namespace."""
    called: set[tuple[str, str]] = field(default_factory=set)
    """Functions called by their bare name: in the namespace, or else the global one."""
    used_constants: set[str] = field(default_factory=set)
    required: set[tuple[bool, str]] = field(default_factory=set)
    """Whether a required path is absolute (below the repository), and the path as it is written."""


def read(path: str, text: str) -> Source:
    """Reads a source; one with errors as far as it goes."""
    reader = _Reader(path, text)
    reader.run()
    return reader.source


def blanked(text: str) -> str:
    """The code of a source, in place: comments, HTML and the insides of strings are spaces."""
    return _BLANKED.sub(_blank, text)


def _blank(match: re.Match[str]) -> str:
    found = match[0]
    if found.startswith(("'", '"')) and len(found) > 1:
        return found[0] + " " * (len(found) - 2) + found[-1]
    if found.startswith("?>"):
        return ";".ljust(len(found))
    return " " * len(found)


class _Reader:
    """Goes over the words of a source; the keyword before a name says what it is."""

    def __init__(self, path: str, text: str) -> None:
        self.source = Source()
        self.path = path
        self.text = text
        self.code = blanked(text)
        self.namespace = ""
        self.imports: dict[str, dict[str, str]] = {"class": {}, "function": {}, "const": {}}
        self.keyword, self.keyword_end = "", 0
        self.braces = list[str]()  # what opened each: "namespace", "class" or something else
        self.opened = {"namespace": 0, "class": 0}  # how many of `braces` are
        self.opening = ""
        self.seen = set[tuple[str, str | None, str, bool]]()  # uses of names, under one `namespace`
        self.attribute = 0  # brackets open since `#[`

    def run(self) -> None:
        """Fills `source`."""
        position: int | None = 0
        while position is not None:
            position = self._tokens(position)

    def _tokens(self, position: int) -> int | None:
        """Reads on until a statement has been read as a whole; where it ends."""
        for match in _TOKEN.finditer(self.code, position):
            kind = match.lastgroup
            if kind == "name":
                name = match[kind]
                if (end := self._name(name, name.lower(), match.end())) is not None:
                    return end
            elif kind == "mark":
                self._mark(match[kind])
        return None

    def _mark(self, mark: str) -> None:
        if mark == "{":
            self.braces.append(self.opening)
            if self.opening:
                self.opened[self.opening] += 1
                self.opening = ""
        elif mark == "}":
            if self.braces and (opened := self.braces.pop()):
                self.opened[opened] -= 1
        elif mark == "#[":
            self.attribute += 1
        elif self.attribute:
            self.attribute += 1 if mark == "[" else -1

    def _name(self, name: str, lower: str, end: int) -> int | None:
        """Takes in a name or keyword; where a statement ends that it begins and that is read."""
        keyword = self.keyword
        if keyword:  # it counts if nothing stands between the two
            between = self.code[self.keyword_end : end - len(name)]
            keyword, self.keyword = "" if between.strip(_BETWEEN) else keyword, ""
        if keyword == "function":
            if self.braces[-1:] != ["class"]:  # else it is a method
                self.source.functions.add(self._here(name))
        elif lower in _IDLE:
            pass
        elif keyword in _DECLARING:
            self.source.classes.add(self._here(name))
            self.opening = "class"
        elif lower in _TELLING:
            self.keyword, self.keyword_end = lower, end
            return self._keyword(lower, end)
        elif keyword != "goto" and len(name) <= MAX_NAME:
            self._reference(name, keyword, end)
        return None

    def _keyword(self, word: str, end: int) -> int | None:
        """Takes in a keyword; where its statement ends if that is read with it."""
        if word == "class":
            self.opening = "class"  # an anonymous one has no name to come
        elif word == "namespace" and (found := _NAMESPACE.match(self.code, end)):
            self.namespace = found["name"]
            self.imports = {"class": {}, "function": {}, "const": {}}
            self.seen.clear()
            self.opening = "namespace" if found["brace"] else ""
            return found.end("name")
        elif word == "use" and len(self.braces) == self.opened["namespace"]:
            if statement := _IMPORT.match(self.code, end):
                self._import(statement["names"])
                return statement.end()
        elif word in _REQUIRING and (required := _REQUIRED.match(self.code, end)):
            self._require(required)
        return None

    def _reference(self, name: str, keyword: str, end: int) -> None:
        """Takes in a name that is no keyword and declares no class or function."""
        after = _AFTER.match(self.code, end)
        sign = after[1] if after else None
        use = (name, sign, keyword, self.attribute > 0)
        if use in self.seen:
            return
        self.seen.add(use)
        if keyword == "const" and sign == "=":
            if not self.opened["class"]:
                self.source.constants.add(self._here(name))
        elif sign == "(" and keyword != "new" and not self.attribute:
            self._call(name)
        elif sign == ":" and keyword not in ("new", "instanceof"):
            pass  # a named argument or a label
        elif sign != "=" and (keyword != "case" or sign == "::"):
            self.source.used_classes.add(self._resolved(name))

    def _call(self, name: str) -> None:
        if "\\" in name:
            self.source.used_functions.add(self._resolved(name))
        elif name.lower() not in self.imports["function"]:
            self.source.called.add((self._here(name), name))

    def _import(self, names: str) -> None:
        """Takes in what stands between `use` and `;`."""
        kind = _KIND.match(names)
        default = kind[1].lower() if kind else "class"
        before, brace, inside = names[kind.end() if kind else 0 :].partition("{")
        prefix = before.strip().lstrip("\\") if brace else ""
        used = {
            "class": self.source.used_classes,
            "function": self.source.used_functions,
            "const": self.source.used_constants,
        }
        self.seen.clear()
        for item in (inside.rpartition("}")[0] if brace else before).split(","):
            if found := _ITEM.fullmatch(item):
                what = (found["kind"] or default).lower()
                name = (prefix + found["name"]).strip("\\")
                alias = found["alias"] or name.rpartition("\\")[2]
                self.imports[what][alias if what == "const" else alias.lower()] = name
                used[what].add(name)

    def _require(self, required: re.Match[str]) -> None:
        start, end = required.span("path")
        literal = self.text[start + 1 : end - 1]
        if not literal or "\\" in literal or (self.text[start] == '"' and "$" in literal):
            return
        if required["base"] is None:
            self.source.required.add((False, literal))
            return
        steps = required["up"].count("dirname")
        steps += sum(int(number[:3]) - 1 for number in re.findall(r"\d+", required["end"]))
        steps += required["base"] == "__DIR__"
        place = join(posixpath.dirname(self.path), "../" * (steps - 1) + literal.lstrip("/"))
        if steps > 0 and place is not None:
            self.source.required.add((True, place))

    def _here(self, name: str) -> str:
        """A name in the current namespace."""
        return f"{self.namespace}\\{name}" if self.namespace else name

    def _resolved(self, name: str) -> str:
        """The class, or function with a namespace, that a name stands for."""
        if name.startswith("\\"):
            return name[1:]
        first, separator, rest = name.partition("\\")
        if first.lower() == "namespace" and separator:
            return self._here(rest)
        imported = self.imports["class"].get(first.lower())
        return imported + separator + rest if imported else self._here(name)
