# SPDX-License-Identifier: Apache-2.0
"""Gradients on meshes of fake devices against those on one; prints the largest differences.

A program and not a test, because the number of devices is fixed when jax starts.
"""

import dataclasses
import json
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from coder.model.transformer import Decoder, init_decoder
from coder.sharding import make_mesh, spec
from tests.model import test_mla, test_transformer
from tests.model.drawn import drawn_decoder
from tests.model.test_lora import adapted
from tests.model.test_transformer import loss_and_gradients, random_batch

TARGETS = ["query_up_RQ", "down_DX", "up_CY", "output_OD", "gate_DF", "down_FD"]
MODELS = {
    "llama": lambda: init_decoder(test_transformer.SMALL, 0),
    "latent attention with adapters": lambda: adapted(
        drawn_decoder(dataclasses.replace(test_mla.SMALL, num_layers=1)), TARGETS
    ),
}
MESHES = {"data=2": (2, {}), "data=2 tensor=2": (4, {"tensor": 2})}


def main() -> None:
    """Prints a JSON object, model and mesh to difference."""
    print(
        json.dumps(
            {
                f"{model}, {mesh}": difference(MODELS[model], *MESHES[mesh])
                for model in MODELS
                for mesh in MESHES
            }
        )
    )


def difference(build: Callable[[], Decoder], count: int, axes: dict[str, int]) -> float:
    """The largest difference of a gradient on `count` devices, relative to its norm."""
    batch = random_batch(batch_size=4)
    expected = loss_and_gradients(build(), *batch)
    mesh = make_mesh(**axes, devices=jax.devices()[:count])
    with jax.set_mesh(mesh):
        place = NamedSharding(mesh, spec("batch", None) or PartitionSpec())
        found = loss_and_gradients(build(), *(jax.device_put(x, place) for x in batch))
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return max(
        float(np.linalg.norm(np.asarray(a) - np.asarray(b)) / np.linalg.norm(np.asarray(b)))
        for a, b in pairs
    )


if __name__ == "__main__":
    main()
