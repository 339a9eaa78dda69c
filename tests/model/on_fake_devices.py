# SPDX-License-Identifier: Apache-2.0
"""Gradients on meshes of fake devices against those on one; prints the largest differences.

A program and not a test, because the number of devices is fixed when jax starts.
"""

import dataclasses
import json
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from coder.sharding import make_mesh, spec
from tests.model import test_mla, test_transformer
from tests.model.drawn import drawn_decoder
from tests.model.test_lora import adapted
from tests.model.test_transformer import loss_and_gradients, random_batch

TARGETS = ["query_up_RQ", "down_DX", "up_CY", "output_OD", "gate_DF", "down_FD"]
DATA, DATA_AND_TENSOR = ("data=2", 2, {}), ("data=2 tensor=2", 4, {"tensor": 2})
MODELS = {
    "llama": (lambda: drawn_decoder(test_transformer.SMALL), (DATA, DATA_AND_TENSOR)),
    "latent attention with adapters": (
        lambda: adapted(drawn_decoder(dataclasses.replace(test_mla.SMALL, num_layers=1)), TARGETS),
        (DATA_AND_TENSOR,),
    ),
}


def main() -> None:
    """Prints a JSON object, model and mesh to difference."""
    batch, differences = random_batch(batch_size=4), {}
    for model, (build, meshes) in MODELS.items():
        expected = loss_and_gradients(build(), *batch)
        for name, count, axes in meshes:
            mesh = make_mesh(**axes, devices=jax.devices()[:count])
            with jax.set_mesh(mesh):
                place = NamedSharding(mesh, spec("batch", None) or PartitionSpec())
                found = loss_and_gradients(build(), *(jax.device_put(x, place) for x in batch))
            differences[f"{model}, {name}"] = largest_difference(found, expected)
    print(json.dumps(differences))


def largest_difference(found: Any, expected: Any) -> float:
    """Of a leaf from the expected one, relative to its norm."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return max(
        float(np.linalg.norm(np.asarray(a) - np.asarray(b)) / np.linalg.norm(np.asarray(b)))
        for a, b in pairs
    )


if __name__ == "__main__":
    main()
