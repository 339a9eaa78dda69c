# SPDX-License-Identifier: Apache-2.0
"""What the computation that is being traced will run on."""

import jax
from jax.experimental.pallas import triton


def architecture() -> str:
    """`cpu`, or an NVIDIA GPU's compute capability: `sm80` (A100), `sm90` (H100, H200), ….

    It is the architecture of the mesh that is set, else of the default device. Either may be one
    that this machine does not have, when it compiles for another.
    """
    if triton.is_gpu_device():
        return f"sm{triton.get_gpu_info().compute_capability}"
    return jax.default_backend() if jax.default_backend() != "gpu" else "cpu"


def is_interpreted() -> bool:
    """Whether Pallas kernels run operation by operation, as a CPU does in tests."""
    return not triton.is_gpu_device()
