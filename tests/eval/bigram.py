# SPDX-License-Identifier: Apache-2.0
"""A model whose likelihoods are known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from coder.model.transformer import Decoder


class Bigram(Decoder):
    """p(next | token) from a table [V, V], whose rows need not add up to one."""

    def __init__(self, probs_VV: np.ndarray):
        with np.errstate(divide="ignore"):
            self.log_probs_VV = nnx.Param(jnp.asarray(np.log(probs_VV), jnp.float32))

    def __call__(
        self, tokens_BT: jax.Array, positions_BT: jax.Array, segment_ids_BT: jax.Array
    ) -> jax.Array:
        return self.log_probs_VV[...][tokens_BT]
