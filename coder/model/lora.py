# SPDX-License-Identifier: Apache-2.0
"""Low-rank adapters (LoRA; Hu et al., 2021): few parameters beside matrices that stay as they are.

    adapted = add_adapters(decoder, rank=8, alpha=16.0, targets=["query_DQ", "value_DK"], seed=0)
    graph, adapters, frozen = nnx.split(adapted, nnx.LoRAParam, ...)

`adapters` is all that an optimizer is to see; `nnx.merge(graph, adapters, frozen)` is the model
again. `coder.huggingface.adapters` reads and writes them as PEFT does.

Further letter of array names: R rank.
"""

import difflib
import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from coder.model.attention import SelfAttention
from coder.model.layers import SwiGlu, project
from coder.model.mla import LatentAttention
from coder.model.transformer import Decoder
from coder.sharding import spec_of


class LowRank(nnx.Module):
    """What is added to a matrix: down @ up * scale. Its parameters are `nnx.LoRAParam`.

    Beside the matrices of a stack of layers its arrays have the layers first, as theirs do.
    """

    def __init__(self, down_IR: Array, up_RO: Array, alpha: float, rank_stabilised: bool = False):
        """Takes the two factors.

        Args:
            down_IR: PEFT's lora_A, transposed.
            up_RO: PEFT's lora_B, transposed.
            alpha: the scale is alpha / R.
            rank_stabilised: it is alpha / sqrt(R) instead (Kalajdzievski, 2023).
        """
        self.down_IR = nnx.LoRAParam(down_IR)
        self.up_RO = nnx.LoRAParam(up_RO)
        self.alpha = alpha
        self.rank_stabilised = rank_stabilised

    def __call__(self, x_BTI: Array, axis: str | None) -> Array:
        """What is added to the matrix's product; `axis` is the logical axis of O."""
        x_BTR = project(x_BTI, self.down_IR[...], None)
        return self.scale * project(x_BTR, self.up_RO[...], axis)

    def added_to(self, weight_IO: Array) -> Array:
        """The matrix that does by itself what both do together, float32."""
        # Above a GPU's default precision: this is computed once, and the rounding would stay.
        product_IO = jnp.matmul(
            self.down_IR[...].astype(jnp.float32),
            self.up_RO[...].astype(jnp.float32),
            precision="highest",
        )
        return weight_IO.astype(jnp.float32) + self.scale * product_IO

    @property
    def rank(self) -> int:
        """R."""
        return self.up_RO.shape[-2]

    @property
    def scale(self) -> float:
        """Factor of the product."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)


def add_adapters(
    decoder: Decoder, rank: int, alpha: float, targets: Sequence[str], seed: int
) -> Decoder:
    """The decoder with new adapters, which change nothing before they are trained.

    Args:
        decoder: stays as it is; its parameters are shared.
        rank: R of every adapter.
        alpha: the product of an adapter is scaled by alpha / rank.
        targets: names of matrices, such as "query_DQ"; wherever the layers have them.
        seed: of the factors that begin at random.

    Raises:
        ValueError: the rank is not positive, or no layer has a matrix of that name.
    """
    if rank < 1:
        raise ValueError(f"rank={rank}: must be at least 1")
    found = matrices(decoder)
    names = {path.rpartition("/")[2] for path in found}
    for target in targets:
        if target not in names:
            raise ValueError(f"no matrix {target!r} {_among(target, sorted(names))}")
    paths = [path for path in found if path.rpartition("/")[2] in targets]
    keys = jax.random.split(jax.random.key(seed), len(paths))
    return with_adapters(
        decoder,
        {
            path: _drawn(key, found[path], rank, alpha)
            for path, key in zip(paths, keys, strict=True)
        },
    )


def with_adapters(decoder: Decoder, adapters: Mapping[str, LowRank]) -> Decoder:
    """The decoder, whose parameters are shared, with adapters beside the matrices at these paths.

    Raises:
        ValueError: there is no matrix at a path that an adapter can be beside.
    """
    found = _copied(decoder)
    owners = _owners(found)
    for path, adapter in adapters.items():
        if path not in owners:
            raise ValueError(f"no matrix {path!r} {_among(path, list(owners))}")
        module, name = owners[path]
        setattr(module, f"{name}_adapter", adapter)
    return found


def adapters_of(decoder: Decoder) -> dict[str, LowRank]:
    """The adapters by the paths of the matrices that they are beside."""
    beside = {
        path: getattr(module, f"{name}_adapter", None)
        for path, (module, name) in _owners(decoder).items()
    }
    return {path: adapter for path, adapter in beside.items() if adapter is not None}


def merged(decoder: Decoder) -> Decoder:
    """A decoder without adapters that computes the same; each matrix keeps its type."""
    found = _copied(decoder)
    for module, name in _owners(found).values():
        adapter = getattr(module, f"{name}_adapter", None)
        if adapter is not None:
            setattr(module, name, nnx.Param(_merged_stack(getattr(module, name)[...], adapter)))
            delattr(module, f"{name}_adapter")
    return found


def merged_layer(weight_IO: Array, adapter: LowRank, layer: Array | int) -> Array:
    """The matrix of one layer with a stack's adapter added in, float32."""
    return jax.tree.map(lambda x: x[layer], adapter).added_to(weight_IO)


def matrices(decoder: Decoder) -> dict[str, Array]:
    """The stacked matrices [L, I, O] that adapters can be beside: "layers/attention/query_DQ"."""
    return {path: getattr(module, name)[...] for path, (module, name) in _owners(decoder).items()}


def _owners(decoder: Decoder) -> dict[str, tuple[nnx.Module, str]]:
    """The modules that have these matrices, and the attributes that they are."""
    return {
        "/".join(map(str, (*path, name))): (module, name)
        for path, module in nnx.iter_modules(decoder)
        if isinstance(module, (SelfAttention, LatentAttention, SwiGlu))
        for name, value in vars(module).items()
        if isinstance(value, nnx.Param)
    }


def _copied(decoder: Decoder) -> Decoder:
    """New modules around the same arrays."""
    return jax.tree.map(lambda x: x, decoder)


def _drawn(key: Array, weight_LIO: Array, rank: int, alpha: float) -> LowRank:
    """A new adapter, which lies on the devices as the matrices beside it: `up` is zero."""
    layers, inputs, outputs = weight_LIO.shape
    place = spec_of(weight_LIO)
    down_place, up_place = (
        (None, None)
        if place is None
        else (jax.P(place[0], place[1], None), jax.P(place[0], None, place[2]))
    )
    # PEFT's distribution: that of torch's Linear.
    bound = inputs**-0.5
    down_LIR = jax.random.uniform(
        key, (layers, inputs, rank), minval=-bound, maxval=bound, out_sharding=down_place
    )
    return LowRank(down_LIR, jnp.zeros((layers, rank, outputs), out_sharding=up_place), alpha)


@jax.jit
def _merged_stack(weight_LIO: Array, adapter: LowRank) -> Array:
    """Layer by layer, so that a single one is in float32 at a time."""

    def merge(numbered: tuple[Array, Array]) -> Array:
        layer, weight_IO = numbered
        return merged_layer(weight_IO, adapter, layer).astype(weight_IO.dtype)

    return jax.lax.map(merge, (jnp.arange(len(weight_LIO)), weight_LIO))


def _among(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"among {', '.join(names)}" + (f"; did you mean {near[0]}?" if near else "")
