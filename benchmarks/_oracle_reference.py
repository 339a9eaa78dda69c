# SPDX-License-Identifier: Apache-2.0
"""A case of `benchmarks.oracle_transformers`: what transformers computed, and our own model."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from coder.checkpoint import placed
from coder.config import ModelConfig
from coder.huggingface.config import from_huggingface
from coder.huggingface.names import parameter_shapes, tensors
from coder.model.transformer import Decoder


class Found(NamedTuple):
    """What our model makes of whole rows."""

    logits: Array
    loss: Array
    gradients: dict[str, Array]
    """By path; empty where there are none to compare with."""


class Reference:
    """The arrays of a case, by name, and our model with its weights."""

    def __init__(self, arrays: Mapping[str, np.ndarray], config: ModelConfig | None = None):
        """Takes the arrays of a case; `config`: in place of the settings that they come with.

        Its batch is tokens, positions and segments of whole rows.
        """
        self.arrays = arrays
        self.config = config or from_huggingface(json.loads(str(arrays["settings"])))
        self.model = decoder(self.config, arrays)
        tokens = jnp.asarray(arrays["tokens"], jnp.int32)
        positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
        self.batch = tokens, positions, jnp.ones_like(tokens)

    @classmethod
    def read(cls, path: Path) -> "Reference":
        """Reads a file of arrays."""
        with np.load(path) as file:
            return cls(dict(file))

    def __getitem__(self, name: str) -> np.ndarray:
        """An array."""
        return self.arrays[name]

    def has(self, kind: str) -> bool:
        """Whether there are arrays of a kind, which their names begin with."""
        return any(name.startswith(f"{kind}/") for name in self.arrays)

    @property
    def is_v2(self) -> bool:
        """Whether the attention is latent."""
        return self.config.mla.kv_lora_rank > 0

    @cached_property
    def found(self) -> Found:
        """Logits, loss and gradients of our model."""
        targets = jnp.roll(self.batch[0], -1, 1)

        def loss(model: Decoder) -> tuple[Array, Array]:
            logits = model(*self.batch)
            log_probs = jax.nn.log_softmax(logits)
            return -jnp.mean(jnp.take_along_axis(log_probs, targets[..., None], -1)), logits

        if not self.has("gradient"):
            value, logits = jax.jit(loss)(self.model)
            return Found(logits, value, {})
        function = jax.jit(jax.value_and_grad(loss, has_aux=True))
        (value, logits), gradients = function(self.model)
        flat, _ = jax.tree_util.tree_flatten_with_path(nnx.to_pure_dict(nnx.state(gradients)))
        return Found(logits, value, {leaf_name(path): leaf for path, leaf in flat})

    def last_layer(self) -> Any:
        """The last layer alone."""
        stack, count = self.model.stacks()[-1]
        return jax.tree.map(lambda x_L: x_L[count - 1], stack)


def decoder(config: ModelConfig, arrays: Mapping[str, np.ndarray]) -> Decoder:
    """Our model with the weights of a case, on the current mesh if there is one."""
    found = parameters(config, arrays, "weight")
    graph, state = nnx.split(nnx.eval_shape(lambda: Decoder(config, nnx.Rngs(0))))
    tree = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jax.device_put(found[leaf_name(path)], placed(leaf).sharding),
        nnx.to_pure_dict(state),
    )
    return nnx.merge(graph, tree)


def parameters(
    config: ModelConfig, arrays: Mapping[str, np.ndarray], kind: str
) -> dict[str, np.ndarray]:
    """Weights or gradients of a case by the path of our parameter."""
    shapes = parameter_shapes(config)
    found = {path: np.empty(shape, np.float32) for path, shape in shapes.items()}
    for tensor in tensors(config):
        found[tensor.path][tensor.index] = tensor.swapped(arrays[f"{kind}/{tensor.name}"])
    return found


def leaf_name(path: Any) -> str:
    """The path of a leaf as `coder.huggingface.names` writes it."""
    return jax.tree_util.keystr(path, simple=True, separator="/")
