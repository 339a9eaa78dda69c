# SPDX-License-Identifier: Apache-2.0
"""Grouped products, and what they are compared with. Letters as in `kernels.grouped_matmul`."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from kernels import tiles
from kernels._bench import alternatives
from kernels._bench.cases import Case, Contender, Inputs
from kernels._grouped_matmul.choice import OPERATIONS
from kernels.grouped_matmul import grouped_matmul


class Factors(NamedTuple):
    """What is multiplied."""

    x_TI: Array
    weight_EIO: Array


@dataclasses.dataclass(frozen=True)
class Shape:
    """Rows of unevenly loaded experts, in bfloat16 unless said otherwise."""

    rows: int
    groups: int
    width: int
    out_width: int
    dtype: str = "bfloat16"

    def draw(self, key: Array) -> Inputs:
        """Rows as of a layer that has been normalised, matrices that keep their scale."""
        keys = jax.random.split(key, 3)
        weight = jax.random.normal(
            keys[1], (self.groups, self.width, self.out_width), self.dtype
        ) * jnp.asarray(self.width**-0.5, self.dtype)
        factors = Factors(jax.random.normal(keys[0], (self.rows, self.width), self.dtype), weight)
        d_out = jax.random.normal(keys[2], (self.rows, self.out_width), self.dtype)
        return Inputs(factors, jnp.asarray(self.sizes()), d_out)

    def sizes(self) -> np.ndarray:
        """The same at every run; the largest is some three times the mean, and one is empty."""
        rng = np.random.default_rng(0)
        shares = rng.lognormal(0.0, 0.5, self.groups)
        shares[self.groups // 2] = 0.0
        return rng.multinomial(self.rows, shares / shares.sum()).astype(np.int32)


def case(
    name: str,
    shape: Shape,
    backward: bool = False,
    ours: Sequence[str] | None = None,
    with_xla: bool = True,
) -> Case:
    """Ours, by default those that serve here, and what can do the same."""
    if ours is None:
        ours = tiles.serving(OPERATIONS, shape.dtype)
    contenders = [Contender(one, _ours(one), ours=True) for one in ours]
    if with_xla:
        contenders.append(Contender("xla", _ours("xla")))
    if alternatives.HAS_TOKAMAX:
        contenders.append(Contender("tokamax", _tokamax))
    passes = 2 if backward else 1
    return Case(
        name=f"{name}_{'backward' if backward else 'forward'}",
        draw=shape.draw,
        contenders=tuple(contenders),
        expected=lambda inputs: _expected(inputs, shape, backward),
        part=lambda results: _part(results, shape, backward),
        flops=passes * 2.0 * shape.rows * shape.width * shape.out_width,
        backward=backward,
    )


def _ours(name: str) -> Any:
    def function(factors: Factors, group_sizes_E: Array) -> Array:
        return grouped_matmul(factors.x_TI, factors.weight_EIO, group_sizes_E, implementation=name)

    return function


def _tokamax(factors: Factors, group_sizes_E: Array) -> Array:
    return alternatives.tokamax_grouped(*factors, group_sizes_E)


def _expected(inputs: Inputs, shape: Shape, backward: bool) -> Any:
    x_TI, weight_EIO = inputs.arrays
    rows = _compared_rows(shape)
    # One row of each group that has any.
    weight_RIO = weight_EIO[np.flatnonzero(shape.sizes())].astype(jnp.float32)
    if not backward:
        return _product("RI,RIO->RO", x_TI[rows], weight_RIO)
    d_x_RI = _product("RO,RIO->RI", inputs.d_out[rows], weight_RIO)
    ends = np.cumsum(shape.sizes())
    d_weights_IO = [
        _product("TI,TO->IO", *(rows[end - size : end] for rows in (x_TI, inputs.d_out)))
        for size, end in ((shape.sizes()[e], ends[e]) for e in _compared_groups(shape))
    ]
    return Factors(d_x_RI, jnp.stack(d_weights_IO))


def _product(formula: str, left: Array, right: Array) -> Array:
    left, right = left.astype(jnp.float32), right.astype(jnp.float32)
    return jnp.einsum(formula, left, right, precision="highest")


def _part(results: Any, shape: Shape, backward: bool) -> Any:
    rows = _compared_rows(shape)
    if not backward:
        return results[rows]
    wanted = {"x_TI": rows, "weight_EIO": _compared_groups(shape)}
    given = {name: x for name, x in results._asdict().items() if x is not None}
    return results._replace(**{name: x[wanted[name]] for name, x in given.items()})


def _compared_rows(shape: Shape) -> np.ndarray:
    """The last of each group, where it borders on the next."""
    sizes = shape.sizes()
    return np.cumsum(sizes)[np.flatnonzero(sizes)] - 1


def _compared_groups(shape: Shape) -> np.ndarray:
    """The first, the empty one and the last."""
    return np.array([0, shape.groups // 2, shape.groups - 1])
