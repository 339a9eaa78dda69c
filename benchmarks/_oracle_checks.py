# SPDX-License-Identifier: Apache-2.0
"""Our model beside what transformers made of the same weights and tokens, number by number.

Each check yields what it compared, the error, and the bar above which the model counts as wrong.
The arrays are those of `benchmarks._oracle_torch`. Golden files hold a part of them, and a check
whose arrays are missing has nothing to say.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec

from benchmarks._oracle_reference import Reference, decoder, parameters
from coder.huggingface.names import tensors
from coder.infer.engine import Engine, Request
from coder.model import balance, rope, routing
from coder.model.cache import prefill, step, with_capacity
from coder.model.transformer import Decoder
from coder.sharding import spec

GREEDY_PROMPT = 40
"""Tokens of each row that are continued."""


class Row(NamedTuple):
    """One comparison."""

    check: str
    error: float
    bar: float


def frequencies(reference: Reference) -> Iterator[Row]:
    """1: RoPE's frequencies, and the scale of the softmax."""
    if not reference.has("rope"):
        return
    found, expected = rope.frequencies(reference.config), reference["rope/frequencies"]
    yield Row("rope_frequencies", np.max(np.abs(found / expected - 1)), 1e-6)
    if reference.is_v2:
        scale = reference.last_layer().attention.scale
        yield Row("softmax_scale", abs(scale - reference["rope/softmax_scale"]), 1e-6)


def rotations(reference: Reference) -> Iterator[Row]:
    """2: scores of a rotated query with rotated keys, and the rotated numbers' order."""
    if not reference.has("rope"):
        return
    turn = rope.rotate_pairs if reference.is_v2 else rope.rotate_halves
    by = rope.rotation(jnp.arange(reference["rope/query"].shape[2])[None], reference.config)
    found = [turn(jnp.asarray(reference[f"rope/{x}"]), by) for x in ("query", "key")]
    expected = [reference[f"rope/turned_{x}"] for x in ("query", "key")]
    # As the softmax gets them: transformers' own angles, in float32, are off by 1e-5 radians.
    width = expected[0].shape[-1]
    scores, expected_scores = (q[0, 0] @ k[0, 0].T * width**-0.5 for q, k in (found, expected))
    yield Row("rope_scores", _largest(scores, expected_scores), 2e-5)
    if reference.is_v2:  # the released code takes pairs apart into halves first, and leaves them so
        halves = rope.rotate_halves(apart(jnp.asarray(reference["rope/query"])), halved(by))
        yield Row("rope_layout", _largest(apart(found[0]), halves), 1e-6)
        yield Row("rope_layout_transformers", _largest(found[0], expected[0]), 2e-5)


def logits(reference: Reference) -> Iterator[Row]:
    """3 and 7: logits and loss of whole rows."""
    bar = 1e-4 if reference.is_v2 else 5e-5
    # The first position attends to itself alone and would hide any error of the attention.
    found, expected = reference.found.logits[:, 1:], reference["logits"][:, 1:]
    yield Row("logits", _largest(found, expected), bar)
    yield Row("loss", abs(float(reference.found.loss) - float(reference["loss"])), bar)


def gradients(reference: Reference) -> Iterator[Row]:
    """9: gradients of the loss, tensor by tensor; the largest error relative to a tensor's norm."""
    if not reference.has("gradient"):
        return
    expected = parameters(reference.config, reference.arrays, "gradient")
    errors = [
        _relative(reference.found.gradients[x.path][x.index], expected[x.path][x.index])
        for x in tensors(reference.config)
    ]
    yield Row("gradients", max(errors), 1e-4)


def attention(reference: Reference) -> Iterator[Row]:
    """4: the attention of a layer alone."""
    if not reference.has("attention"):
        return
    _, positions, segments = (x[:1] for x in reference.batch)

    @jax.jit
    def run(layer: Any, x_BTD: Array) -> Array:
        query, kept = layer.attention.heads(x_BTD, reference.model.rotation(positions))
        return layer.attention.merge(layer.attention.attend(query, kept, segments))

    found = run(reference.last_layer(), jnp.asarray(reference["attention/input"]))
    yield Row("attention", _largest(found, reference["attention/output"]), 2e-5)


