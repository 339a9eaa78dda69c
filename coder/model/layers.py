# SPDX-License-Identifier: Apache-2.0
"""The parts of a decoder layer that look at one position at a time: weights, RMSNorm, SwiGLU."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from coder.config import ModelConfig
from coder.sharding import spec


def weight(
    rngs: nnx.Rngs, shape: tuple[int, int], axes: tuple[str | None, str | None], std: float
) -> nnx.Param:
    """A normally distributed float32 matrix whose dimensions are the logical `axes`."""
    return nnx.Param(std * jax.random.normal(rngs.params(), shape, out_sharding=spec(*axes)))


class RmsNorm(nnx.Module):
    """x / root mean square(x) * scale (Zhang and Sennrich, 2019), in float32."""

    def __init__(self, config: ModelConfig):
        self.scale_D = nnx.Param(jnp.ones(config.d_model, out_sharding=spec(None)))
        self.epsilon = config.rms_norm_eps

    def __call__(self, x_BTD: Array) -> Array:
        """The normalised activations, in the type of `x_BTD`."""
        x = x_BTD.astype(jnp.float32)
        inverse_root_BT1 = jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + self.epsilon)
        return (x * inverse_root_BT1 * self.scale_D[...]).astype(x_BTD.dtype)


class SwiGlu(nnx.Module):
    """down(silu(gate(x)) * up(x)) (Shazeer, 2020)."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        inward, outward = ("embed", "mlp"), ("mlp", "embed")
        shape = (config.d_model, config.d_ff)
        self.gate_DF = weight(rngs, shape, inward, config.init_std)
        self.up_DF = weight(rngs, shape, inward, config.init_std)
        self.down_FD = weight(rngs, shape[::-1], outward, config.init_std)

    def __call__(self, x_BTD: Array) -> Array:
        """[B, T, D] to [B, T, D]."""
        gate_BTF = project(x_BTD, self.gate_DF, "mlp")
        up_BTF = project(x_BTD, self.up_DF, "mlp")
        return project(jax.nn.silu(gate_BTF) * up_BTF, self.down_FD, None)


def project(x_BTI: Array, weight_IO: nnx.Param, axis: str | None) -> Array:
    """x @ weight in the type of x; the last dimension of the result is the logical `axis`."""
    return jnp.einsum(
        "BTI,IO->BTO",
        x_BTI,
        weight_IO[...].astype(x_BTI.dtype),
        out_sharding=spec("batch", None, axis),
    )
