# SPDX-License-Identifier: Apache-2.0
"""AdamW against numpy, Muon against itself on single matrices, and what decays."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from coder.config import TrainConfig
from coder.model.transformer import Decoder
from coder.train.optimizer import make_optimizer, matrix_mask
from tests.train.small_run import MODEL

RNG = np.random.default_rng(0)
SHAPES = {
    "embedding_VD": (11, 4),
    "layers": {
        "norm": {"scale_D": (3, 4)},
        "mlp": {"up_DF": (3, 4, 6), "down_FD": (3, 6, 4), "up_EDF": (3, 2, 4, 6)},
    },
    "norm": {"scale_D": (4,)},
}
DECAYS = {
    "embedding_VD": True,
    "layers": {
        "norm": {"scale_D": False},
        "mlp": {"up_DF": True, "down_FD": True, "up_EDF": True},
    },
    "norm": {"scale_D": False},
}


def draw(scale: float = 1.0) -> dict[str, Any]:
    return jax.tree.map(
        lambda shape: scale * RNG.normal(size=shape).astype(np.float32),
        SHAPES,
        is_leaf=lambda leaf: isinstance(leaf, tuple),
    )


def run(config: TrainConfig, parameters: Any, gradients: list[Any]) -> Any:
    optimizer = make_optimizer(config)
    state = optimizer.init(parameters)
    for gradient in gradients:
        updates, state = jax.jit(optimizer.update)(gradient, state, parameters)
        parameters = optax.apply_updates(parameters, updates)
    return parameters


def numpy_adamw(config: TrainConfig, parameters: Any, gradients: list[Any]) -> Any:
    """Loshchilov and Hutter (2019), algorithm 2, with clipping, in float64."""
    parameters = jax.tree.map(lambda leaf: leaf.astype(np.float64), parameters)
    first = second = jax.tree.map(np.zeros_like, parameters)
    for step, gradient in enumerate(gradients, start=1):
        norm = np.sqrt(
            sum((leaf.astype(np.float64) ** 2).sum() for leaf in jax.tree.leaves(gradient))
        )
        gradient = jax.tree.map(
            lambda g, norm=norm: g * min(1.0, config.clip_norm / norm), gradient
        )
        first = jax.tree.map(
            lambda m, g: config.beta1 * m + (1 - config.beta1) * g, first, gradient
        )
        second = jax.tree.map(
            lambda v, g: config.beta2 * v + (1 - config.beta2) * g**2, second, gradient
        )

        def move(p, m, v, decays, step=step):
            direction = (m / (1 - config.beta1**step)) / (
                np.sqrt(v / (1 - config.beta2**step)) + 1e-8
            )
            return p - config.learning_rate * (direction + config.weight_decay * decays * p)

        parameters = jax.tree.map(move, parameters, first, second, DECAYS)
    return parameters


@pytest.mark.parametrize("gradient_scale", [1e-3, 10.0], ids=["unclipped", "clipped"])
def test_adamw_is_the_papers(gradient_scale: float):
    config = TrainConfig(learning_rate=0.01)
    parameters, gradients = draw(), [draw(gradient_scale) for _ in range(5)]
    found = run(config, parameters, gradients)
    expected = numpy_adamw(config, parameters, gradients)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6), found, expected
    )


def test_in_the_decoder_exactly_the_norms_do_not_decay():
    parameters = nnx.to_pure_dict(nnx.state(nnx.eval_shape(lambda: Decoder(MODEL, nnx.Rngs(0)))))
    mask, _ = jax.tree_util.tree_flatten_with_path(matrix_mask(parameters))
    kept = {jax.tree_util.keystr(path) for path, decays in mask if not decays}
    assert kept == {
        "['layers']['attention_norm']['scale_D']",
        "['layers']['mlp_norm']['scale_D']",
        "['norm']['scale_D']",
    }


def test_muon_treats_every_layers_and_experts_matrix_by_itself():
    config = TrainConfig(optimizer="muon", muon_learning_rate=0.02, clip_norm=1e9)
    parameters, gradients = draw(), [draw() for _ in range(3)]
    found = run(config, parameters, gradients)["layers"]["mlp"]
    alone = optax.contrib.muon(0.02, weight_decay=config.weight_decay)
    update = jax.jit(alone.update)
    for name, leaf in parameters["layers"]["mlp"].items():
        for place in np.ndindex(leaf.shape[:-2]):
            matrix = jnp.asarray(leaf[place])
            state = alone.init(matrix)
            for gradient in gradients:
                updates, state = update(gradient["layers"]["mlp"][name][place], state, matrix)
                matrix = jnp.asarray(optax.apply_updates(matrix, updates))
            np.testing.assert_allclose(found[name][place], matrix, rtol=1e-4, atol=1e-5)


def test_muon_moves_a_matrix_by_an_almost_orthogonal_one():
    config = TrainConfig(optimizer="muon", muon_learning_rate=1.0, weight_decay=0.0, clip_norm=1e9)
    parameters = draw()
    moved = run(config, parameters, [draw()])
    for name, gain in (("up_DF", 1.5**0.5), ("down_FD", 1.0)):
        moves = moved["layers"]["mlp"][name] - parameters["layers"]["mlp"][name]
        # Five Newton-Schulz steps bring singular values into about [0.7, 1.2] (Jordan, 2024).
        values = np.linalg.svd(moves, compute_uv=False) / gain
        assert (values > 0.6).all() and (values < 1.3).all()


def test_muon_leaves_tables_and_norms_to_adamw():
    parameters, gradients = draw(), [draw() for _ in range(3)]
    muon = run(TrainConfig(optimizer="muon", learning_rate=0.01), parameters, gradients)
    adamw = run(TrainConfig(optimizer="adamw", learning_rate=0.01), parameters, gradients)
    for part in (
        lambda tree: tree["embedding_VD"],
        lambda tree: tree["norm"]["scale_D"],
        lambda tree: tree["layers"]["norm"]["scale_D"],
    ):
        np.testing.assert_array_equal(part(muon), part(adamw))
