# SPDX-License-Identifier: Apache-2.0
"""Gradients on meshes of fake devices against those on one; prints the largest differences.

A program and not a test, because the number of devices is fixed when jax starts.
"""

import json

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from coder.model.transformer import init_decoder
from coder.sharding import make_mesh, spec
from tests.model.test_transformer import SMALL, loss_and_gradients, random_batch

MESHES = {"data=2": (2, {}), "data=2 tensor=2": (4, {"tensor": 2})}


def main() -> None:
    """Prints a JSON object, mesh to difference."""
    batch = random_batch(batch_size=4)
    expected = loss_and_gradients(init_decoder(SMALL, 0), *batch)
    differences = {}
    for name, (count, axes) in MESHES.items():
        mesh = make_mesh(**axes, devices=jax.devices()[:count])
        with jax.set_mesh(mesh):
            place = NamedSharding(mesh, spec("batch", None) or PartitionSpec())
            model = init_decoder(SMALL, 0)
            found = loss_and_gradients(model, *(jax.device_put(x, place) for x in batch))
        pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
        differences[name] = max(
            float(np.linalg.norm(np.asarray(a) - np.asarray(b)) / np.linalg.norm(np.asarray(b)))
            for a, b in pairs
        )
    print(json.dumps(differences))


if __name__ == "__main__":
    main()
