# SPDX-License-Identifier: Apache-2.0
"""Runs cases: compiles all contenders, compares each with the reference, times them in turns."""

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax

from kernels._bench import bars, timing
from kernels._bench.cases import CUBLAS, Case, Contender, Error, Inputs, Program
from kernels._bench.machine import Machine

ERRORS = {"bfloat16": 0.01, "float32": 1e-4}
"""Norm of the error, as a part of the reference's, above which results are wrong."""

_ROTATED_BYTES, _LAUNCH_S, _MOST_SETS = 200e6, 2e-4, 16
"""Four times what caches hold; ten times what a launch costs the host."""

Row = dict[str, Any]


class Prepared(NamedTuple):
    """What a case needs, being compiled."""

    sets: int
    draw: Future[Any]
    expected: Future[Any]
    programs: dict[str, Future[Program]]


def rows(cases: Sequence[Case], machine: Machine, samples: int = timing.SAMPLES) -> Iterator[Row]:
    """What was found of each case, as it is found.

    Everything is compiled first, in threads, so that no compiler runs beside what is timed.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        prepared = [prepare(pool, case, _sets(case, machine)) for case in cases]
    for case, ready in zip(cases, prepared, strict=True):
        try:
            yield _row(case, ready, machine, samples)
        except Exception as error:  # As the reference that needs more memory than there is.
            row: Row = {"case": case.name, "results": {}, "ratios": {}, "verdict": ""}
            yield row | {"failed": _message(error)}


def prepare(pool: ThreadPoolExecutor, case: Case, sets: int) -> Prepared:
    """Lowered here, compiled in threads."""
    key = jax.random.key(0)
    inputs = jax.eval_shape(case.draw, key)
    return Prepared(
        sets,
        pool.submit(jax.jit(case.draw).lower(key).compile),
        pool.submit(jax.jit(case.expected).lower(inputs).compile, CUBLAS),
        {one.name: submitted(pool, case, one, sets) for one in case.contenders},
    )


def submitted(
    pool: ThreadPoolExecutor, case: Case, contender: Contender, sets: int
) -> Future[Program]:
    """Lowered here, compiled in a thread."""
    try:
        return pool.submit(Program(case, contender, sets).compile)
    except Exception as error:  # Whatever a contender raises is what the report says of it.
        failed: Future[Program] = Future()
        failed.set_exception(error)
        return failed


def _sets(case: Case, machine: Machine) -> int:
    """Sets of arrays that one launch works off.

    More than one where the arrays would stay in the cache, and where the host could not launch as
    fast as the device would be done.
    """
    inputs = jax.eval_shape(lambda: case.draw(jax.random.key(0)))
    num_bytes = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(inputs))
    floor_s = max(machine.floor_s(case.flops, case.num_bytes), 1e-9)
    return min(_MOST_SETS, math.ceil(max(_ROTATED_BYTES / num_bytes, _LAUNCH_S / floor_s)))


def _row(case: Case, ready: Prepared, machine: Machine, samples: int) -> Row:
    draw = ready.draw.result()
    sets = [draw(jax.random.key(seed)) for seed in range(ready.sets)]
    expected = ready.expected.result()(sets[0])
    launches: dict[str, timing.Launch] = {}
    results: dict[str, Row] = {}
    for contender in case.contenders:
        name = contender.name
        results[name], launch = tried(ready.programs[name], sets, expected)
        results[name]["ours"] = contender.ours
        if launch is not None:
            launches[name] = launch
    for name, seconds in timing.medians(launches, samples).items():
        is_dense = name.endswith(" dense")
        results[name] |= _speed(case, seconds / ready.sets, machine, is_dense)
    return _judged(case, results, machine)


def tried(
    program: Future[Program], sets: list[Inputs], expected: Any
) -> tuple[Row, timing.Launch | None]:
    """Errors and how to launch it, or else why it `failed`."""
    try:
        launch = program.result().launch(sets)
        error = program.result().error(launch(), expected)
    except Exception as error:  # As in `submitted`.
        return {"failed": _message(error)}, None
    found: Row = {"max_error": error.largest, "norm_of_error": error.norm}
    problem = _problem(error, str(jax.tree.leaves(sets[0].arrays)[0].dtype))
    return (found | {"failed": problem}, None) if problem else (found, launch)


def _problem(error: Error, dtype: str) -> str:
    if not error.is_finite:
        return "results are not finite"
    if not error.norm <= ERRORS[dtype]:
        return f"error of {error.norm:.1e}, by norm, where {ERRORS[dtype]:.0e} is allowed"
    return ""


def _speed(case: Case, seconds: float, machine: Machine, dense: bool) -> Row:
    flops = case.dense_flops if dense else case.flops
    speed: Row = {"seconds": seconds}
    if case.num_bytes:
        rate = case.num_bytes / seconds
        return speed | {"gb_per_s": rate / 1e9, "share": rate / machine.bandwidth}
    speed |= {"tflops": flops / seconds / 1e12, "share": flops / seconds / machine.flops}
    if case.dense_flops and not dense:
        speed["dense_tflops"] = case.dense_flops / seconds / 1e12
    return speed


def _judged(case: Case, results: dict[str, Row], machine: Machine) -> Row:
    """With ratios of the first of ours that works to all others, and what they are worth."""
    row: Row = {"case": case.name, "flops": case.flops, "bytes": case.num_bytes}
    row |= {"results": results, "ratios": {}, "verdict": ""}
    timed = {name: result for name, result in results.items() if "seconds" in result}
    best = next((name for name in timed if timed[name]["ours"]), None)
    if best is None:
        return row
    row["best"] = best
    for name, result in timed.items():
        if name == best or (name.endswith(" dense") and name != f"{best} dense"):
            continue
        alternative = "dense" if name.endswith(" dense") else name
        row["ratios"][alternative] = result["seconds"] / timed[best]["seconds"]
    if bars.is_judged(machine.device):
        row["verdict"] = bars.verdict(case.name, timed[best]["share"], row["ratios"])
    return row


def _message(error: Exception) -> str:
    """The first line, which says what is wrong."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}"


def is_right(row: Row) -> bool:
    """Whether everything of ours worked."""
    ours = [result for result in row["results"].values() if result["ours"]]
    return "failed" not in row and not any("failed" in result for result in ours)
