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

from coder.config import RunConfig, TrainConfig
from coder.model.transformer import Decoder
from coder.sharding import spec
from coder.train.loss import Batch, summed_loss
from coder.train.optimizer import make_optimizer
from coder.train.schedule import schedule_factor

Parameters = dict[str, Any]


class Window(NamedTuple):
    """Sums since the last row of the metrics, on the device: no step waits for the host."""

    nats: ArrayLike
    tokens: ArrayLike
    steps: ArrayLike
    grad_norm: ArrayLike


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
        return TrainState(parameters, optimizer.init(parameters), zero, zero, empty_window())

    def loss(parameters: Parameters, batch: Batch) -> Array:
        return summed_loss(nnx.merge(graph, parameters), batch)

    return Trainable(init, _make_step(config.train, optimizer, loss))


def empty_window() -> Window:
    """Sums of nothing; four arrays and not one four times, because a step is given their memory."""
    return Window(*(np.zeros((), np.float32) for _ in Window._fields))


def _make_step(
    config: TrainConfig,
    optimizer: optax.GradientTransformation,
    loss: Callable[[Parameters, Batch], Array],
) -> Callable[[TrainState, Batch], TrainState]:
    factor = schedule_factor(config)

    def step(state: TrainState, batch: Batch) -> TrainState:
        tokens = jnp.sum(batch["loss_mask"])
        nats, gradients = summed_gradients(loss, state.parameters, batch, config.micro_batches)
        gradients = jax.tree.map(lambda gradient: gradient / jnp.maximum(tokens, 1.0), gradients)
        grad_norm = optax.tree.norm(gradients)
        updates, moved = optimizer.update(gradients, state.optimizer, state.parameters)
        updates = jax.tree.map(lambda update: update * factor(state.step), updates)
        new: Any = optax.apply_updates(state.parameters, updates)
        finite = jnp.isfinite(nats) & jnp.isfinite(grad_norm)

        def keep[T](new: T, old: T) -> T:
            return jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, old)

        window = _add(state.window, Window(nats, tokens, jnp.float32(1.0), grad_norm))
        return TrainState(
            parameters=keep(new, state.parameters),
            optimizer=keep(moved, state.optimizer),
            step=state.step + 1,
            skipped=state.skipped + jnp.logical_not(finite),
            window=keep(window, state.window),
        )

    return step


def summed_gradients(
    loss: Callable[[Parameters, Batch], Array],
    parameters: Parameters,
    batch: Batch,
    micro_batches: int,
) -> tuple[Array, Parameters]:
    """The summed loss of a batch and its gradient, computed in parts one after the other."""
    value_and_gradient = jax.value_and_grad(loss)
    if micro_batches == 1:
        return value_and_gradient(parameters, batch)
    parts = jax.tree.map(lambda x_BT: _split(x_BT, micro_batches), batch)

    def add(sums: tuple[Array, Parameters], part: Batch) -> tuple[tuple[Array, Parameters], None]:
        return _add(sums, value_and_gradient(parameters, part)), None

    nothing = (jnp.zeros((), jnp.float32), jax.tree.map(jnp.zeros_like, parameters))
    return jax.lax.scan(add, nothing, parts)[0]


def _split(x_BT: Array, parts: int) -> Array:
    """[parts, B / parts, T]; every part has rows of every device."""
    batch, length = x_BT.shape
    shape = (batch // parts, parts, length)
    return jnp.reshape(x_BT, shape, out_sharding=spec("batch", None, None)).swapaxes(0, 1)


def _add[T](left: T, right: T) -> T:
    return jax.tree.map(jnp.add, left, right)
