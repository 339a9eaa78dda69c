# SPDX-License-Identifier: Apache-2.0
"""A model through interpreted Triton kernels on a mesh, beside XLA on one device.

A program and not a test, because the number of devices is fixed when jax starts.
"""

import json

import jax
import pytest

from coder.sharding import make_mesh
from tests.model.test_pallas_model import V2, choose_as_on, computed_on, differences, exact


def main() -> None:
    """Prints a JSON object: the largest difference of loss and gradients, by norm."""
    jax.config.update("jax_disable_most_optimizations", True)
    expected = exact("v2")
    with pytest.MonkeyPatch.context() as patch:
        choose_as_on("sm80", patch)
        mesh = make_mesh(expert=2, tensor=2, devices=jax.devices())
        print(json.dumps({"largest": max(differences(computed_on(mesh, V2), expected))}))


if __name__ == "__main__":
    main()
