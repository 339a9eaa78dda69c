# SPDX-License-Identifier: Apache-2.0
"""A model through interpreted Mosaic kernels beside XLA; prints how far both are from float32.

A program and not a test, because the interpreter needs a thread for every warpgroup of a kernel,
and their number is fixed when jax starts.
"""

import dataclasses
import json
import sys

import jax
import numpy as np

from kernels import attention, grouped_matmul, target, tiles
from tests.model.test_pallas_model import MODELS, computed, differences, packed_batch


def main(name: str) -> None:
    """Prints a JSON object: the largest ratio of errors, by gradient."""
    jax.config.update("jax_disable_most_optimizations", True)
    # The interpreter's callbacks cannot be differentiated inside of jax.checkpoint.
    shallow = dataclasses.replace(MODELS[name], num_layers=1, num_heads=2, remat=False)
    if shallow.moe.num_experts:
        moe = dataclasses.replace(shallow.moe, first_dense_layers=0, num_experts=3)
        shallow = dataclasses.replace(shallow, moe=moe)
    half = dataclasses.replace(shallow, compute_dtype="bfloat16")
    batch = packed_batch(batch_size=1, length=152)
    exact, rounded = computed(shallow, *batch), computed(half, *batch)
    target.architecture = tiles.architecture = lambda: "sm90"
    for implementations in (attention._IMPLEMENTATIONS, grouped_matmul._IMPLEMENTATIONS):
        for other in implementations.keys() - {"pallas_mosaic"}:
            del implementations[other]
    found = computed(half, *batch)
    ratios = np.divide(differences(found[1], exact[1]), differences(rounded[1], exact[1]))
    print(json.dumps({"largest": max(ratios), "loss": float(abs(found[0] / exact[0] - 1))}))


if __name__ == "__main__":
    main(sys.argv[1])
