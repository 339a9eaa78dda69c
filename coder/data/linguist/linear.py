# SPDX-License-Identifier: Apache-2.0
r"""Linguist's heuristic patterns that `re` cannot search for in linear time as they stand.

A file of 50 KiB that is made for it keeps `re` busy for seconds with them, often for hours. Each
has an equal pattern here that does not, or is left to an `Automaton`, which is never slow but four
times as slow as `re` on a usual file. The equal ones rest on these thoughts, as only whether
there is a match counts:

- of several starts in a line the first will do, and an atomic group (`(?>`) keeps to it;
- blank lines before `^ *x` are of no use, as the line of `x` has a `^` itself;
- `\w+` at either end of a pattern is as good as `\w`.
"""

import re
from collections.abc import Callable

from coder.data.linguist.automaton import Automaton
from coder.data.linguist.modeline import has_vim_help
from coder.data.linguist.ruby_regex import FLAGS

EQUAL: dict[str, str] = {
    r"^\s*(?:package(?:\s+[\w.]+)?\s+(?:{|$)|import\s+[\w.*]+\s*;|(?=.*?(?:intrinsic|extends))"
    r"(intrinsic\s+)?class\s+[\w<>.]+(?:\s+extends\s+[\w<>.]+)?|(?:(?:public|protected|private|"
    r"static)\s+)*(?:(?:var|const|local)\s+\w+\s*:\s*[\w<>.]+(?:\s*=.*)?\s*;|function\s+\w+\s*"
    r"\((?:\s*\w+\s*:\s*[\w<>.]+\s*(,\s*\w+\s*:\s*[\w<>.]+\s*)*)?\)))": (
        r"^[^\S\n]*+(?:package(?:\s+[\w.]+)?\s+(?:{|$)|import\s+[\w.*]+\s*;|"
        r"(?=.*?(?:intrinsic|extends))(?:intrinsic\s+)?class\s+[\w<>.]|"
        r"(?:(?:public|protected|private|static)[^\S\n]+)*"
        r"(?:(?:var|const|local)\s+\w+\s*:\s*[\w<>.]+(?:\s*=.*)?\s*;|function\s+\w+\s*"
        r"\((?:\s*\w+\s*:\s*[\w<>.]+\s*(,\s*\w+\s*:\s*[\w<>.]+\s*)*)?\)))"
    ),
    r"^(\/\/.+|((import|export)\s+)?(function|int|float|char)\s+((room|repeatedly|on|game)_)?"
    r"([A-Za-z]+[A-Za-z_0-9]+)\s*[;\(])": (
        r"^(?://.|(?:(?:import|export)\s+)?(?:function|int|float|char)\s+"
        r"[A-Za-z][A-Za-z_0-9]+\s*[;(])"
    ),
    r"(?i:^\s*(?=^sub\s)(?:sub\s*\w+\(.*?\))|(?::\s*sub\(.*?\))$)": (
        r"(?i:^sub\s+\w+\(.*\)|:\s*sub\(.*\)$)"
    ),
    r"(?i:^\s*(?=^function\s)(?:function\s*\w+\(.*?\)\s*as\s*\w*)|"
    r"(?::\s*function\(.*?\)\s*as\s*\w*)$)": (
        r"(?i:^function\s+\w+\(.*\)\s*as|:\s*function\(.*\)\s*as\s*\w*$)"
    ),
    r"^(\s*namespace\s*[\w\.]+\s*({|;)|\s*\/\/)": (r"^[^\S\n]*(?:namespace\s*[\w.]+\s*[{;]|//)"),
    r"^[^#]+:-": r"^(?:[^#\n]+|[^#\n]*\n):-",
    r"^[^#]*:-": r"^[^#\n]*:-",
    r"^[^\[#]+:-": r"^(?:[^\[#\n]+|[^\[#\n]*\n):-",
    r"""(?m:\/\/|("|')use strict\1|export\s+default\s|\/\*.*?\*\/)""": (
        r"""(?s://|"use strict"|'use strict'|export\s+default\s|/\*.*\*/)"""
    ),
    r"^(?:<|[a-zA-Z-][a-zA-Z0-9_-]+[ \t]+\w)|\${\w+[^\n]*?}|^[ \t]*(?:<#--.*?-->|<#([a-z]+)"
    r"(?=\s|>)[^>]*>.*?</#\1>|\[#--.*?--\]|\[#([a-z]+)(?=\s|\])[^\]]*\].*?\[#\2\])": (
        r"^(?:<|[a-zA-Z-][a-zA-Z0-9_-]+[ \t]+\w)|^(?>.*?\$\{\w).*?\}|^[ \t]*(?:<#--.*?-->|"
        r"<#([a-z]+)(?=\s|>)[^>]*>.*?</#\1>|\[#--.*?--\]|\[#([a-z]+)(?=\s|\])[^\]]*\].*?\[#\2\])"
    ),
    r"""^\s*(?:global|local)_var\s+(?:\w+(?:\s*=\s*[\w\-"']+)?\s*)"""
    r"""(?:,\s*\w+(?:\s*=\s*[\w\-"']+)?\s*)*+\s*;""": (
        r"""^[^\S\n]*(?:global|local)_var\s+\w+(?:\s*=\s*[\w\-"']+)?\s*"""
        r"""(?:,\s*\w+(?:\s*=\s*[\w\-"']+)?\s*)*;"""
    ),
    r"^\s+\w+\s+=>\s": r"^(?:[^\S\n]+|[^\S\n]*\n)\w+\s+=>\s",
    r"^[^#!;][^=]*=": r"\A(?:[#!;].*\n)*+[^#!;][^=]*=",
    r"^[^#!][^:]*:": r"\A(?:[#!].*\n)*+[^#!][^:]*:",
    r"^((\/{2,3})?\s*(namespace|operation)\b)": (
        r"^(?:/{2,3}\s*|[^\S\n]*)(?:namespace|operation)\b"
    ),
    r"(\w+\.prototype\.\w+|===|\bvar\b)": r"\w\.prototype\.\w|===|\bvar\b",
    r"\bpragma\s+solidity\b|\b(?:abstract\s+)?contract\s+(?!\d)[a-zA-Z0-9$_]+"
    r"(?:\s+is\s+(?:[a-zA-Z0-9$_][^\{]*?)?)?\s*\{": (
        r"\bpragma\s+solidity\b|\bcontract\s+[a-zA-Z$_][a-zA-Z0-9$_]*"
        r"(?:\s+is\s+(?:[a-zA-Z0-9$_][^\{]*)?)?\s*\{"
    ),
    r"\$(?:if|else)[ \t]|^[ \t]*fn\s+[^\s()]+\(.*?\).*?\{|^[ \t]*for\s*\{": (
        r"\$(?:if|else)[ \t]|^[ \t]*fn\s+[^\s()]+\([^)\n]*\)[^{\n]*\{|^[ \t]*for\s*\{"
    ),
    r"^\t+.*?[^\s:].*?:": r"^\t(?:[^\S\n]|:)*+[^\s:].*?:",
    r"^(?i:[c*][^abd-z]|      (subroutine|program|end|data)\s|\s*!)": (
        r"^(?i:[c*][^abd-z]|      (?:subroutine|program|end|data)\s|[^\S\n]*!)"
    ),
    r"(?im)^\s*move\.[bwl]\s+.*\b[ad]\d": r"(?is:\A(?>.*?^[^\S\n]*move\.[bwl]\s).*?\b[ad]\d)",
}
"""Upstream's pattern to one that matches the same texts, in Python's spelling."""

