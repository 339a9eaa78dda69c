# SPDX-License-Identifier: Apache-2.0
"""DeepSeekMoE (DeepSeek-V2, section 2.2): experts that see every token, and experts that see few.

Tokens are sorted by expert, multiplied by the experts' matrices group by group, and put together
again (`kernels.grouped_matmul`).

Further letters of array names: E routed experts, F inner width of one, K experts of a token, X
tokens of all rows side by side, Y = X * K their choices.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from coder.config import ModelConfig
from coder.model import routing
from coder.model.balance import Balance, losses
from coder.model.dropping import dropped
from coder.model.layers import SwiGlu, gated, weight
from coder.sharding import RULES, spec
from kernels.grouped_matmul import grouped_matmul


class Matrices(NamedTuple):
    """The SwiGLUs of all experts."""

    gate_EDF: Array
    up_EDF: Array
    down_EFD: Array


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
    ) -> tuple[Array, Balance]:
        """[B, T, D] to [B, T, D], and how the experts are loaded.

        Args:
            x_BTD: activations.
            segment_ids_BT: 0 where a position is padding, which neither loads nor counts.
            droppable_B: rows whose tokens may be dropped; None: no token is.
        """
        moe = self.settings
        affinities_BTE = routing.affinities(x_BTD, self.router_DE[...])
        choice = routing.choose(affinities_BTE, moe)
        loss_B, counts_BE = losses(affinities_BTE, choice.experts_BTK, segment_ids_BT, moe)
        weights_BTK = routing.weights(choice.affinities_BTK, moe)
        skipped_BTK = jnp.broadcast_to(segment_ids_BT[..., None] == 0, choice.experts_BTK.shape)
        num_dropped = jnp.float32(0.0)
        if droppable_B is not None and moe.capacity_factor:
            dropped_BTK = dropped(choice, segment_ids_BT, droppable_B, moe)
            skipped_BTK |= dropped_BTK
            num_dropped = jnp.sum(dropped_BTK, dtype=jnp.float32)
        experts_BTK = jnp.where(skipped_BTK, moe.num_experts, choice.experts_BTK)
        matrices = Matrices(self.gate_EDF[...], self.up_EDF[...], self.down_EFD[...])
        out_BTD = routed(x_BTD, experts_BTK, weights_BTK, matrices)
        if moe.num_shared_experts:
            out_BTD = out_BTD + self.shared(x_BTD)
        return out_BTD, Balance(loss_B, jnp.sum(counts_BE, axis=0), num_dropped)


def routed(x_BTD: Array, experts_BTK: Array, weights_BTK: Array, matrices: Matrices) -> Array:
    """Each token's sum of its experts' outputs times their weights, [B, T, D].

    On a mesh every device computes, for the tokens of all devices along its expert axis, what the
    experts add that it holds; the sums go back to the tokens' devices.

    Args:
        x_BTD: activations.
        experts_BTK: numbers of each token's experts; E: none, which costs and adds nothing.
        weights_BTK: their factors, float32.
        matrices: of the experts.
    """
    if jax.sharding.get_abstract_mesh().empty:
        return _routed_here(x_BTD, experts_BTK, weights_BTK, matrices)
    tokens = spec("batch")
    inward, outward = spec("expert", None, "mlp"), spec("expert", "mlp")
    places = Matrices._make((inward, inward, outward))
    # What fsdp splits is put together here, so that its gradient is summed and split again.
    matrices = Matrices._make(map(jax.reshard, matrices, places))
    return jax.shard_map(
        _routed_on_mesh,
        in_specs=(tokens, tokens, tokens, places),
        out_specs=tokens,
        check_vma=False,
    )(x_BTD, experts_BTK, weights_BTK, matrices)


def _routed_on_mesh(
    x_BTD: Array, experts_BTK: Array, weights_BTK: Array, matrices: Matrices
) -> Array:
    """`routed` as one device runs it, on its part of the tokens, the experts and F."""
    axis = RULES["expert"]
    x_BTD, experts_BTK, weights_BTK = (
        jax.lax.all_gather(part, axis, tiled=True) for part in (x_BTD, experts_BTK, weights_BTK)
    )
    num_here = len(matrices.gate_EDF)
    experts_BTK -= num_here * jax.lax.axis_index(axis)
    is_here_BTK = (experts_BTK >= 0) & (experts_BTK < num_here)
    experts_BTK = jnp.where(is_here_BTK, experts_BTK, num_here)
    out_BTD = _routed_here(x_BTD, experts_BTK, weights_BTK, matrices)
    return jax.lax.psum_scatter(jax.lax.psum(out_BTD, RULES["mlp"]), axis, tiled=True)


def _routed_here(x_BTD: Array, experts_BTK: Array, weights_BTK: Array, matrices: Matrices) -> Array:
    """`routed` on one device."""
    gate_EDF, up_EDF, down_EFD = matrices
    order = _sort(experts_BTK, len(gate_EDF))
    x_YD = _spread(x_BTD.reshape(-1, x_BTD.shape[-1]), order)
    gate_YF, up_YF = (grouped_matmul(x_YD, w, order.sizes_E) for w in (gate_EDF, up_EDF))
    out_YD = grouped_matmul(gated(gate_YF, up_YF), down_EFD, order.sizes_E)
    weights_Y1 = weights_BTK.reshape(-1, 1)[order.choice_Y]
    out_XD = _gather((out_YD * weights_Y1).astype(x_BTD.dtype), order)
    return out_XD.reshape(x_BTD.shape)


class _Order(NamedTuple):
    """The choices of all tokens sorted by expert, those of no expert last."""

    choice_Y: Array
    """Number of the choice at each place."""
    place_XK: Array
    """Place of each choice."""
    sizes_E: Array
    """Choices of each expert."""


def _sort(experts_BTK: Array, num_experts: int) -> _Order:
    experts_Y = experts_BTK.reshape(-1)
    choice_Y = jnp.argsort(experts_Y, stable=True)
    place_XK = jnp.argsort(choice_Y).reshape(-1, experts_BTK.shape[-1])
    sizes_E = jnp.sum(experts_Y[:, None] == jnp.arange(num_experts), axis=0, dtype=jnp.int32)
    return _Order(choice_Y, place_XK, sizes_E)


# Each of the two is the other's derivative. What is derived from them automatically would scatter,
# which is slow on a CPU and takes its sums in no fixed order on a GPU.
@jax.custom_vjp
def _spread(x_XD: Array, order: _Order) -> Array:
    """Each token at the places of its choices, [Y, D]."""
    return x_XD[order.choice_Y // order.place_XK.shape[1]]


@jax.custom_vjp
def _gather(out_YD: Array, order: _Order) -> Array:
    """Each token's sum over its choices' places, [X, D]."""
    return jnp.sum(out_YD[order.place_XK], axis=1)


_spread.defvjp(
    lambda x_XD, order: (_spread(x_XD, order), order),
    lambda order, d_x_YD: (_gather(d_x_YD, order), None),
)
_gather.defvjp(
    lambda out_YD, order: (_gather(out_YD, order), order),
    lambda order, d_out_XD: (_spread(d_out_XD, order), None),
)


def check(config: ModelConfig) -> None:
    """Raises ValueError, which names the setting, where the experts cannot be built."""
    moe = config.moe
    if moe.num_experts == 0:
        return
    least = {
        **dict.fromkeys(("num_experts", "d_expert", "experts_per_token"), 1),
        **dict.fromkeys(("num_groups", "groups_per_token"), 1),
        **dict.fromkeys(("num_shared_experts", "first_dense_layers"), 0),
        **dict.fromkeys(("expert_balance", "device_balance", "communication_balance"), 0),
        **dict.fromkeys(("capacity_factor", "exempt_share"), 0),
    }
    for name, value in least.items():
        if not getattr(moe, name) >= value:
            raise ValueError(f"model.moe.{name}={getattr(moe, name)}: must be at least {value}")
    if moe.first_dense_layers >= config.num_layers:
        raise ValueError(
            f"model.moe.first_dense_layers={moe.first_dense_layers} leaves no layer with experts "
            f"of model.num_layers={config.num_layers}"
        )
    if moe.num_experts % moe.num_groups:
        raise ValueError(
            f"model.moe.num_groups={moe.num_groups} does not divide "
            f"model.moe.num_experts={moe.num_experts}"
        )
    if moe.groups_per_token > moe.num_groups:
        raise ValueError(
            f"model.moe.groups_per_token={moe.groups_per_token} is more than "
            f"model.moe.num_groups={moe.num_groups}"
        )
    if moe.experts_per_token > (allowed := routing.num_candidates(moe)):
        raise ValueError(
            f"model.moe.experts_per_token={moe.experts_per_token} is more than the {allowed} "
            f"experts that model.moe.routing={moe.routing!r} lets a token choose from"
        )
    if moe.routing == "greedy" and moe.communication_balance:
        raise ValueError(
            f"model.moe.communication_balance={moe.communication_balance} needs "
            "model.moe.routing='group_limited_greedy': greedy routing limits no token's groups"
        )
    if moe.exempt_share > 1:
        raise ValueError(f"model.moe.exempt_share={moe.exempt_share}: must be at most 1")
