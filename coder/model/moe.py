# SPDX-License-Identifier: Apache-2.0
"""DeepSeekMoE (DeepSeek-V2, section 2.2): experts that see every token, and experts that see few.

Further letters of array names: E routed experts, F inner width of one.
"""

import jax
from flax import nnx
from jax import Array

from coder.config import ModelConfig
from coder.model.layers import SwiGlu, weight
from coder.sharding import spec


class Experts(nnx.Module):
    """The MLP of a layer with experts."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        """Draws the router and all experts."""
        moe, d_model, std = config.moe, config.d_model, config.init_std
        self.settings = moe

        def stacked(inner: tuple[int, int], axes: tuple[str, str]) -> nnx.Param:
            shape, place = (moe.num_experts, *inner), spec("expert", *axes)
            return nnx.Param(std * jax.random.normal(rngs.params(), shape, out_sharding=place))

        self.router_DE = weight(rngs, (d_model, moe.num_experts), (None, None), std)
        self.gate_EDF = stacked((d_model, moe.d_expert), ("embed", "mlp"))
        self.up_EDF = stacked((d_model, moe.d_expert), ("embed", "mlp"))
        self.down_EFD = stacked((moe.d_expert, d_model), ("mlp", "embed"))
        if moe.num_shared_experts:
            self.shared = SwiGlu(config, moe.num_shared_experts * moe.d_expert, rngs)

    def __call__(
        self, x_BTD: Array, segment_ids_BT: Array, droppable_B: Array | None
    ) -> tuple[Array, Array]:
        """[B, T, D] to [B, T, D], and the balance losses of the layer, a float32 scalar.

        Args:
            x_BTD: activations.
            segment_ids_BT: 0 where a position is padding, which neither loads nor counts.
            droppable_B: rows whose tokens may be dropped; None: no token is.
        """
        raise NotImplementedError
