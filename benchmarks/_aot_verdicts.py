# SPDX-License-Identifier: Apache-2.0
"""What `make aot` makes of a compiled kernel: rows of its report, and what is wrong with them."""

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from benchmarks._aot_entries import Entry
from benchmarks._aot_programs import Program
from benchmarks._aot_reports import COPIES, PRODUCTS
from benchmarks._aot_targets import TARGETS

Row = dict[str, Any]
"""What was compiled: its name, its figures, and in words its problems and ptxas's warnings."""


def entry_row(entry: Entry, answer: dict[str, Any]) -> Row:
    """Of an entry of the table, with what a worker answered: the worst of all cases."""
    kernels = answer["kernels"]
    problems = [*_failure(answer), *_faults(kernels, entry.key.architecture)]
    if entry.key.dtype == "bfloat16" and kernels and _used(PRODUCTS, kernels) == "none":
        problems.append("its products of bfloat16 are not those of tensor cores")
    figures = {"tile": entry.cut, **(_worst(kernels) if kernels else {})}
    return {
        "name": entry.name,
        "problems": problems,
        "warnings": _warnings(kernels),
        "figures": figures,
    }


def program_row(name: str, program: Program, answer: dict[str, Any]) -> Row:
    """Of a whole program, with what a worker answered."""
    if "error" in answer:
        return {"name": name, "problems": _failure(answer), "warnings": [], "figures": {}}
    problems = _faults(answer["kernels"], program.architecture)
    problems += [
        f"the model does not call {kernel}"
        for kernel in program.kernels
        if kernel not in answer["calls"]
    ]
    memory, room = sum(answer["bytes"].values()), TARGETS[program.architecture].memory
    if memory > room:
        problems.append(f"needs {memory / 1e9:.1f} GB of each GPU, which has {room / 1e9:.0f}")
    figures = {
        "gpus": answer["gpus"],
        "gigabytes": round(memory / 1e9, 1),
        "calls": _counts(answer["calls"]),
        "collectives": _counts(answer["collectives"]),
        "registers": max((kernel["registers"] for kernel in answer["kernels"]), default=0),
        "spills": max((kernel["spills"] for kernel in answer["kernels"]), default=0),
        "seconds": answer["seconds"],
    }
    return {
        "name": name,
        "problems": problems,
        "warnings": _warnings(answer["kernels"]),
        "figures": figures,
        "bytes": answer["bytes"],
        "mesh": answer["mesh"],
    }


def _warnings(kernels: list[dict[str, Any]]) -> list[str]:
    return sorted({f"{k['name']}: {warning}" for k in kernels for warning in k["warnings"]})


def _counts(counts: dict[str, int]) -> str:
    return ",".join(f"{name}:{count}" for name, count in sorted(counts.items())) or "none"


def line(row: Row) -> str:
    """A row for scripts."""
    verdict = "fails" if row["problems"] else "compiles"
    values = (f"{name}={value}" for name, value in row["figures"].items())
    return " ".join(["aot", row["name"], verdict, *values])


def drawn(rows: list[Row], columns: tuple[str, ...]) -> Table:
    """Rows for people, with some of their figures."""
    table = Table("", *columns, box=None, pad_edge=False)
    for row in rows:
        values = (str(row["figures"].get(name, "")) for name in columns)
        table.add_row(row["name"], *values, style="red" if row["problems"] else None)
    table.columns[0].no_wrap = True
    for column in table.columns:
        column.overflow = "fold"
    return table


ENTRY_COLUMNS = ("tile", "registers", "spills", "threads", "shared", "blocks", "products")
PROGRAM_COLUMNS = ("gigabytes", "calls", "collectives")


def _worst(kernels: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each number, over an entry's kernels in all cases."""

    def most(name: str) -> int:
        return max((kernel[name] for kernel in kernels), default=0)

    return {
        **{name: most(name) for name in ("registers", "spills", "stack", "threads", "shared")},
        "blocks": min((kernel["blocks_per_core"] for kernel in kernels), default=0),
        "seconds": round(sum({k["case"]: k["seconds"] for k in kernels}.values()), 1),
        "products": _used(PRODUCTS, kernels),
        "copies": _used(COPIES, kernels),
    }


def _used(names: Iterable[str], kernels: list[dict[str, Any]]) -> str:
    """Those of the instructions that are used."""
    return "+".join(n for n in names if any(n in k["instructions"] for k in kernels)) or "none"


def _failure(answer: dict[str, Any]) -> list[str]:
    if "error" in answer:
        return [f"does not compile: {answer['error']}"]
    return [] if answer["kernels"] else ["no kernel is in what was compiled"]


def _faults(kernels: list[dict[str, Any]], architecture: str) -> list[str]:
    """Of kernels that did compile."""
    found, most = [], TARGETS[architecture].shared_memory_of_block
    for kernel in kernels:
        who = f"{kernel['name']} ({kernel['case']})" if "case" in kernel else kernel["name"]
        with_registers = f"{kernel['registers']} registers for each of {kernel['threads']} threads"
        if kernel["spills"]:
            found.append(f"{who} spills {kernel['spills']} bytes a thread, with {with_registers}")
        if not kernel["blocks_per_core"]:
            found.append(
                f"{who} does not fit a core: {kernel['shared']} of {most} bytes of shared memory, "
                + with_registers
            )
    return found
