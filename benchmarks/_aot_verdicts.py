# SPDX-License-Identifier: Apache-2.0
"""What `make aot` makes of a compiled kernel: rows of its report, and what is wrong with them."""

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from benchmarks._aot_entries import Entry
from benchmarks._aot_reports import COPIES, PRODUCTS
from benchmarks._aot_targets import TARGETS

Row = dict[str, Any]
"""An entry: its name, its tile, its kernels in each case, the worst of them, and its problems."""


def row(entry: Entry, answer: dict[str, Any]) -> Row:
    """Of an entry, with what a worker answered."""
    kernels = answer["kernels"]
    return {
        "name": entry.name,
        "tile": entry.cut,
        "problems": [*_failure(answer), *_faults(entry, kernels)],
        "worst": _worst(kernels) if kernels else None,
        "kernels": kernels,
    }


def line(row: Row) -> str:
    """A row for scripts."""
    verdict = "fails" if row["problems"] else "compiles"
    values = " ".join(f"{name}={value}" for name, value in (row["worst"] or {}).items())
    return f"aot {row['name']} {verdict} tile={row['tile']} {values}".rstrip()


def drawn(rows: list[Row]) -> Table:
    """All rows for people."""
    table = Table("entry", "tile", *_COLUMNS.values(), box=None, pad_edge=False)
    for column in table.columns[:2]:
        column.no_wrap = True
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        values = (str(row["worst"][name]) if row["worst"] else "" for name in _COLUMNS)
        style = "red" if row["problems"] else None
        table.add_row(row["name"], row["tile"], *values, style=style)
    return table


_COLUMNS = {
    "registers": "regs",
    "spills": "spills",
    "threads": "threads",
    "shared": "shared",
    "blocks": "blocks",
    "products": "products",
    "seconds": "s",
}
"""What of the worst a person wants to see, and its heading."""


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
        "warnings": sum(len(kernel["warnings"]) for kernel in kernels),
    }


def _used(names: Iterable[str], kernels: list[dict[str, Any]]) -> str:
    """Those of the instructions that are used."""
    return "+".join(n for n in names if any(n in k["instructions"] for k in kernels)) or "none"


def _failure(answer: dict[str, Any]) -> list[str]:
    if "error" in answer:
        return [f"does not compile: {answer['error']}"]
    return [] if answer["kernels"] else ["no kernel is in what was compiled"]


def _faults(entry: Entry, kernels: list[dict[str, Any]]) -> list[str]:
    """Of kernels that did compile."""
    found = []
    for kernel in kernels:
        who = f"{kernel['name']} ({kernel['case']})"
        with_registers = f"{kernel['registers']} registers for each of {kernel['threads']} threads"
        if kernel["spills"]:
            found.append(f"{who} spills {kernel['spills']} bytes a thread, with {with_registers}")
        if not kernel["blocks_per_core"]:
            most = TARGETS[entry.key.architecture].shared_memory_of_block
            found.append(
                f"{who} does not fit a core: {kernel['shared']} of {most} bytes of shared memory, "
                + with_registers
            )
    if entry.key.dtype == "bfloat16" and kernels and _used(PRODUCTS, kernels) == "none":
        found.append("its products of bfloat16 are not those of tensor cores")
    return found
