# SPDX-License-Identifier: Apache-2.0
"""One optimizer step as a pure function of the training state and a batch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from coder.config import ModelConfig, RunConfig
from coder.model.transformer import Decoder
from coder.sharding import spec
from coder.train.loss import Batch, ExpertSums, Sums, summed_loss
from coder.train.optimizer import make_optimizer
from coder.train.schedule import schedule_factor

Parameters = dict[str, Any]

Loss = Callable[[Parameters, Batch], tuple[Array, Sums]]
"""The sum that is descended, and what it is made of."""

_DROPPING = 1
"""Keeps the keys of this draw apart from those of the initial weights."""


class Window(NamedTuple):
    """Sums since the last row of the metrics, on the device: no step waits for the host."""

    nats: ArrayLike
    tokens: ArrayLike
    steps: ArrayLike
    grad_norm: ArrayLike
    experts: ExpertSums | None
    """None without experts; `balance` is the sum over the steps of the mean over sequences."""


class TrainState(NamedTuple):
    """What the device holds: the states that follow are a function of it and of the batches."""

    parameters: Parameters
    optimizer: optax.OptState
    step: Array
    """Batches seen, int32."""
    skipped: Array
    """Steps without an update because the loss or a gradient was not finite, int32."""
    window: Window


@dataclass(frozen=True)
class Trainable:
    """The functions that a run's settings determine."""

    init: Callable[[], TrainState]
    step: Callable[[TrainState, Batch], TrainState]


def make_trainable(config: RunConfig) -> Trainable:
    """The initial state and the step of `config`, neither compiled yet.

    Raises:
        ValueError: the settings of the model do not fit each other.
    """
    optimizer = make_optimizer(config.train)
    graph, _ = nnx.split(nnx.eval_shape(lambda: Decoder(config.model, nnx.Rngs(0))))

    def init() -> TrainState:
        decoder = Decoder(config.model, nnx.Rngs(params=config.seed))
        parameters = nnx.to_pure_dict(nnx.state(decoder))
        zero = jnp.zeros((), jnp.int32)
        window = empty_window(config.model)
        return TrainState(parameters, optimizer.init(parameters), zero, zero, window)

    return Trainable(init, _make_step(config, optimizer, graph))


def empty_window(model: ModelConfig) -> Window:
    """Sums of nothing; an array each and not one for all, because a step is given their memory."""

    def zeros(*shape: int) -> Any:
        return np.zeros(shape, np.float32)

    experts, moe = None, model.moe
    if moe.num_experts:
        loads = zeros(model.num_layers - moe.first_dense_layers, moe.num_experts)
        experts = ExpertSums(zeros(), loads, zeros())
    return Window(zeros(), zeros(), zeros(), zeros(), experts)


def _make_step(
    config: RunConfig, optimizer: optax.GradientTransformation, graph: nnx.GraphDef
) -> Callable[[TrainState, Batch], TrainState]:
    factor, parts = schedule_factor(config.train), config.train.micro_batches

    def step(state: TrainState, batch: Batch) -> TrainState:
        tokens = jnp.sum(batch["loss_mask"])
        sequences = jnp.maximum(jnp.sum(jnp.any(batch["segment_ids"] > 0, axis=1)), 1)

        def loss(parameters: Parameters, part: Batch) -> tuple[Array, Sums]:
            return summed_loss(nnx.merge(graph, parameters), part, tokens / sequences)

        if config.model.moe.num_experts and config.model.moe.capacity_factor:
            rows_B = droppable_rows(config, state.step, len(batch["tokens"]))
            batch = {**batch, "droppable": rows_B}
        (total, sums), gradients = summed_gradients(loss, state.parameters, batch, parts)
        gradients = jax.tree.map(lambda gradient: gradient / jnp.maximum(tokens, 1.0), gradients)
        grad_norm = optax.tree.norm(gradients)
        updates, moved = optimizer.update(gradients, state.optimizer, state.parameters)
        updates = jax.tree.map(lambda update: update * factor(state.step), updates)
        new: Any = optax.apply_updates(state.parameters, updates)
        finite = jnp.isfinite(total) & jnp.isfinite(grad_norm)

        def keep[T](new: T, old: T) -> T:
            return jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, old)

        experts = sums.experts
        if experts is not None:
            experts = experts._replace(balance=experts.balance / sequences)
        window = _add(state.window, Window(sums.nats, tokens, jnp.float32(1.0), grad_norm, experts))
        return TrainState(
            parameters=keep(new, state.parameters),
            optimizer=keep(moved, state.optimizer),
            step=state.step + 1,
            skipped=state.skipped + jnp.logical_not(finite),
            window=keep(window, state.window),
        )

    return step


def summed_gradients(
    loss: Loss, parameters: Parameters, batch: Batch, micro_batches: int
) -> tuple[tuple[Array, Sums], Parameters]:
    """The summed loss of a batch and its gradient, computed in parts one after the other."""
    value_and_gradient = jax.value_and_grad(loss, has_aux=True)
    if micro_batches == 1:
        return value_and_gradient(parameters, batch)
    parts = jax.tree.map(lambda x_B: _split(x_B, micro_batches), batch)

    def add(sums: Any, part: Batch) -> tuple[Any, None]:
        return _add(sums, value_and_gradient(parameters, part)), None

    shapes = jax.eval_shape(loss, parameters, jax.tree.map(lambda x_B: x_B[0], parts))
    zeros = jax.tree.map(lambda sums: jnp.zeros(sums.shape, sums.dtype), shapes)
    return jax.lax.scan(add, (zeros, jax.tree.map(jnp.zeros_like, parameters)), parts)[0]


def droppable_rows(config: RunConfig, step: Array, rows: int) -> Array:
    """Which rows of a step's whole batch may lose tokens, bool [B].

    Drawn anew from the seed and the step, so that a resumed run draws the same.
    """
    key = jax.random.fold_in(jax.random.key(config.seed), _DROPPING)
    key = jax.random.fold_in(key, step)
    draws_B = jax.random.uniform(key, (rows,), out_sharding=spec("batch"))
    return draws_B >= config.model.moe.exempt_share


def _split(x_B: Array, parts: int) -> Array:
    """[parts, B / parts, ...]; every part has rows of every device."""
    batch, *rest = x_B.shape
    shape = (batch // parts, parts, *rest)
    place = spec("batch", None, *(None for _ in rest))
    return jnp.reshape(x_B, shape, out_sharding=place).swapaxes(0, 1)


def _add[T](left: T, right: T) -> T:
    return jax.tree.map(jnp.add, left, right)
