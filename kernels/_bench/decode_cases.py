# SPDX-License-Identifier: Apache-2.0
"""Decoding, and what it is compared with. Letters of array names as in `kernels.decode`."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array

from kernels import tiles
from kernels._bench import alternatives
from kernels._bench.cases import Case, Contender, Inputs
from kernels._decode.operands import Operands
from kernels.decode import decode


@dataclasses.dataclass(frozen=True)
class Shape:
    """A full cache of one size, in bfloat16 unless said otherwise."""

    batch: int
    heads: int
    kv_heads: int
    places: int
    widths: tuple[int, int, int]
    """H, P and W; with P there are no values of their own."""
    dtype: str = "bfloat16"

    def draw(self, key: Array) -> Inputs:
        """Numbers as of a layer that has been normalised."""
        head_dim, rope, width = self.widths
        shapes: dict[str, tuple[int, ...]] = {
            "q_BNH": (self.batch, self.heads, head_dim),
            "k_BKSH": (self.batch, self.kv_heads, self.places, head_dim),
        }
        if rope:
            shapes["q_rope_BNP"] = (self.batch, self.heads, rope)
            shapes["k_rope_BSP"] = (self.batch, self.places, rope)
        else:
            shapes["v_BKSW"] = (self.batch, self.kv_heads, self.places, width)
        arrays = {
            name: jax.random.normal(one, shape, self.dtype)
            for one, (name, shape) in zip(
                jax.random.split(key, len(shapes)), shapes.items(), strict=True
            )
        }
        return Inputs(Operands(**arrays), jnp.full((self.batch,), self.places, jnp.int32))

    def num_bytes(self) -> float:
        """What has to be read and written."""
        inputs = jax.eval_shape(lambda: self.draw(jax.random.key(0)))
        out = self.batch * self.heads * self.widths[2] * jnp.dtype(self.dtype).itemsize
        return float(sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(inputs)) + out)


def case(name: str, shape: Shape, ours: Sequence[str] | None = None) -> Case:
    """Ours, by default those that serve here, and what can do the same."""
    if ours is None:
        ours = tiles.serving(["decode"], shape.dtype, shape.widths)
    contenders = [Contender(one, by(one), ours=True) for one in ours]
    contenders.append(Contender("xla", by("xla")))
    if not shape.widths[1]:
        contenders.append(Contender("cudnn", _cudnn, arrange=_by_position))
    return Case(
        name=name,
        draw=shape.draw,
        contenders=tuple(contenders),
        expected=_expected,
        part=lambda out_BNW: out_BNW[:1],
        num_bytes=shape.num_bytes(),
    )


def by(name: str) -> Callable[[Operands, Array], Array]:
    """Decoding by an implementation, of operands and the rows' lengths."""

    def function(operands: Operands, length_B: Array) -> Array:
        return decode(
            operands.q_BNH,
            operands.k_BKSH,
            operands.v_BKSW,
            length_B,
            q_rope_BNP=operands.q_rope_BNP,
            k_rope_BSP=operands.k_rope_BSP,
            implementation=name,
        )

    return function


def _cudnn(operands: Operands, length_B: Array) -> Array:
    assert operands.v_BKSW is not None
    return alternatives.cudnn_decode(operands.q_BNH, operands.k_BKSH, operands.v_BKSW, length_B)


def _by_position(inputs: Inputs) -> Inputs:
    """In the layout B, S, K, H."""
    q_BNH, *cached, _, _ = inputs.arrays
    return inputs._replace(arrays=Operands(q_BNH, *(jnp.swapaxes(x, 1, 2) for x in cached)))


def _expected(inputs: Inputs) -> Array:
    """Of the first row."""
    operands, length_B, _ = jax.tree.map(lambda x: x[:1], inputs)
    operands = jax.tree.map(lambda x: x.astype(jnp.float32), operands)
    return by("reference")(operands, length_B)
