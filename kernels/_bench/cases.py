# SPDX-License-Identifier: Apache-2.0
"""What a case of the benchmark is, and its programs."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

CUBLAS = {"xla_gpu_enable_triton_gemm": False}
"""For programs of many matrix products: XLA tunes its own as it compiles, a second or more each."""


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
    compiler_options: dict[str, Any] | None = None
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
        self._structure: Any = None
        drawn = jax.eval_shape(lambda: case.draw(jax.random.key(0)))
        shapes = jax.eval_shape(contender.arrange, drawn)
        self._arrange: Any = jax.jit(contender.arrange).lower(drawn)
        self._forward: Any = jax.jit(self._kept).lower(shapes) if case.backward else None
        if case.backward:
            kept = _shapes(self._forward.out_info)
            self._measured: Any = jax.jit(self._gradients).lower([(kept, shapes.d_out)] * sets)
        else:
            self._measured = jax.jit(self._results).lower([shapes] * sets)
        expected = jax.eval_shape(case.expected, drawn)
        results = _shapes(self._measured.out_info)
        self._compared: Any = jax.jit(self._compare).lower(results, expected)

    def compile(self) -> "Program":
        """Compiles, which needs no Python and may be done in a thread of its own."""
        options = self._contender.compiler_options
        self._arrange, self._compared = self._arrange.compile(), self._compared.compile()
        self._measured = self._measured.compile(options)
        if self._forward is not None:
            self._forward = self._forward.compile(options)
        return self

    def launch(self, sets: list[Inputs]) -> Callable[[], Any]:
        """Brings the arrays into place; what is returned starts the work that is timed."""
        arranged = [self._arrange(inputs) for inputs in sets]
        if self._forward is None:
            return lambda: self._measured(arranged)
        kept = [(self._forward(inputs), inputs.d_out) for inputs in arranged]
        return lambda: self._measured(kept)

    def error(self, results: list[Any], expected: Any) -> "Error":
        """Of the first set's results; that all are numbers, of all."""
        largest, norm, is_finite = self._compared(results, expected)
        return Error(float(largest), float(norm), bool(is_finite))

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

    def _compare(self, results: list[Any], expected: Any) -> tuple[Array, Array, Array]:
        finite = jnp.array([jnp.isfinite(x).all() for x in jax.tree.leaves(results)]).all()
        if not self._contender.is_compared:
            return jnp.zeros(()), jnp.zeros(()), finite
        mine = self._case.part(self._contender.restore(results[0]))
        found, asked = (jax.tree.leaves(tree) for tree in (mine, expected))
        gaps = [one.astype(jnp.float32) - other for one, other in zip(found, asked, strict=True)]
        largest = jnp.array([jnp.max(jnp.abs(gap)) for gap in gaps]).max()
        norms = [
            jnp.linalg.norm(gap) / jnp.linalg.norm(x) for gap, x in zip(gaps, asked, strict=True)
        ]
        return largest, jnp.array(norms).max(), finite


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


class Error(NamedTuple):
    """How far results are from the reference's."""

    largest: float
    norm: float
    """Of the difference, as a part of the reference's norm; the worst of the results."""
    is_finite: bool
