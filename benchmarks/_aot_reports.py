# SPDX-License-Identifier: Apache-2.0
"""What the compilers say about a kernel: registers, spills, threads, shared memory."""

import dataclasses
import re
from collections import Counter

from benchmarks._aot_targets import (
    MOST_BLOCKS,
    MOST_THREADS,
    REGISTERS,
    REGISTERS_PER_ALLOCATION,
    SHARED_MEMORY_OF_THE_SYSTEM,
    THREADS_PER_WARP,
    Target,
)

PRODUCTS = {"wgmma": "wgmma.mma_async", "mma": "mma.sync"}
"""Instructions of tensor cores, of a warpgroup or of a warp."""

COPIES = {"tma": "cp.async.bulk", "cp.async": "cp.async"}
"""Instructions that nobody waits for: of the tensor memory accelerator, or of threads."""

# An instruction comes before those that it begins with.
_INSTRUCTIONS = {text: name for name, text in (PRODUCTS | COPIES).items()}


@dataclasses.dataclass(frozen=True)
class Usage:
    """What ptxas says of a kernel, with what it calls; bytes are of a thread but `shared`."""

    kernel: str
    registers: int
    spill_stores: int
    spill_loads: int
    stack: int
    shared: int
    """Known when it is compiled; what a launch asks for comes on top."""
    warnings: tuple[str, ...]
    """Such as products that wait for each other where they were meant to overlap."""

    @property
    def spills(self) -> int:
        """Bytes."""
        return self.spill_stores + self.spill_loads


@dataclasses.dataclass(frozen=True)
class Launch:
    """How a kernel is started."""

    threads: int
    shared: int
    """Bytes of shared memory that it asks for."""


def usages(verbose: str) -> list[Usage]:
    """The kernels in what `ptxas --verbose` writes."""
    pieces = re.split(
        r"^ptxas info +: Compiling entry function '(.+?)' for '.+'$", verbose, flags=re.M
    )
    # Warnings stand before what they are about, or behind it; a kernel is mostly alone.
    return [
        _usage(kernel, text, pieces[0] if number == 0 else "")
        for number, (kernel, text) in enumerate(zip(pieces[1::2], pieces[2::2], strict=True))
    ]


def _usage(kernel: str, text: str, before: str) -> Usage:
    frames = [
        tuple(int(number) for number in found)
        for found in re.findall(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", text
        )
    ]
    stack, stores, loads = (sum(column) for column in zip((0, 0, 0), *frames, strict=True))
    return Usage(
        kernel=kernel,
        registers=_number(r"Used (\d+) registers", text),
        spill_stores=stores,
        spill_loads=loads,
        stack=stack,
        shared=_number(r"(\d+) bytes smem", text),
        warnings=tuple(re.findall(r"^ptxas warning *: *(.+)$", before + text, flags=re.M)),
    )


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def triton_launches(thunks: str) -> dict[str, Launch]:
    """By kernel; of XLA's list of what an executable does."""
    found = re.findall(
        r"kCustomKernel .*?(\S+) grid: .*? threads: \[(\d+), (\d+), (\d+)\] +shared_memory: (\d+)",
        thunks,
    )
    return {
        kernel: Launch(int(x) * int(y) * int(z), int(shared)) for kernel, x, y, z, shared in found
    }


def entries(ptx: str) -> list[str]:
    """The kernels in a file of assembly."""
    return re.findall(r"^\.visible \.entry (\w+)\(", ptx, flags=re.M)


def pallas_calls(hlo: str) -> dict[str, int]:
    """How often an executable's HLO calls each Pallas kernel, by the name that it was given."""
    call = r'custom-call\(.*op_name="[^"]*?([^/"]+)/(?:pallas_call|mpmd_map)"'
    return dict(Counter(re.findall(call, hlo)))


def named(kernel: str) -> str:
    """The name that a kernel was given, without XLA's number of it or Mosaic's suffix."""
    return re.sub(r"__\d+$|_mosaic_gpu_kernel$", "", kernel)


def mosaic_launches(host_code: str) -> list[Launch]:
    """Of the code that starts Mosaic's kernels, in LLVM's language."""
    calls = re.findall(r"call i32 @mosaic_gpu_launch_kernel\((.*)\)", host_code)
    launches = []
    for call in calls:
        # The function, the grid, the cluster and the block (three numbers each), shared memory.
        numbers = [int(n) for n in re.findall(r"i32 (-?\d+)", call)]
        x, y, z, shared = numbers[6:10]
        launches.append(Launch(x * y * z, shared))
    return launches


def instructions(ptx: str) -> dict[str, int]:
    """How many products and copies there are, of each kind that there is."""
    found = re.findall("|".join(map(re.escape, _INSTRUCTIONS)), ptx)
    return dict(Counter(_INSTRUCTIONS[text] for text in found))


def blocks_per_core(usage: Usage, launch: Launch, target: Target) -> int:
    """How many blocks of a kernel run on a core at a time; 0: not even one."""
    shared = usage.shared + launch.shared
    if shared > target.shared_memory_of_block:
        return 0
    warps = -(-launch.threads // THREADS_PER_WARP)
    unit = REGISTERS_PER_ALLOCATION
    registers = -(-max(usage.registers, 1) * THREADS_PER_WARP // unit) * unit * warps
    return min(
        REGISTERS // registers,
        target.shared_memory // (shared + SHARED_MEMORY_OF_THE_SYSTEM),
        MOST_THREADS // (warps * THREADS_PER_WARP),
        MOST_BLOCKS,
    )