AUTOMATA: frozenset[str] = frozenset(
    (
        r"(?i:^\s*(?=^sub\s)(?:sub\s*\w+\(.*?\))|(?::\s*sub\(.*?\))$)",
        r"(?i:^\s*(?=^function\s)(?:function\s*\w+\(.*?\)\s*as\s*\w*)|"
        r"(?::\s*function\(.*?\)\s*as\s*\w*)$)",
        r"^module\s+[\w.]*\s*;|import\s+[\w\s,.:]*;|\w+\s+\w+\s*\(.*\)(?:\(.*\))?\s*{[^}]*}|"
        r"unittest\s*(?:\(.*\))?\s*{[^}]*}",
        r"([\/\\].*:\s+.*\s\\$|: \\$|^[ %]:|^[\w\s\/\\.]+\w+\.\w+\s*:\s+[\w\s\/\\.]+\w+\.\w+)",
        r"^\s*(def|var)\s+(.+):=",
        r"^\s*(def|to)\s+(\w+)(\(.+\))?\s+{",
        r"^\s*(when)\s+(\(.+\))\s+->\s+{",
        r"^\s*\w+\s*(?:,\s*\w+)*[:]\s*\w+\s",
        r"^\s*\w+\s*(?:\(\s*\w+[:][^)]+\))?(?:[:]\s*\w+)?(?:--.+\s+)*\s+(?:do|local)\s",
        r"""(?m:\/\/|("|')use strict\1|export\s+default\s|\/\*.*?\*\/)""",
        r"""^\s*(?:global|local)_var\s+(?:\w+(?:\s*=\s*[\w\-"']+)?\s*)"""
        r"""(?:,\s*\w+(?:\s*=\s*[\w\-"']+)?\s*)*+\s*;""",
        r"^\s*object\s+\w+\s*(?:extends\s+\w+(?:::\w+)?)?\s*{",
        r"^\s*(?:public\s+|private\s+|\s*)function\s+\w+\s*\([\w\s,]*\)\s*{",
        r"^\s*package\s*[\w\.\/\*\s]*\s*{",
        r"(^\s*module)|let rec |match\s+(\S+\s)+with",
        r"=> |case\s+(\S+\s)+of",
        r"(?:^|<)\s*[A-Za-z0-9_]+\s*=\s*<",
        r'package\s+\w+|\b(?:im|ex)port\s*"[\w:./]+"|\w+\s*::\s*(?:proc|struct)\s*\(|^\s*//\s',
        r"((?i:[A-Z.][\w.]*:{)|(^|\n)\\(cd?|d|l|p|ts?) )",
        r"\bpragma\s+solidity\b|\b(?:abstract\s+)?contract\s+(?!\d)[a-zA-Z0-9$_]+"
        r"(?:\s+is\s+(?:[a-zA-Z0-9$_][^\{]*?)?)?\s*\{",
    )
)
"""Upstream's patterns that an automaton searches for, as upstream or `EQUAL` has them."""

