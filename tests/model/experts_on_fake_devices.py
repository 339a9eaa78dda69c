# SPDX-License-Identifier: Apache-2.0
"""Experts on meshes of fake devices against those on one; prints the largest differences.

A program and not a test, because the number of devices is fixed when jax starts.
"""

import dataclasses
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec

from coder.model.balance import Balance
from coder.model.transformer import Decoder
from coder.sharding import make_mesh, spec
from tests.model.drawn import drawn_decoder
from tests.model.test_moe import CONFIG, MOE
from tests.model.test_transformer import random_batch

SHALLOW = dataclasses.replace(
    CONFIG, num_layers=1, moe=dataclasses.replace(MOE, num_experts=64, first_dense_layers=0)
)
MESHES = {
    "fsdp=2 expert=2 tensor=2": (8, {"fsdp": 2, "expert": 2, "tensor": 2}),
    "data=2 expert=4": (8, {"expert": 4}),
    "fsdp=2 expert=2": (4, {"fsdp": 2, "expert": 2}),
    "expert=2 tensor=2": (4, {"expert": 2, "tensor": 2}),
    "fsdp=2 tensor=2": (4, {"fsdp": 2, "tensor": 2}),
}


@jax.jit
def value_and_gradients(
    model: Decoder, tokens_BT: Array, positions_BT: Array, segment_ids_BT: Array
) -> tuple[tuple[Array, Balance], Decoder]:
    """A loss that the balance losses are a part of, how experts are loaded, and gradients."""
    droppable_B = jnp.arange(len(tokens_BT)) % 3 > 0
    if (place := spec("batch")) is not None:
        droppable_B = jax.reshard(droppable_B, place)

    def loss(model: Decoder) -> tuple[Array, Balance]:
        hidden, balance = model.hidden_and_balance(
            tokens_BT, positions_BT, segment_ids_BT, droppable_B
        )
        assert balance is not None
        return jnp.mean(jnp.square(model.logits(hidden))) + jnp.sum(balance.loss_B), balance

    return jax.value_and_grad(loss, has_aux=True)(model)


def main(names: list[str]) -> None:
    """Prints a JSON object: mesh to difference, the idlest expert's load and what was dropped."""
    batch = random_batch(batch_size=8)
    expected = value_and_gradients(drawn_decoder(SHALLOW), *batch)
    balance = expected[0][1]
    report = {
        "idlest": float(jnp.min(balance.load_E)),
        "dropped": float(jnp.sum(balance.dropped)),
    }
    for name in names or MESHES:
        count, axes = MESHES[name]
        mesh = make_mesh(**axes, devices=jax.devices()[:count])
        with jax.set_mesh(mesh):
            place = NamedSharding(mesh, spec("batch", None) or PartitionSpec())
            here = drawn_decoder(SHALLOW)
            found = value_and_gradients(here, *(jax.device_put(x, place) for x in batch))
            _check_places(found[1], here)
        pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
        report[name] = max(
            float(np.linalg.norm(np.asarray(a) - np.asarray(b)) / np.linalg.norm(np.asarray(b)))
            for a, b in pairs
        )
    print(json.dumps(report))


def _check_places(gradients: Decoder, model: Decoder) -> None:
    """Raises AssertionError where a gradient does not lie as its weight does."""
    for one, other in zip(jax.tree.leaves(gradients), jax.tree.leaves(model), strict=True):
        assert one.sharding.is_equivalent_to(other.sharding, other.ndim)


if __name__ == "__main__":
    main(sys.argv[1:])
