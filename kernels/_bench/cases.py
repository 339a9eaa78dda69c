# SPDX-License-Identifier: Apache-2.0
"""What a case of the benchmark is, and its programs."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class Inputs(NamedTuple):
    """Arrays of one call."""

    arrays: Any
    """Those that have gradients; a tree."""
    others: Any = None
    d_out: Any = None
    """The gradient of the result, where gradients are measured."""


def _as_it_is(tree: Any) -> Any:
    return tree


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to do what a case asks."""

    name: str
    function: Callable[[Any, Any], Any]
    """Of `arrays` and `others`."""
    ours: bool = False
    """Whether it has to work."""
    is_compared: bool = True
    """With the reference; not where it does more than the case asks, to show what that costs."""
    arrange: Callable[[Inputs], Inputs] = _as_it_is
    """Into the layout of `function`; not timed."""
    restore: Callable[[Any], Any] = _as_it_is
    """Its results, or gradients, as the case has them; not timed."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One operation on arrays of one shape."""

    name: str
    draw: Callable[[Array], Inputs]
    """Of a random key."""
    contenders: tuple[Contender, ...]
    expected: Callable[[Inputs], Any]
    """Part of the results by the reference, in float32."""
    part: Callable[[Any], Any]
    """The same part of a contender's results."""
    flops: float = 0.0
    num_bytes: float = 0.0
    """Of what bounds it, the other is 0."""
    dense_flops: float = 0.0
    """Where documents make some of them needless: what there would be without."""
    backward: bool = False
    """Whether the gradients are measured, alone, or the result."""
    wanted: Callable[[Any], Any] = _as_it_is
    """Of the gradients, those that are to be computed."""


class Program:
    """A contender, compiled for as many sets of a case's arrays as one launch works off."""

    def __init__(self, case: Case, contender: Contender, sets: int) -> None:
        """Traces and lowers."""
        self._case, self._contender = case, contender
        shapes = jax.eval_shape(lambda: contender.arrange(case.draw(jax.random.key(0))))
        self._structure: Any = None
        if not case.backward:
            self._forward = None
            self._measured: Any = jax.jit(self._results).lower([shapes] * sets)
            return
        self._forward: Any = jax.jit(self._kept).lower(shapes)
        kept = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), self._forward.out_info
        )
        self._measured = jax.jit(self._gradients).lower([(kept, shapes.d_out)] * sets)

    def compile(self) -> "Program":
        """Compiles, which needs no Python and may be done in a thread of its own."""
        self._measured = self._measured.compile()
        if self._forward is not None:
            self._forward = self._forward.compile()
        return self

    def launch(self, sets: list[Inputs]) -> Callable[[], Any]:
        """Brings the arrays into place; what is returned starts the work that is timed."""
        arranged = [jax.jit(self._contender.arrange)(inputs) for inputs in sets]
        if self._forward is None:
            return lambda: self._measured(arranged)
        kept = [(self._forward(inputs), inputs.d_out) for inputs in arranged]
        return lambda: self._measured(kept)

    def _results(self, sets: list[Inputs]) -> list[Any]:
        return [self._contender.function(arrays, others) for arrays, others, _ in sets]

    def _kept(self, inputs: Inputs) -> list[Array]:
        """What the forward pass keeps for the backward one."""
        _, pull = jax.vjp(lambda arrays: self._contender.function(arrays, inputs.others), inputs[0])
        kept, self._structure = jax.tree.flatten(pull)
        return kept

    def _gradients(self, sets: list[tuple[list[Array], Array]]) -> list[Any]:
        pulls = ((jax.tree.unflatten(self._structure, kept), d_out) for kept, d_out in sets)
        return [self._case.wanted(pull(d_out)[0]) for pull, d_out in pulls]

    def error(self, results: list[Any], expected: Any) -> "Error":
        """Of the first set's results; that all are numbers, of all."""
        finite = all(bool(_is_finite(x)) for x in jax.tree.leaves(results))
        if not self._contender.is_compared:
            return Error(0.0, 0.0, finite)
        largest, norm = jax.jit(self._compare)(results[0], expected)
        return Error(float(largest), float(norm), finite)

    def _compare(self, result: Any, expected: Any) -> tuple[Array, Array]:
        mine = self._case.part(self._contender.restore(result))
        found, asked = (jax.tree.leaves(tree) for tree in (mine, expected))
        gaps = [one.astype(jnp.float32) - other for one, other in zip(found, asked, strict=True)]
        largest = jnp.array([jnp.max(jnp.abs(gap)) for gap in gaps]).max()
        norms = [
            jnp.linalg.norm(gap) / jnp.linalg.norm(x) for gap, x in zip(gaps, asked, strict=True)
        ]
        return largest, jnp.array(norms).max()


@jax.jit
def _is_finite(x: Array) -> Array:
    return jnp.isfinite(x).all()


class Error(NamedTuple):
    """How far results are from the reference's."""

    largest: float
    norm: float
    """Of the difference, as a part of the reference's norm; the worst of the results."""
    is_finite: bool
