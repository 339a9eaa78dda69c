# SPDX-License-Identifier: Apache-2.0
"""The decoder of every DeepSeek-Coder: v1's is Llama's, V2's has latent attention and experts.

One block, whose parts the settings choose.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from coder.config import ModelConfig
from coder.model import attention, mla, moe, rope
from coder.model.attention import SelfAttention
from coder.model.balance import Balance
from coder.model.layers import RmsNorm, SwiGlu, project, weight
from coder.model.mla import AbsorbedAttention, LatentAttention
from coder.model.moe import Experts
from coder.model.rope import Rotation
from coder.sharding import spec
from kernels.target import architecture

_CPU_UNROLL = 8
"""Layers that are compiled as straight code on a CPU; more would compile for long."""


Kept = Any
"""What an attention keeps of a layer's positions: arrays [B, ..., T, width]."""


class Layer(nnx.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: ModelConfig, sparse: bool, rngs: nnx.Rngs):
        """Draws the parameters; `sparse`: with experts."""
        self.attention_norm = RmsNorm(config.d_model, config.rms_norm_eps)
        self.attention: SelfAttention | LatentAttention | AbsorbedAttention = (
            LatentAttention if config.mla.kv_lora_rank else SelfAttention
        )(config, rngs)
        self.mlp_norm = RmsNorm(config.d_model, config.rms_norm_eps)
        self.mlp = Experts(config, rngs) if sparse else SwiGlu(config, config.d_ff, rngs)

    def __call__(
        self,
        x_BTD: Array,
        rotation: Rotation,
        segment_ids_BT: Array,
        droppable_B: Array | None = None,
    ) -> tuple[Array, Kept, Balance | None]:
        """New activations [B, T, D], what a cache keeps of T positions, and the experts' load."""
        query, kept = self.heads(x_BTD, rotation)
        attended_BTQ = self.attention.attend(query, kept, segment_ids_BT)
        x_BTD, balance = self.finish(x_BTD, attended_BTQ, segment_ids_BT, droppable_B)
        return x_BTD, kept, balance

    def heads(self, x_BTD: Array, rotation: Rotation) -> tuple[Any, Kept]:
        """Queries of the activations, and what is kept of them for later positions."""
        return self.attention.heads(self.attention_norm(x_BTD), rotation)

    def finish(
        self,
        x_BTD: Array,
        attended_BTQ: Array,
        segment_ids_BT: Array,
        droppable_B: Array | None = None,
    ) -> tuple[Array, Balance | None]:
        """What follows the attention, [B, T, D], and how the experts are loaded if there are."""
        x_BTD = x_BTD + self.attention.merge(attended_BTQ)
        normalised_BTD = self.mlp_norm(x_BTD)
        if isinstance(self.mlp, SwiGlu):
            return x_BTD + self.mlp(normalised_BTD), None
        added_BTD, balance = self.mlp(normalised_BTD, segment_ids_BT, droppable_B)
        return x_BTD + added_BTD, balance


