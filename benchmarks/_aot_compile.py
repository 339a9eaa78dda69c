# SPDX-License-Identifier: Apache-2.0
"""Compiles for a GPU that is not there, and asks the compilers what became of it."""

import contextlib
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh

from benchmarks import _aot_reports as reports
from benchmarks._aot_targets import Target
from coder.sharding import Device

# Read by Mosaic's compiler, which writes to the standard streams.
MOSAIC = {f"MOSAIC_GPU_DUMP_{name}": "1" for name in ("PTX", "PTXAS", "HOST_LLVM")}


@dataclasses.dataclass(frozen=True)
class Kernel:
    """What became of a kernel."""

    name: str
    registers: int
    """Of a thread."""
    spills: int
    """Bytes that a thread stores and loads for want of registers."""
    stack: int
    """Bytes of a thread."""
    threads: int
    """Of a block."""
    shared: int
    """Bytes of a block."""
    blocks_per_core: int
    instructions: dict[str, int]
    """How many there are, of `reports.PRODUCTS` and `reports.COPIES`."""
    warnings: tuple[str, ...]
    seconds: float
    """For which the program that has it compiled."""


def devices(target: Target, topology: str = "1x1x1") -> Sequence[Device]:
    """GPUs that are not there: of partitions x hosts x GPUs of a host."""
    found = topologies.get_topology_desc(
        platform="cuda", target_config=target.config(), topology=topology
    )
    return found.devices


@contextlib.contextmanager
def on(device: Device) -> Iterator[None]:
    """What is traced is for `device`: kernels see its architecture."""
    mesh = Mesh(np.array([device]), ("device",))
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh), jax.default_device(device):
        yield


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A program for a GPU that is not there."""

    executable: Any
    kernels: list[Kernel]
    """Of Pallas; what XLA made of its own operations is not among them."""
    seconds: float


def kernels(function: Callable[..., Any], arguments: Any, target: Target) -> list[Kernel]:
    """The Pallas kernels of a function, compiled for the device that it is traced for.

    Raises:
        RuntimeError: it does not compile.
    """
    lowered = jax.jit(function).lower(*arguments)
    try:
        flags = {"xla_gpu_fail_ptx_compilation_on_register_spilling": True}
        return compiled(lowered, target, flags).kernels
    except RuntimeError as error:
        if "register spilling" not in str(error):
            raise
        found = compiled(lowered, target, {}).kernels  # For the numbers.
        if not any(kernel.spills for kernel in found):
            raise
        return found


def compiled(lowered: Any, target: Target, options: dict[str, Any]) -> Compiled:
    """A lowered program with what the compilers say of its kernels.

    Raises:
        RuntimeError: it does not compile; says what the compilers wrote.
    """
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        dumps = {"xla_dump_to": folder, "xla_dump_emitter_re": "ptx", "xla_gpu_dump_llvmir": True}
        try:
            with _captured(output):
                executable = lowered.compile({**dumps, **options})
        except Exception as error:  # Whatever a compiler has to say, it is about this program.
            complaints = _complaints(output.read_text(errors="replace"))
            raise RuntimeError("\n".join([repr(error), *complaints])) from error
        seconds = round(time.perf_counter() - begin, 2)
        found = [*_mosaic(output.read_text(errors="replace")), *_triton(Path(folder), target)]
    kernels = [_kernel(*parts, target, seconds) for parts in found]
    return Compiled(executable, kernels, seconds)


def _kernel(
    usage: reports.Usage,
    launch: reports.Launch,
    instructions: dict[str, int],
    target: Target,
    seconds: float,
) -> Kernel:
    return Kernel(
        name=reports.named(usage.kernel),
        registers=usage.registers,
        spills=usage.spills,
        stack=usage.stack,
        threads=launch.threads,
        shared=usage.shared + launch.shared,
        blocks_per_core=reports.blocks_per_core(usage, launch, target),
        instructions=instructions,
        warnings=usage.warnings,
        seconds=seconds,
    )


_Found = list[tuple[reports.Usage, reports.Launch, dict[str, int]]]


def _mosaic(written: str) -> _Found:
    usages, launches = reports.usages(written), reports.mosaic_launches(written)
    instructions = reports.instructions(written)
    return [(usage, launch, instructions) for usage, launch in zip(usages, launches, strict=True)]


def _triton(folder: Path, target: Target) -> _Found:
    """XLA keeps what it was told of registers to itself, so its assembly is assembled again."""

    def dumped(name: str) -> str:
        return "".join(path.read_text() for path in sorted(folder.glob(name)))

    launches = reports.triton_launches(dumped("*thunk_sequence.txt"))
    calls = reports.pallas_calls(dumped("*gpu_after_optimizations.txt"))
    ours = {kernel for kernel in launches if reports.named(kernel) in calls}
    found: _Found = []
    for path in sorted(folder.glob("*.ptx")):
        ptx = path.read_text()
        if ours.intersection(reports.entries(ptx)):
            found += [
                (usage, launches[usage.kernel], reports.instructions(ptx))
                for usage in reports.usages(assemble(path, target))
                if usage.kernel in ours
            ]
    return found


def assemble(ptx: Path, target: Target) -> str:
    """What ptxas says of a file that XLA dumped."""
    major, minor = target.capability
    # Of Hopper's instructions, wgmma is only in the variant that later GPUs need not have.
    name = f"sm_{major}{minor}{'a' if major >= 9 else ''}"
    command = [ptxas(), "--verbose", f"--gpu-name={name}", str(ptx), "--output-file", os.devnull]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def ptxas() -> str:
    """The assembler of the environment's own nvidia-cuda-nvcc."""
    files = distribution("nvidia-cuda-nvcc").files or []
    return next(str(file.locate()) for file in files if file.name == "ptxas")


@contextlib.contextmanager
def _captured(path: Path) -> Iterator[None]:
    """What this process writes goes to a file, also what C++ writes."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(stream) for stream in (1, 2)]
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        for stream in (1, 2):
            os.dup2(file, stream)
        yield
    finally:
        for stream, old in zip((1, 2), kept, strict=True):
            os.dup2(old, stream)
            os.close(old)
        os.close(file)


def _complaints(written: str) -> list[str]:
    """The first lines of a compiler's output that say what is wrong."""
    return [line for line in written.splitlines() if "error" in line or "fatal" in line][:5]
