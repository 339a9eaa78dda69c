# SPDX-License-Identifier: Apache-2.0
"""How likely a model finds given texts, token by token.

Letters: B batch, T tokens, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from coder.model.transformer import Decoder


class QueryError(ValueError):
    """A query that the model was not trained for; the message says what to change."""


@dataclass(frozen=True)
class Query:
    """Ids to condition on, and the ids after them that are to be scored; neither is empty."""

    prompt: tuple[int, ...]
    target: tuple[int, ...]

    @property
    def length(self) -> int:
        """Positions the model computes: the last target is predicted, never read."""
        return len(self.prompt) + len(self.target) - 1


@dataclass(frozen=True)
class Answer:
    """The verdict on one query's targets."""

    nats: np.ndarray
    """[len(target)] float32: -log p(token | everything before it)."""
    likeliest: np.ndarray
    """[len(target)] bool: the token is the argmax. All true: greedy decoding gives the target."""


def score(model: Decoder, queries: Sequence[Query], batch_size: int, longest: int) -> list[Answer]:
    """Scores `queries` in batches of two static shapes: `longest` positions, and half as many.

    Rows are independent: an answer does not depend on what it is batched with, but for rounding.

    Raises:
        QueryError: a query has more than `longest` positions.
    """
    for query in queries:
        if query.length > longest:
            raise QueryError(
                f"{query.length} positions do not fit data.sequence_length={longest}: "
                "choose a smaller eval.context_tokens"
            )
    half = (longest + 1) // 2
    answers: dict[int, Answer] = {}
    for width, wanted in ((half, range(0, half + 1)), (longest, range(half + 1, longest + 1))):
        rows = [row for row, query in enumerate(queries) if query.length in wanted]
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            scored = _score_batch(model, [queries[row] for row in batch], batch_size, width)
            answers.update(zip(batch, scored, strict=True))
    return [answers[row] for row in range(len(queries))]


def _score_batch(model: Decoder, queries: list[Query], batch_size: int, width: int) -> list[Answer]:
    """Scores up to `batch_size` queries as one padded `[batch_size, width]` batch."""
    tokens_BT = np.zeros((batch_size, width), np.int32)
    targets_BT = np.zeros((batch_size, width), np.int32)
    segment_ids_BT = np.zeros((batch_size, width), np.int32)
    for row, query in enumerate(queries):
        ids = query.prompt + query.target
        tokens_BT[row, : query.length] = ids[:-1]
        targets_BT[row, : query.length] = ids[1:]
        segment_ids_BT[row, : query.length] = 1
    nats_BT, likeliest_BT = map(
        np.asarray, _token_scores(model, tokens_BT, targets_BT, segment_ids_BT)
    )
    answers = []
    for row, query in enumerate(queries):
        scored = slice(len(query.prompt) - 1, query.length)
        answers.append(Answer(nats_BT[row, scored], likeliest_BT[row, scored]))
    return answers


@jax.jit
def _token_scores(
    model: Decoder, tokens_BT: jax.Array, targets_BT: jax.Array, segment_ids_BT: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Nats (float32) of each target, and whether it is the argmax; both [B, T]."""
    positions_BT = jnp.broadcast_to(jnp.arange(tokens_BT.shape[1]), tokens_BT.shape)
    logits_BTV = model(tokens_BT, positions_BT, segment_ids_BT).astype(jnp.float32)
    target_logits_BT = jnp.take_along_axis(logits_BTV, targets_BT[..., None], axis=-1)[..., 0]
    nats_BT = jax.nn.logsumexp(logits_BTV, axis=-1) - target_logits_BT
    return nats_BT, jnp.argmax(logits_BTV, axis=-1) == targets_BT
