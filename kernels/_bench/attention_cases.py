# SPDX-License-Identifier: Apache-2.0
"""Attention, and what it is compared with. Letters of array names as in `kernels.attention`."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from kernels import tiles
from kernels._attention import reference
from kernels._attention.choice import OPERATIONS
from kernels._attention.operands import Operands
from kernels._bench import alternatives
from kernels._bench.cases import CUBLAS, Case, Contender, Inputs
from kernels.attention import attention


@dataclasses.dataclass(frozen=True)
class Shape:
    """Attention of one size, in bfloat16 unless said otherwise."""

    batch: int
    heads: int
    kv_heads: int
    length: int
    widths: tuple[int, int, int] = (128, 0, 128)
    """H, P and W."""
    documents: int = 0
    """Their mean length, where rows are packed; else every row is one."""
    dtype: str = "bfloat16"

    def draw(self, key: Array) -> Inputs:
        """Numbers as of a layer that has been normalised."""
        head_dim, rope, width = self.widths
        shapes: dict[str, tuple[int, ...]] = {
            "q_BNTH": (self.batch, self.heads, self.length, head_dim),
            "k_BKTH": (self.batch, self.kv_heads, self.length, head_dim),
            "v_BKTW": (self.batch, self.kv_heads, self.length, width),
        }
        if rope:
            shapes["q_rope_BNTP"] = (self.batch, self.heads, self.length, rope)
            shapes["k_rope_BTP"] = (self.batch, self.length, rope)
        *keys, last = jax.random.split(key, len(shapes) + 1)
        arrays = {
            name: jax.random.normal(one, shape, self.dtype)
            for one, (name, shape) in zip(keys, shapes.items(), strict=True)
        }
        out_shape = (self.batch, self.heads, self.length, width)
        d_out = jax.random.normal(last, out_shape, self.dtype)
        segments = jnp.asarray(self.segments()) if self.documents else None
        return Inputs(Operands(**arrays), segments, d_out)

    def segments(self) -> np.ndarray:
        """Documents of log-normal lengths, the same at every run, [B, T]."""
        rng = np.random.default_rng(0)
        # Of spread 1: the mean of a log-normal is exp(mu + 1 / 2).
        lengths = rng.lognormal(np.log(self.documents) - 0.5, 1.0, (self.batch, self.length))
        ends = np.cumsum(np.maximum(lengths, 1).astype(np.int64), axis=1)
        return np.stack(
            [np.searchsorted(row, np.arange(self.length), side="right") + 1 for row in ends]
        ).astype(np.int32)

    def flops(self, backward: bool, pairs: float) -> float:
        """Of `pairs` of positions a head: two products forward, five backward."""
        head_dim, rope, width = self.widths
        key = head_dim + rope
        return 2.0 * self.heads * pairs * (3 * key + 2 * width if backward else key + width)

    def dense_pairs(self) -> float:
        """Half of all, as is the custom for causal attention."""
        return self.batch * self.length**2 / 2

    def visible_pairs(self) -> float:
        """Those within documents, counted the same way."""
        counts = (np.unique(row, return_counts=True)[1] for row in self.segments())
        return sum(float(np.sum(count.astype(np.float64) ** 2)) / 2 for count in counts)


def case(
    name: str,
    shape: Shape,
    backward: bool = False,
    ours: Sequence[str] | None = None,
    with_xla: bool = True,
) -> Case:
    """Ours, by default those that serve here, and what can do the same."""
    if ours is None:
        ours = tiles.serving(OPERATIONS, shape.dtype, shape.widths)
    pairs = shape.visible_pairs() if shape.documents else shape.dense_pairs()
    return Case(
        name=f"{name}_{'backward' if backward else 'forward'}",
        draw=shape.draw,
        contenders=tuple(_contenders(shape, ours, with_xla)),
        expected=lambda inputs: _expected(inputs, shape, backward),
        part=lambda results: _part(results, shape, backward),
        flops=shape.flops(backward, pairs),
        dense_flops=shape.flops(backward, shape.dense_pairs()) if shape.documents else 0.0,
        backward=backward,
    )


def _contenders(shape: Shape, ours: Sequence[str], with_xla: bool) -> list[Contender]:
    found = [Contender(name, _ours(name), ours=True) for name in ours]
    if shape.documents:
        found += [
            Contender(f"{name} dense", _ours(name, dense=True), ours=True, is_compared=False)
            for name in ours
        ]
    if with_xla:
        found.append(Contender("xla", _ours("xla"), compiler_options=CUBLAS))

    def theirs(name: str, function: Callable[..., Array]) -> Contender:
        return Contender(name, _unpacked(function), arrange=_by_position, restore=_apart(shape))

    if alternatives.HAS_TOKAMAX and not shape.documents:
        found.append(theirs("tokamax", alternatives.tokamax))
    if not shape.widths[1] and not shape.documents:
        return [*found, theirs("cudnn", alternatives.cudnn)]
    segments = shape.segments() if shape.documents else None
    return [*found, theirs("cudnn", partial(alternatives.cudnn_general, segments_BT=segments))]


def _ours(name: str, dense: bool = False) -> Any:
    def function(operands: Operands, segment_ids: Array | None) -> Array:
        return attention(
            operands.q_BNTH,
            operands.k_BKTH,
            operands.v_BKTW,
            q_rope_BNTP=operands.q_rope_BNTP,
            k_rope_BTP=operands.k_rope_BTP,
            segment_ids=None if dense else segment_ids,
            implementation=name,
        )

    return function


def _unpacked(function: Callable[..., Array]) -> Any:
    return lambda operands, _: function(*operands[:3])


def _by_position(inputs: Inputs) -> Inputs:
    """In the layout B, T, N, H, rotated columns beside the others."""
    turned = jax.tree.map(
        lambda x_BNTH: jnp.swapaxes(x_BNTH, 1, 2), (inputs.arrays.joined(), inputs.d_out)
    )
    return Inputs(turned[0], None, turned[1])


def _apart(shape: Shape) -> Any:
    """A result, or gradients, as the case has them."""
    head_dim, rope, _ = shape.widths

    def restore(results: Operands | Array) -> Operands | Array:
        results = jax.tree.map(lambda x_BTNH: jnp.swapaxes(x_BTNH, 1, 2), results)
        if not rope or not isinstance(results, Operands):
            return results
        d_q, d_k, d_v, *_ = results
        d_k_rope = jnp.sum(d_k[..., head_dim:].astype(jnp.float32), axis=1)
        return Operands(
            d_q[..., :head_dim], d_k[..., :head_dim], d_v, d_q[..., head_dim:], d_k_rope
        )

    return restore


def _expected(inputs: Inputs, shape: Shape, backward: bool) -> Any:
    operands, segment_ids, d_out_BNTW = inputs
    part = jax.tree.map(lambda x: x.astype(jnp.float32), _part_of(operands, shape))
    segments = None if segment_ids is None else segment_ids[:1]
    head_dim, rope, _ = shape.widths

    def function(part: Operands) -> Array:
        return reference.attention(part, segments, (head_dim + rope) ** -0.5)[0]

    if not backward:
        return function(part)
    d_part = d_out_BNTW[:1, : part.q_BNTH.shape[1]].astype(jnp.float32)
    return jax.vjp(function, part)[1](d_part)[0]


def _part(results: Any, shape: Shape, backward: bool) -> Any:
    """Of an output or of gradients, what depends on the part of the operands alone."""
    if backward:
        return _part_of(results, shape)
    return results[:1] if shape.widths[1] else results[:1, : shape.heads // shape.kv_heads]


def _part_of(operands: Operands, shape: Shape) -> Operands:
    """The first row; its first key head, or all heads where they share rotated keys."""
    if shape.widths[1]:
        return jax.tree.map(lambda x: x[:1], operands)
    heads = {"q_BNTH": shape.heads // shape.kv_heads, "k_BKTH": 1, "v_BKTW": 1}
    given = {name: x for name, x in operands._asdict().items() if x is not None}
    return operands._replace(**{name: x[:1, : heads[name]] for name, x in given.items()})
