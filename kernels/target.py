# SPDX-License-Identifier: Apache-2.0
"""What the computation that is being traced will run on."""

import jax
from jax.experimental.pallas import triton

_PALLAS = {"sm80": ("pallas_triton",), "sm90": ("pallas_mosaic", "pallas_triton")}
"""For other GPUs nothing checks that the tiles compile: they may ask for more than there is."""


def architecture() -> str:
    """`cpu`, or an NVIDIA GPU's compute capability: `sm80` (A100), `sm90` (H100, H200), ….

    It is the architecture of the mesh that is set, else of the default device. Either may be one
    that this machine does not have, when it compiles for another. `gpu`: one that jax does not tell
    such a number of, as a V100 or one that is not NVIDIA's.
    """
    if not triton.is_gpu_device():
        return jax.default_backend() if jax.default_backend() != "gpu" else "cpu"
    try:
        capability = triton.get_gpu_info().compute_capability
    except ValueError:
        capability = 0
    return f"sm{capability}" if capability else "gpu"


def pallas_implementations() -> tuple[str, ...]:
    """The Pallas implementations that serve where none is named, the fastest first."""
    return _PALLAS.get(architecture(), ())


def is_interpreted() -> bool:
    """Whether Pallas kernels run operation by operation, as a CPU does in tests."""
    return not triton.is_gpu_device()
