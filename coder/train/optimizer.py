# SPDX-License-Identifier: Apache-2.0
"""AdamW as published, and Muon for the matrices of the layers (Jordan, 2024).

Learning rates here are the highest ones: the step multiplies the updates by
`schedule.schedule_factor`, which counts steps of the run and not those of the optimizer, so that a
skipped step does not shift the schedule.
"""

from typing import Any

import jax
import optax

from coder.config import TrainConfig

STACKED = ("first_layers", "layers")
"""The parts of the parameters whose leaves have the layers as their first dimension."""


def matrix_mask(parameters: dict[str, Any]) -> dict[str, Any]:
    """True for the matrices, which decay: token tables included; norms, stacked ones too, not."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf.ndim - _is_stacked(path) >= 2, parameters
    )


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Clipping to a global norm, then AdamW or Muon at the highest learning rate."""
    rule = {"adamw": _adamw, "muon": _muon}[config.optimizer](config)
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), rule)


def _adamw(config: TrainConfig) -> optax.GradientTransformation:
    return optax.adamw(
        config.learning_rate,
        b1=config.beta1,
        b2=config.beta2,
        weight_decay=config.weight_decay,
        mask=matrix_mask,
    )


def _muon(config: TrainConfig) -> optax.GradientTransformation:
    """Muon on every matrix of every layer and expert; AdamW on the token tables and norms."""
    muon = optax.contrib.muon(
        config.muon_learning_rate,
        weight_decay=config.weight_decay,
        muon_weight_dimension_numbers=_layer_matrices,
    )
    return optax.partition({"muon": muon, "adamw": _adamw(config)}, _rules)


def _rules(parameters: dict[str, Any]) -> dict[str, Any]:
    """Which of the two rules moves a leaf."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: "muon" if _is_stacked(path) and leaf.ndim >= 3 else "adamw", parameters
    )


def _layer_matrices(parameters: Any) -> Any:
    """How Muon reads the leaves [L, ..., in, out]: as matrices, each orthogonalised by itself."""
    matrix = optax.contrib.MuonDimensionNumbers(reduction_axis=-2, output_axis=-1)
    return jax.tree.map(lambda _: matrix, parameters)


def _is_stacked(path: tuple[Any, ...]) -> bool:
    return path[0].key in STACKED
