# SPDX-License-Identifier: Apache-2.0
"""The parts of a decoder layer that look at one position at a time: weights, RMSNorm, SwiGLU.

The derivatives of three of them are written out. What XLA derives from the automatic ones on a CPU
transposes whole activations before it multiplies them, and keeps several intermediate values of
each where one suffices.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from coder.config import ModelConfig
from coder.sharding import spec, spec_of


def weight(
    rngs: nnx.Rngs, shape: tuple[int, int], axes: tuple[str | None, str | None], std: float
) -> nnx.Param:
    """A normally distributed float32 matrix whose dimensions are the logical `axes`."""
    return nnx.Param(std * jax.random.normal(rngs.params(), shape, out_sharding=spec(*axes)))


class RmsNorm(nnx.Module):
    """x / root mean square(x) * scale (Zhang and Sennrich, 2019)."""

    def __init__(self, width: int, epsilon: float):
        """Begins with a scale of 1."""
        self.scale_D = nnx.Param(jnp.ones(width, out_sharding=spec(None)))
        self.epsilon = epsilon

    def __call__(self, x_BTD: Array) -> Array:
        """The normalised activations; computed in float32, in the type of `x_BTD`."""
        return _rms_norm(x_BTD, self.scale_D[...], self.epsilon)


class SwiGlu(nnx.Module):
    """down(silu(gate(x)) * up(x)) (Shazeer, 2020)."""

    def __init__(self, config: ModelConfig, d_ff: int, rngs: nnx.Rngs):
        """Draws the three matrices; `d_ff` is the inner width."""
        d_model, std = config.d_model, config.init_std
        self.gate_DF = weight(rngs, (d_model, d_ff), ("embed", "mlp"), std)
        self.up_DF = weight(rngs, (d_model, d_ff), ("embed", "mlp"), std)
        self.down_FD = weight(rngs, (d_ff, d_model), ("mlp", "embed"), std)

    def __call__(self, x_BTD: Array) -> Array:
        """[B, T, D] to [B, T, D]."""
        gate_BTF = project_by(self, "gate_DF", x_BTD, "mlp")
        up_BTF = project_by(self, "up_DF", x_BTD, "mlp")
        return project_by(self, "down_FD", gated(gate_BTF, up_BTF), None)


def project_by(module: nnx.Module, name: str, x_BTI: Array, axis: str | None) -> Array:
    """`project` by the weight `name` of a module, and by the adapter beside it if there is one.

    An adapter (`coder.model.lora`) is the module's attribute `<name>_adapter`, a function of the
    same activations whose result is added.
    """
    out_BTO = project(x_BTI, getattr(module, name)[...], axis)
    adapter = getattr(module, f"{name}_adapter", None)
    return out_BTO if adapter is None else out_BTO + adapter(x_BTI, axis)


def adapted_weight(module: nnx.Module, name: str) -> Array:
    """The weight `name` of a module with its adapter, for products that take it apart."""
    weight_IO = getattr(module, name)[...]
    adapter = getattr(module, f"{name}_adapter", None)
    return weight_IO if adapter is None else adapter.added_to(weight_IO)


def project(
    x_BTI: Array, weight_IO: Array, axis: str | None, dtype: jnp.dtype | None = None
) -> Array:
    """Multiplies activations by a float32 weight, in the type of the activations.

    Args:
        x_BTI: activations.
        weight_IO: the matrix.
        axis: logical axis of O.
        dtype: type of the result; None: that of `x_BTI`.
    """
    return _project(x_BTI, weight_IO, axis, dtype)


def _project_value(
    x_BTI: Array, weight_IO: Array, axis: str | None, dtype: jnp.dtype | None
) -> Array:
    return jnp.einsum(
        "BTI,IO->BTO",
        x_BTI,
        weight_IO.astype(x_BTI.dtype),
        preferred_element_type=dtype or x_BTI.dtype,
        out_sharding=spec("batch", None, axis),
    )


def _project_forward(
    x_BTI: Array, weight_IO: Array, axis: str | None, dtype: jnp.dtype | None
) -> tuple[Array, tuple[Array, Array]]:
    return _project_value(x_BTI, weight_IO, axis, dtype), (x_BTI, weight_IO)


def _project_backward(
    axis: str | None, dtype: jnp.dtype | None, residuals: tuple[Array, Array], d_out_BTO: Array
) -> tuple[Array, Array]:
    x_BTI, weight_IO = residuals
    d_out_BTO = d_out_BTO.astype(x_BTI.dtype)
    d_x_BTI = jnp.einsum(
        "BTO,IO->BTI",
        d_out_BTO,
        weight_IO.astype(x_BTI.dtype),
        out_sharding=spec_of(x_BTI),
    )
    # Over one dimension, because XLA copies an operand of a sum over two into another order.
    d_weight_IO = jnp.einsum(
        "XI,XO->IO",
        _positions_flat(x_BTI),
        _positions_flat(d_out_BTO),
        preferred_element_type=weight_IO.dtype,
        out_sharding=spec_of(weight_IO),
    )
    return d_x_BTI, d_weight_IO


_project = jax.custom_vjp(_project_value, nondiff_argnums=(2, 3))
_project.defvjp(_project_forward, _project_backward)


def _positions_flat(x_BTI: Array) -> Array:
    """[B * T, I]."""
    place = spec_of(x_BTI)
    flat_place = None if place is None else jax.P(place[0], place[2])
    return jnp.reshape(x_BTI, (-1, x_BTI.shape[-1]), out_sharding=flat_place)


@jax.custom_vjp
def gated(gate: Array, up: Array) -> Array:
    """silu(gate) * up."""
    return jax.nn.silu(gate) * up


def _gated_backward(residuals: tuple[Array, Array], d_out: Array) -> tuple[Array, Array]:
    gate, up = residuals
    sigmoid = jax.nn.sigmoid(gate)
    silu = gate * sigmoid
    return d_out * up * (sigmoid + silu * (1 - sigmoid)), d_out * silu


gated.defvjp(lambda gate, up: (gated(gate, up), (gate, up)), _gated_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _rms_norm(x_BTD: Array, scale_D: Array, epsilon: float) -> Array:
    normalised_BTD, _ = _normalised(x_BTD, epsilon)
    return (normalised_BTD * scale_D).astype(x_BTD.dtype)


def _rms_norm_forward(
    x_BTD: Array, scale_D: Array, epsilon: float
) -> tuple[Array, tuple[Array, Array]]:
    return _rms_norm(x_BTD, scale_D, epsilon), (x_BTD, scale_D)


def _rms_norm_backward(
    epsilon: float, residuals: tuple[Array, Array], d_out_BTD: Array
) -> tuple[Array, Array]:
    x_BTD, scale_D = residuals
    normalised_BTD, inverse_root_BT1 = _normalised(x_BTD, epsilon)
    d_out_BTD = d_out_BTD.astype(jnp.float32)
    d_normalised_BTD = d_out_BTD * scale_D
    along_BT1 = jnp.mean(d_normalised_BTD * normalised_BTD, axis=-1, keepdims=True)
    d_x_BTD = inverse_root_BT1 * (d_normalised_BTD - normalised_BTD * along_BT1)
    return d_x_BTD.astype(x_BTD.dtype), jnp.sum(d_out_BTD * normalised_BTD, axis=(0, 1))


_rms_norm.defvjp(_rms_norm_forward, _rms_norm_backward)


def _normalised(x_BTD: Array, epsilon: float) -> tuple[Array, Array]:
    """Divides x by its root mean square; also returns 1 / root mean square; both float32."""
    x_BTD = x_BTD.astype(jnp.float32)
    mean_square_BT1 = jnp.mean(x_BTD * x_BTD, axis=-1, keepdims=True)
    inverse_root_BT1 = jax.lax.rsqrt(mean_square_BT1 + epsilon)
    return x_BTD * inverse_root_BT1, inverse_root_BT1
