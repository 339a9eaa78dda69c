# SPDX-License-Identifier: Apache-2.0
"""What was measured, as text and as JSON."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kernels._bench.machine import Machine
from kernels._bench.measuring import Row


def say(line: str) -> None:
    """Prints at once, also into a file."""
    print(line, flush=True)


def header(machine: Machine) -> str:
    """The device and its ceilings."""
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return (
        f"{machine.device} ({machine.architecture}): {versions}\n"
        f"bfloat16 product {machine.flops / 1e12:.0f} TFLOP/s, "
        f"copy {machine.bandwidth / 1e9:.0f} GB/s"
    )


def text(row: Row) -> str:
    """A line for each contender."""
    lines = [f"{row['case']}{'  ' if row['verdict'] else ''}{row['verdict']}"]
    if "failed" in row:
        lines.append(f"  failed: {row['failed']}")
    for name, result in row["results"].items():
        if "seconds" not in result:
            lines.append(f"  {name:19} failed: {result['failed']}")
            continue
        ratio = result["seconds"] / row["results"][row["best"]]["seconds"] if "best" in row else 0
        lines.append(
            f"  {name:19} {1e3 * result['seconds']:8.3f} ms {_rate(result)} "
            f"{result['share']:5.2f} of peak {ratio:6.2f} x our time, max error "
            f"{result['max_error']:.1e} ({result['norm_of_error']:.1e} by norm)"
        )
    return "\n".join(lines)


def _rate(result: Row) -> str:
    if "gb_per_s" in result:
        return f"{result['gb_per_s']:6.0f} GB/s"
    dense = f" (dense-causal {result['dense_tflops']:.0f})" if "dense_tflops" in result else ""
    return f"{result['tflops']:6.1f} TFLOP/s{dense}"


def ratios(rows: Sequence[Row]) -> str:
    """A line for each case and alternative; above 1, ours is faster."""
    return "\n".join(
        f"ratio kernels/{row['case']}/{name} {value:.2f}"
        for row in rows
        for name, value in row["ratios"].items()
    )


def sweep(entry: str, found: Sequence[tuple[str, float | str]]) -> str:
    """Tiles by speed, the old one's time over each one's; below, those that do not work."""
    old = found[0][1]
    timed = sorted((what, tile) for tile, what in found if isinstance(what, float))
    lines = [f"{entry}: the table has {found[0][0]}"]
    for seconds, tile in timed:
        ratio = f" {old / seconds:5.2f}" if isinstance(old, float) else ""
        lines.append(f"  {tile:22} {1e3 * seconds:8.3f} ms{ratio}")
    failed = [(tile, what) for tile, what in found if isinstance(what, str)]
    return "\n".join(lines + [f"  {tile:22} failed: {what}" for tile, what in failed])


@dataclasses.dataclass
class Results:
    """What is found, in a file from the first finding on, in case that there is no last one."""

    machine: Machine
    path: Path | None
    """None: it is only said."""
    say: Callable[[str], None] = say
    checks: list[Row] = dataclasses.field(default_factory=list)
    """Of what `kernels._bench.checks` finds."""
    cases: list[Row] = dataclasses.field(default_factory=list)
    """Of what `kernels._bench.measuring` finds."""
    further: dict[str, Any] = dataclasses.field(default_factory=dict)
    """By name."""

    def add(self, rows: list[Row], row: Row, text: str) -> None:
        """A row to one of the lists."""
        rows.append(row)
        self.say(text)
        self.write()

    def write(self) -> None:
        """All that there is so far."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        found = {
            "machine": dataclasses.asdict(self.machine),
            **self.further,
            "checks": self.checks,
            "cases": self.cases,
        }
        self.path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def slug(device: str) -> str:
    """As part of a file's name."""
    return "_".join(device.lower().replace("-", " ").split())
