# SPDX-License-Identifier: Apache-2.0
"""The dense decoder of DeepSeek-Coder v1 (paper, section 3.2), which is Llama's."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from coder.config import ModelConfig
from coder.model.attention import SelfAttention
from coder.model.layers import RmsNorm, SwiGlu, project, weight
from coder.model.rope import Rotation, rotation
from coder.sharding import spec

_CPU_UNROLL = 8
"""Layers that are compiled as straight code on a CPU; more would compile for long."""


class Layer(nnx.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        """Draws the parameters."""
        self.attention_norm = RmsNorm(config)
        self.attention = SelfAttention(config, rngs)
        self.mlp_norm = RmsNorm(config)
        self.mlp = SwiGlu(config, rngs)

    def __call__(
        self, x_BTD: Array, rotation: Rotation, segment_ids_BT: Array
    ) -> tuple[Array, tuple[Array, Array]]:
        """The new activations [B, T, D], and the keys and values [B, K, T, H] for a cache."""
        query, key, value = self.heads(x_BTD, rotation)
        attended = self.attention.attend(query, key, value, segment_ids_BT)
        return self.finish(x_BTD, attended), (key, value)

    def heads(self, x_BTD: Array, rotation: Rotation) -> tuple[Array, Array, Array]:
        """Queries [B, N, T, H], keys and values [B, K, T, H] of the activations."""
        return self.attention.heads(self.attention_norm(x_BTD), rotation)

    def finish(self, x_BTD: Array, attended_BNTH: Array) -> Array:
        """What follows the attention: its output projection and the MLP, with their residuals."""
        x_BTD = x_BTD + self.attention.merge(attended_BNTH)
        return x_BTD + self.mlp(self.mlp_norm(x_BTD))


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
        self.layers = jax.vmap(lambda key: Layer(config, nnx.Rngs(params=key)))(keys_L)
        self.norm = RmsNorm(config)
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
        turn = self.rotation(positions_BT)

        def body(x_BTD: Array, layer: Layer) -> tuple[Array, None]:
            return layer(x_BTD, turn, segment_ids_BT)[0], None

        if self.config.remat:
            body = jax.checkpoint(body)
        # A loop costs little on an accelerator. On a CPU it copies what the backward pass needs.
        unroll = min(self.config.num_layers, _CPU_UNROLL) if jax.default_backend() == "cpu" else 1
        x_BTD, _ = jax.lax.scan(body, self.embed(tokens_BT), self.layers, unroll=unroll)
        return self.norm(x_BTD)

    def embed(self, tokens_BT: Array) -> Array:
        """Rows of the token table, [B, T, D], in the compute type."""
        table_VD = self.embedding_VD[...].astype(compute_dtype(self.config))
        return table_VD.at[tokens_BT].get(out_sharding=spec("batch", None, None))

    def logits(self, hidden_BTD: Array) -> Array:
        """[..., T, V] in float32."""
        output_DV = self.embedding_VD[...].T if self.config.tie_embeddings else self.output_DV[...]
        return project(hidden_BTD, output_DV, "vocab", jnp.dtype("float32"))

    def rotation(self, positions_BT: Array) -> Rotation:
        """RoPE's rotation of every position."""
        return rotation(positions_BT, self.config.head_dim, self.config.rope_theta)


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
    sizes = ("vocab_size", "d_model", "num_layers", "num_heads", "num_kv_heads", "head_dim", "d_ff")
    for name in sizes:
        if getattr(config, name) < 1:
            raise ValueError(f"model.{name}={getattr(config, name)}: must be at least 1")
    if config.num_heads % config.num_kv_heads:
        raise ValueError(
            f"model.num_kv_heads={config.num_kv_heads} does not divide "
            f"model.num_heads={config.num_heads}"
        )
    if config.head_dim % 2:
        raise ValueError(f"model.head_dim={config.head_dim}: must be even, RoPE rotates pairs")


def flops_per_token(config: ModelConfig, sequence_length: int) -> float:
    """Floating-point operations of a training step (forward and backward) per token.

    6 * P + 6 * L * N * H * T, where P is the number of parameters in matrix products, each of
    which takes 2 operations forward and 4 backward (the token table is looked up, not multiplied).
    The second term is the two products of causal attention: a position sees T / 2 others on
    average, each for 4 * N * H operations, three times that with the backward pass. Packed
    documents need less; what remat computes anew is not counted.
    """
    query_width = config.num_heads * config.head_dim
    attention = 2 * config.d_model * (query_width + config.num_kv_heads * config.head_dim)
    mlp = 3 * config.d_model * config.d_ff
    matrices = config.num_layers * (attention + mlp) + config.d_model * config.vocab_size
    return 6.0 * matrices + 6.0 * config.num_layers * query_width * sequence_length
