# SPDX-License-Identifier: Apache-2.0
"""How large a model is, computed from its settings without allocating it."""

import math
from typing import NamedTuple

import jax
from flax import nnx

from coder.config import ModelConfig
from coder.model.moe import Experts
from coder.model.transformer import Decoder


class Counts(NamedTuple):
    """Numbers of parameters."""

    total: int
    """All of them."""
    active: int
    """Those that a token meets: of the routed experts, as many as see it."""
    active_without_table: int
    """The same without the token table, of which a token meets one row. A tied one is counted: it
    is the output projection."""


def parameter_counts(config: ModelConfig) -> Counts:
    """The parameters of a decoder.

    Raises:
        ValueError: the settings do not fit each other.
    """
    decoder = jax.eval_shape(lambda: Decoder(config, nnx.Rngs(params=0)))
    total = _size(decoder)
    active = total - sum(_unseen(stack.mlp, config) for stack, _ in decoder.stacks())
    table = 0 if config.tie_embeddings else _size(decoder.embedding_VD)
    return Counts(total, active, active - table)


def cache_bytes_per_token(config: ModelConfig, bytes_per_number: int = 2) -> int:
    """What a cache keeps of a token: keys and values of every head, or MLA's latent and rope key.

    Args:
        config: the model.
        bytes_per_number: 2 in bfloat16.
    """
    if config.mla.kv_lora_rank:
        width = config.mla.kv_lora_rank + config.mla.qk_rope_head_dim
    else:
        width = 2 * config.num_kv_heads * config.head_dim
    return config.num_layers * width * bytes_per_number


def _unseen(mlp: nnx.Module, config: ModelConfig) -> int:
    """Parameters of a stack's routed experts that do not see a token."""
    if not isinstance(mlp, Experts):
        return 0
    routed = _size((mlp.gate_EDF, mlp.up_EDF, mlp.down_EFD))
    moe = config.moe
    return routed // moe.num_experts * (moe.num_experts - moe.experts_per_token)


def _size(tree: object) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