def router(reference: Reference) -> Iterator[Row]:
    """5: the experts of each token as sets, and their weights before V2's factor."""
    if not reference.has("router"):
        return
    moe = reference.config.moe
    x_BTD, router_DE = reference["mlp/input"], reference.last_layer().mlp.router_DE[...]
    choice = routing.choose(routing.affinities(jnp.asarray(x_BTD), router_DE), moe)
    found = _by_expert(choice.experts_BTK, routing.weights(choice.affinities_BTK, moe))
    expected = _by_expert(reference["router/experts"], reference["router/weights"])
    yield Row("router_experts", np.mean(found[0] != expected[0]), 0.0)
    error = _largest(found[1], expected[1]) / moe.routed_scaling_factor
    yield Row("router_weights", error, 1e-6)


def experts(reference: Reference) -> Iterator[Row]:
    """6: the experts of a layer alone, with the router."""
    if reference.has("mlp"):
        yield Row("experts", experts_error(reference), 2e-5)


def experts_error(reference: Reference) -> float:
    """The largest error of the last layer's experts, on the current mesh if there is one."""
    run = jax.jit(lambda layer, x_BTD, segments: layer.mlp(x_BTD, segments, None)[0])
    # Their one row twice, so that two devices have one each.
    x_BTD, expected = (reference[f"mlp/{x}"].repeat(2, axis=0) for x in ("input", "output"))
    inputs = [jnp.asarray(x_BTD), reference.batch[2]]
    mesh = jax.sharding.get_mesh()
    if not mesh.empty:
        place = NamedSharding(mesh, spec("batch") or PartitionSpec())
        inputs = [jax.device_put(x, place) for x in inputs]
    return _largest(run(reference.last_layer(), *inputs), expected)


def decoding(reference: Reference) -> Iterator[Row]:
    """8: the cache filled by a prompt and token by token, beside theirs and beside no cache.

    Their prompts are padded on the left, ours are not padded before the text. Without a cache
    MLA's keys and values are expanded, with it they are absorbed.
    """
    if not reference.has("cache"):
        return
    found, kept = _cached_logits(reference)
    yield Row("decode_cached", _largest(found, reference["cache/logits"]), 1e-4)
    for name, logits in (("full", reference["logits"]), ("absorbed", reference.found.logits)):
        same = [
            logits[row, length - 1 : length + found.shape[1] - 1]
            for row, length in enumerate(reference["prompts"])
        ]
        yield Row(f"decode_{name}", _largest(found, np.stack(same)), 1e-4)
    for number, ours in enumerate(kept):
        theirs = reference[f"cache/{number}"]
        ours = ours[..., : theirs.shape[-2], :].reshape(theirs.shape)
        yield Row(f"cache_{number}", _largest(ours, theirs), 1e-4)


def balance_losses(reference: Reference) -> Iterator[Row]:
    """10: the three balance losses of a layer, and their gradients."""
    if not reference.has("balance"):
        return
    x_BTD = jnp.asarray(reference["balance/activations"])
    names = ("expert_balance", "device_balance", "communication_balance")

    def loss(router_DE: Array, x_BTD: Array, name: str) -> Array:
        factors = {other: float(other == name) for other in names}
        moe = dataclasses.replace(reference.config.moe, **factors)
        affinities = routing.affinities(x_BTD, router_DE)
        choice = routing.choose(affinities, moe)
        loss_B, _ = balance.losses(affinities, choice.experts_BTK, reference.batch[2], moe)
        return jnp.mean(loss_B)

    function = jax.jit(jax.value_and_grad(loss, (0, 1)), static_argnames="name")
    router_DE = reference.last_layer().mlp.router_DE[...]
    for number, name in enumerate(names):
        found, (by_router, by_input) = function(router_DE, x_BTD, name=name)
        expected = reference["balance/losses"][number]
        yield Row(name, abs(float(found) - float(expected)), 1e-6)
        error = _largest(by_router.T, reference["balance/router"][number])
        if reference.has("balance_input"):
            expected = reference["balance_input/gradients"][number]
            error = max(error, _largest(by_input[:1], expected))
        yield Row(f"{name}_gradients", error, 1e-6)
        if name != "communication_balance":  # of which nothing is sure where all experts tie
            uniform, _ = function(jnp.zeros_like(router_DE), x_BTD, name=name)
            yield Row(f"{name}_uniform", abs(float(uniform) - 1.0), 1e-6)


