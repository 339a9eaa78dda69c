# SPDX-License-Identifier: Apache-2.0
"""Are the compiled kernels right? Runs checks, and says how near to its bar each of them came."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

Row = dict[str, Any]


class Finding(NamedTuple):
    """An error, and the largest that is allowed."""

    of: str
    error: float
    bar: float

    @property
    def is_right(self) -> bool:
        """No number is never right."""
        return self.error <= self.bar


@dataclasses.dataclass(frozen=True)
class Check:
    """A program and what is asked of it."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    """Of one call: shapes and types of all."""
    judge: Callable[[Callable[..., Any], Any], Iterable[Finding]]
    """Of the compiled function, and what is expected."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """Checks that expect the same."""

    expected: Callable[[], Any]
    checks: tuple[Check, ...]


def run(subjects: Iterable[Subject], only: str = "") -> Iterator[Row]:
    """What was found by each check that has `only` in its name.

    Everything is compiled first, in threads.
    """
    subjects = [
        dataclasses.replace(subject, checks=mine)
        for subject in subjects
        if (mine := tuple(check for check in subject.checks if only in check.name))
    ]
    pool = ThreadPoolExecutor(os.cpu_count())
    expected = [pool.submit(subject.expected) for subject in subjects]
    programs = [[_compiled(pool, check) for check in subject.checks] for subject in subjects]
    pool.shutdown()
    for subject, awaited, mine in zip(subjects, expected, programs, strict=True):
        for check, program in zip(subject.checks, mine, strict=True):
            yield _row(check, program, awaited)


def _compiled(pool: ThreadPoolExecutor, check: Check) -> Future[Any]:
    """Lowered here, compiled in a thread."""
    try:
        return pool.submit(jax.jit(check.function).lower(*check.arguments).compile)
    except Exception as error:  # Whatever a kernel raises is what the report says of it.
        failed: Future[Any] = Future()
        failed.set_exception(error)
        return failed


def _row(check: Check, program: Future[Any], expected: Future[Any]) -> Row:
    row: Row = {"check": check.name}
    try:
        findings = list(check.judge(program.result(), expected.result()))
    except Exception as error:  # As above.
        lines = str(error).strip().splitlines()
        return row | {"failed": f"{type(error).__name__}: {lines[0][:300] if lines else ''}"}
    wrong = [one for one in findings if not one.is_right]
    worst = max(wrong or findings, key=lambda one: one.error / one.bar if one.bar else one.error)
    row |= {"findings": len(findings), "worst": worst._asdict()}
    if wrong:
        row["failed"] = f"{len(wrong)} of {len(findings)} over their bars"
    return row


def text(row: Row) -> str:
    """A line."""
    worst = row.get("worst")
    found = f"{worst['of']}: {worst['error']:.2g} of {worst['bar']:.2g}" if worst else ""
    if "failed" in row:
        return f"  {row['check']:52} FAILED: {row['failed']} {found}".rstrip()
    return f"  {row['check']:52} {row['findings']:3} right, worst {found}"


def different(of: str, one: Any, other: Any) -> Finding:
    """In how many numbers two results differ, where they should not in any."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    count = sum(np.count_nonzero(np.asarray(a) != np.asarray(b)) for a, b in pairs)
    return Finding(of, float(count), 0.0)


def float32(of: str, found: Array | np.ndarray, exact: Array | np.ndarray) -> Finding:
    """Sums in another order: some units in the last place of the largest."""
    exact = np.asarray(exact, np.float64)
    largest = float(np.abs(exact).max())
    return Finding(of, float(np.abs(np.asarray(found, np.float64) - exact).max()), 2**-20 * largest)
