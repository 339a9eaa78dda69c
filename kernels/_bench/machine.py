# SPDX-License-Identifier: Apache-2.0
"""What the device is, what runs on it, and how fast it can be at most."""

import dataclasses
import importlib.metadata
import shutil
import subprocess

import jax
import jax.numpy as jnp

from kernels._bench import timing
from kernels.target import architecture

_DISTRIBUTIONS = (
    "jax",
    "jaxlib",
    "jax-cuda13-plugin",
    "jax-cuda12-plugin",
    "nvidia-cuda-nvcc",
    "nvidia-cuda-nvcc-cu12",
    "nvidia-cublas",
    "nvidia-cublas-cu12",
    "nvidia-cudnn-cu13",
    "nvidia-cudnn-cu12",
    "tokamax",
)


@dataclasses.dataclass(frozen=True)
class Machine:
    """A device and its measured ceilings."""

    device: str
    architecture: str
    flops: float
    """Of a second, in a product of large bfloat16 matrices of random numbers."""
    bandwidth: float
    """Bytes read and written in a second, in a copy from device to device."""
    versions: dict[str, str]

    def floor_s(self, flops: float, num_bytes: float) -> float:
        """No program that does this much takes less."""
        return max(flops / self.flops, num_bytes / self.bandwidth)


def measure(side: int = 8192, copied: int = 1 << 30) -> Machine:
    """Multiplies matrices of `side` rows and columns, copies `copied` numbers of four bytes."""
    return Machine(
        device=jax.devices()[0].device_kind,
        architecture=architecture(),
        flops=2 * side**3 / _product_s(side),
        bandwidth=2 * 4 * copied / _copy_s(copied),
        versions=versions(),
    )


def _product_s(side: int) -> float:
    left, right = (
        jax.random.normal(jax.random.key(seed), (side, side), jnp.bfloat16) for seed in (0, 1)
    )
    product = jax.jit(jnp.dot)
    return timing.medians({"product": lambda: product(left, right)})["product"]


def _copy_s(copied: int) -> float:
    """By the driver or by a kernel, whichever is faster."""
    numbers = jax.random.bits(jax.random.key(2), (copied,), jnp.uint32)
    copy, kernel = jax.jit(jnp.copy), jax.jit(jnp.bitwise_not)
    return min(
        timing.medians({"copy": lambda: copy(numbers), "kernel": lambda: kernel(numbers)}).values()
    )


def versions() -> dict[str, str]:
    """Of what decides how fast the programs are; what is not installed is left out."""
    found = {"platform": " ".join(jax.devices()[0].client.platform_version.split())}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if command := shutil.which("nvidia-smi"):
        query = [command, "--query-gpu=driver_version,clocks.max.sm,power.limit", "--format=csv"]
        done = subprocess.run(query, capture_output=True, text=True, check=False)
        if not done.returncode:
            found["driver, largest clock, power limit"] = done.stdout.strip().splitlines()[-1]
    return found