_MARKED = Automaton(
    r"\$\w+[($]|<!\s*.+?\s*!>|\[!\s*.+?\s*!\]|\{!\s*.+?\s*!\}",
    FLAGS,
)


def _has_template(head: str) -> bool:
    """A template's marks: `$name(`, `<!...!>` and the like, or `!...!` between two equal marks."""
    if _MARKED.search(head):
        return True
    marks = set(re.findall(r".(?=!)", head)) & set(re.findall(r"(?<=!).", head))
    return any(
        Automaton(rf"{re.escape(mark)}!\s*.+?\s*!{re.escape(mark)}", FLAGS).search(head)
        for mark in sorted(marks)
    )


FUNCTIONS: dict[str, Callable[[str], bool]] = {
    r"(?:(?:^|[ \t])(?:vi|Vi(?=m))(?:m[<=>]?[0-9]+|m)?|[ \t]ex)"
    r"(?=:(?=[ \t]*set?[ \t][^\r\n:]+:)|:(?![ \t]*set?[ \t]))"
    r"(?:(?:[ \t]*:[ \t]*|[ \t])\w*(?:[ \t]*=(?:[^\\\s]|\\.)*)?)*"
    r"[ \t:](?:filetype|ft|syntax)[ \t]*=(help)(?=$|\s|:)": has_vim_help,
    r"\$\w+[($]|(.)!\s*.+?\s*!\1|<!\s*.+?\s*!>|\[!\s*.+?\s*!\]|\{!\s*.+?\s*!\}": _has_template,
}
"""Upstream's patterns that neither can express."""