def generation(reference: Reference) -> Iterator[Row]:
    """11: greedy continuations of the rows' beginnings, as the share of other tokens."""
    if not reference.has("greedy"):
        return
    expected = reference["greedy/tokens"]
    length = expected.shape[1]
    prompts = reference["tokens"][:, :GREEDY_PROMPT].tolist()
    engine = Engine(reference.model, slots=len(prompts), capacity=GREEDY_PROMPT + length)
    answers = engine.complete([Request(prompt, length) for prompt in prompts])
    found = np.array([sample.tokens for [sample] in answers])
    yield Row("greedy", np.mean(found != expected), 0.0)


def rounding(reference: Reference) -> Iterator[Row]:
    """12: what bfloat16 changes in the logits, beside what it changes in theirs."""
    if not reference.has("bfloat16"):
        return
    config = dataclasses.replace(reference.config, compute_dtype="bfloat16")
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), decoder(config, reference.arrays))
    found = np.asarray(jax.jit(Decoder.__call__)(half, *reference.batch))
    difference = found - reference["logits"]
    yield Row("bfloat16", _rms(difference), 2 * float(reference["bfloat16/rms"]))
    if not reference.is_v2:
        yield Row("bfloat16_largest", np.max(np.abs(difference)), 0.1)


CHECKS: tuple[Callable[[Reference], Iterator[Row]], ...] = (
    frequencies,
    rotations,
    logits,
    gradients,
    attention,
    router,
    experts,
    decoding,
    balance_losses,
    generation,
    rounding,
)


def compare(reference: Reference) -> list[Row]:
    """All checks of a case."""
    return [Row(x.check, float(x.error), x.bar) for check in CHECKS for x in check(reference)]


def halved(by: rope.Rotation) -> rope.Rotation:
    """The rotation of pairs as that of halves."""
    return rope.Rotation(*map(apart, by))


def apart(x: Array) -> Array:
    """Pairs as halves: all first numbers, then all second ones."""
    return jnp.concatenate([x[..., ::2], x[..., 1::2]], -1)


def _cached_logits(reference: Reference) -> tuple[np.ndarray, Any]:
    """Logits after the prompts and each further token, and what the last layer kept of row 0."""
    tokens = np.asarray(reference["tokens"])
    lengths = np.asarray(reference["prompts"])
    steps = reference["cache/logits"].shape[1] - 1
    logits, cache = jax.jit(prefill)(reference.model, tokens[:, : max(lengths)], lengths)
    cache = with_capacity(cache, max(lengths) + steps)
    found, advance = [logits], jax.jit(step)
    for number in range(steps):
        logits, cache = advance(
            reference.model, tokens[np.arange(len(tokens)), lengths + number], cache
        )
        found.append(logits)
    return np.stack(found, 1), [x[:1] for x in cache.kept[-1]]


def _by_expert(experts_BTK: Any, weights_BTK: Any) -> tuple[np.ndarray, np.ndarray]:
    """A token's experts in the order of their numbers, and their weights."""
    experts = np.asarray(experts_BTK).reshape(-1, experts_BTK.shape[-1])
    order = np.argsort(experts, axis=-1)
    weights = np.asarray(weights_BTK).reshape(experts.shape)
    return np.take_along_axis(experts, order, -1), np.take_along_axis(weights, order, -1)


def _largest(found: Any, expected: Any) -> float:
    return float(np.max(np.abs(np.asarray(found, np.float32) - np.asarray(expected, np.float32))))


def _relative(found: Any, expected: np.ndarray) -> float:
    """Norm of the difference over that of the expected; where this is 0, so must be the other."""
    difference = np.linalg.norm(np.asarray(found, np.float64) - expected)
    return float(difference / max(np.linalg.norm(expected), 1e-30))


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))
