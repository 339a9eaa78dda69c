# SPDX-License-Identifier: Apache-2.0
"""Linguist's heuristics: patterns that tell apart the languages which share an extension."""

import functools
import re
from collections.abc import Callable
from typing import Any

from coder.data.linguist import linear, ruby_regex
from coder.data.linguist.automaton import Automaton
from coder.data.linguist.tables import upstream

CONSIDERED_BYTES = 50 * 1024
"""How much of a file Linguist looks at."""

Test = Callable[[str], object]
Rule = tuple[tuple[str, ...], Test]


def by_content(extension: str, text: str) -> tuple[str, ...]:
    """The languages that the first rule to match says; empty where there is no such rule.

    Args:
        extension: of the file, lower case, with the dot.
        text: of the file.
    """
    rules = _rules(extension)
    if not rules:
        return ()
    head = ruby_regex.as_bytes(text, CONSIDERED_BYTES)
    return next((names for names, test in rules if test(head)), ())


@functools.cache
def _upstream() -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    """Extension to its rules, and the named patterns."""
    heuristics = upstream("heuristics")
    by_extension = {
        extension: entry["rules"]
        for entry in heuristics["disambiguations"]
        for extension in entry["extensions"]
    }
    return by_extension, heuristics["named_patterns"]


@functools.lru_cache(maxsize=4096)
def _rules(extension: str) -> tuple[Rule, ...]:
    """The rules of an extension, compiled when a file first has it."""
    by_extension, _ = _upstream()
    rules = []
    for rule in by_extension.get(extension, ()):
        given = rule["language"]
        rules.append(((given,) if isinstance(given, str) else tuple(given), _test(rule)))
    return tuple(rules)


def _test(rule: dict[str, Any]) -> Test:
    """A rule's condition; where it has several fields, Linguist reads the first of these."""
    if "and" in rule:
        tests = [_test(part) for part in rule["and"]]
        return lambda head: all(test(head) for test in tests)
    if "pattern" in rule:
        return _search(rule["pattern"])
    if "negative_pattern" in rule:
        found = _search(rule["negative_pattern"])
        return lambda head: not found(head)
    if "named_pattern" in rule:
        return _search(_upstream()[1][rule["named_pattern"]])
    return lambda head: True


def _search(pattern: str | list[str]) -> Test:
    """Whether the pattern, or one of several, occurs."""
    patterns = [pattern] if isinstance(pattern, str) else pattern
    tests: list[Test] = []
    at_line_start, elsewhere = [], []
    for one in patterns:
        equal = linear.EQUAL.get(one) or ruby_regex.translate(one)
        if one in linear.FUNCTIONS:
            tests.append(linear.FUNCTIONS[one])
        elif one in linear.AUTOMATA:
            tests.append(Automaton(equal, ruby_regex.FLAGS).search)
        elif ruby_regex.is_at_line_start(equal):
            at_line_start.append(equal[1:])
        else:
            elsewhere.append(equal)
    if elsewhere:
        tests.insert(0, _compiled(elsewhere))
    if at_line_start:
        # `re` skips to a line break ten times as fast as it looks for `^`
        found = _compiled(at_line_start, before=r"\n")
        tests.insert(0, lambda head: found("\n" + head))
    return tests[0] if len(tests) == 1 else lambda head: any(test(head) for test in tests)


def _compiled(patterns: list[str], before: str = "") -> Test:
    either = "|".join(f"(?:{one})" for one in patterns) if len(patterns) > 1 else patterns[0]
    return re.compile(f"{before}(?:{either})" if before else either, ruby_regex.FLAGS).search