class Decoder(nnx.Module):
    """A language model: tokens to logits."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        """Draws the parameters, float32.

        Raises:
            ValueError: the settings do not fit each other.
        """
        check(config)
        self.config = config
        vocab_size, d_model, std = config.vocab_size, config.d_model, config.init_std
        self.embedding_VD = weight(rngs, (vocab_size, d_model), ("vocab", None), std)
        keys_L = jax.random.split(rngs.params(), config.num_layers)
        num_dense = config.moe.first_dense_layers if config.moe.num_experts else 0

        def draw(keys_L: Array, sparse: bool) -> Layer:
            return jax.vmap(lambda key: Layer(config, sparse, nnx.Rngs(params=key)))(keys_L)

        if num_dense:
            self.first_layers = draw(keys_L[:num_dense], False)
        self.layers = draw(keys_L[num_dense:], config.moe.num_experts > 0)
        self.norm = RmsNorm(config.d_model, config.rms_norm_eps)
        if not config.tie_embeddings:
            self.output_DV = weight(rngs, (d_model, vocab_size), (None, "vocab"), std)

    def __call__(self, tokens_BT: Array, positions_BT: Array, segment_ids_BT: Array) -> Array:
        """Logits [B, T, V] in float32 of the token after each position.

        Args:
            tokens_BT: token numbers.
            positions_BT: position of each token in its document, for RoPE.
            segment_ids_BT: number of each token's document in the row; 0 is padding.
        """
        return self.logits(self.hidden(tokens_BT, positions_BT, segment_ids_BT))

    def hidden(self, tokens_BT: Array, positions_BT: Array, segment_ids_BT: Array) -> Array:
        """The normalised activations [B, T, D], which `logits` reads."""
        return self.hidden_and_balance(tokens_BT, positions_BT, segment_ids_BT)[0]

    def hidden_and_balance(
        self,
        tokens_BT: Array,
        positions_BT: Array,
        segment_ids_BT: Array,
        droppable_B: Array | None = None,
    ) -> tuple[Array, Balance | None]:
        """`hidden`, and how the experts are loaded, by layer: arrays [L, ...], None without any.

        Args:
            tokens_BT: as for `__call__`, like the next two.
            positions_BT: positions.
            segment_ids_BT: segments.
            droppable_B: rows whose tokens experts may drop, in training; None: no token is.
        """
        turn = self.rotation(positions_BT)

        def body(x_BTD: Array, layer: Layer) -> tuple[Array, Balance | None]:
            x_BTD, _, balance = layer(x_BTD, turn, segment_ids_BT, droppable_B)
            return x_BTD, balance

        if self.config.remat:
            body = jax.checkpoint(body)
        x_BTD, balance = self.embed(tokens_BT), None
        for stack, count in self.stacks():
            # A loop costs little on an accelerator; on a CPU it copies what the gradient needs.
            unroll = min(count, _CPU_UNROLL) if architecture() == "cpu" else 1
            x_BTD, balance = jax.lax.scan(body, x_BTD, stack, unroll=unroll)
        return self.norm(x_BTD), balance

    def stacks(self) -> list[tuple[Layer, int]]:
        """The layers in order as modules whose arrays have L layers first, each with its L."""
        num_dense = self.config.moe.first_dense_layers if self.config.moe.num_experts else 0
        first = [(self.first_layers, num_dense)] if num_dense else []
        return [*first, (self.layers, self.config.num_layers - num_dense)]

    def embed(self, tokens_BT: Array) -> Array:
        """Rows of the token table, [B, T, D], in the compute type."""
        table_VD = self.embedding_VD[...].astype(compute_dtype(self.config))
        return table_VD.at[tokens_BT].get(out_sharding=spec("batch", None, None))

    def logits(self, hidden_BTD: Array) -> Array:
        """[..., T, V] in float32."""
        if not self.config.tie_embeddings:
            return project(hidden_BTD, self.output_DV[...], "vocab", jnp.dtype("float32"))
        # Of its rows, because XLA transposes the table for a single position if it is told to.
        return jnp.einsum(
            "BTD,VD->BTV",
            hidden_BTD,
            self.embedding_VD[...].astype(hidden_BTD.dtype),
            preferred_element_type=jnp.float32,
            out_sharding=spec("batch", None, "vocab"),
        )

    def rotation(self, positions_BT: Array) -> Rotation:
        """RoPE's rotation of every position."""
        return rope.rotation(positions_BT, self.config)


def init_decoder(config: ModelConfig, seed: int) -> Decoder:
    """A decoder with random parameters, made in place on the devices of the current mesh."""
    check(config)
    return jax.jit(lambda: Decoder(config, nnx.Rngs(params=seed)))()


def compute_dtype(config: ModelConfig) -> jnp.dtype:
    """The type of the activations and of the operands of matrix products."""
    if config.compute_dtype == "auto":
        return jnp.dtype("bfloat16" if jax.default_backend() == "gpu" else "float32")
    return jnp.dtype(config.compute_dtype)


def check(config: ModelConfig) -> None:
    """Raises ValueError, which names the setting, where the model cannot be built."""
    for name in ("vocab_size", "d_model", "num_layers", "num_heads", "d_ff"):
        if getattr(config, name) < 1:
            raise ValueError(f"model.{name}={getattr(config, name)}: must be at least 1")
    (mla if config.mla.kv_lora_rank else attention).check(config)
    rope.check(config)
    moe.check(config)


def flops_per_token(config: ModelConfig, sequence_length: int) -> float:
    """Floating-point operations of a training step (forward and backward) per token.

    6 * P + 6 * L * N * H * T, where P is the number of parameters in matrix products, each of
    which takes 2 operations forward and 4 backward (the token table is looked up, not multiplied;
    of the routed experts a token's own count). The second term is the two products of causal
    attention: a position sees T / 2 others on average, each for 4 * N * H operations, three times
    that with the backward pass; with MLA, H is the mean of a key's and a value's width. Packed
    documents need less; what remat computes anew is not counted.
    """
    decoder = jax.eval_shape(lambda: Decoder(config, nnx.Rngs(params=0)))
    of_layers = [leaf for stack, _ in decoder.stacks() for leaf in jax.tree.leaves(stack)]
    matrices = config.d_model * config.vocab_size + sum(x.size for x in of_layers if x.ndim == 3)
    if config.moe.num_experts:
        experts = sum(leaf.size for leaf in of_layers if leaf.ndim == 4)
        matrices += experts // config.moe.num_experts * config.moe.experts_per_token
    head_dim = config.head_dim
    if config.mla.kv_lora_rank:
        shape = config.mla
        head_dim = (shape.qk_nope_head_dim + shape.qk_rope_head_dim + shape.v_head_dim) / 2
    scores = config.num_layers * config.num_heads * head_dim * sequence_length
    return 6.0 * (matrices + scores)
