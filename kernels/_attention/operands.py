# SPDX-License-Identifier: Apache-2.0
"""What the implementations take. Letters as in `kernels.attention`."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array


class Operands(NamedTuple):
    """Queries, keys and values."""

    q_BNTH: Array
    k_BKTH: Array
    v_BKTW: Array
    q_rope_BNTP: Array | None = None
    """Further columns of the queries ..."""
    k_rope_BTP: Array | None = None
    """... and of the keys, where all heads share them."""

    @property
    def widths(self) -> tuple[int, int, int]:
        """H, P and W; P is 0 where there is none."""
        rope = 0 if self.q_rope_BNTP is None else self.q_rope_BNTP.shape[-1]
        return self.q_BNTH.shape[-1], rope, self.v_BKTW.shape[-1]

    @property
    def group(self) -> int:
        """Query heads of a key head."""
        return self.q_BNTH.shape[1] // self.k_BKTH.shape[1]

    def pairs(self) -> list[tuple[Array, Array]]:
        """Queries and keys whose products are summed: one pair, or two."""
        if self.q_rope_BNTP is None or self.k_rope_BTP is None:
            return [(self.q_BNTH, self.k_BKTH)]
        return [(self.q_BNTH, self.k_BKTH), (self.q_rope_BNTP, self.k_rope_BTP)]

    def joined(self) -> "Operands":
        """The same attention with the further columns beside the others, for every key head."""
        if self.q_rope_BNTP is None or self.k_rope_BTP is None:
            return self
        rope_BKTP = jnp.broadcast_to(
            self.k_rope_BTP[:, None], (*self.k_BKTH.shape[:-1], self.k_rope_BTP.shape[-1])
        )
        return Operands(
            jnp.concatenate([self.q_BNTH, self.q_rope_BNTP], axis=-1),
            jnp.concatenate([self.k_BKTH, rope_BKTP], axis=-1),
            self.v_BKTW,
        )


class Spans(NamedTuple):
    """Which positions see each other, where a document's positions lie side by side."""

    first_BT: Array
    """The first position that each position sees; the last is itself. Never falls along T."""
    last_BT: Array
    """The last position that sees each position; the first is itself. Never falls along T."""


def spans(segment_ids_BT: Array | None, batch: int, length: int) -> Spans:
    """Of documents as `kernels.attention.attention` takes them, int32."""
    if segment_ids_BT is None:
        shape = (batch, length)
        return Spans(jnp.zeros(shape, jnp.int32), jnp.full(shape, length - 1, jnp.int32))
    positions_T = jnp.arange(length, dtype=jnp.int32)
    changes_BT = segment_ids_BT[:, 1:] != segment_ids_BT[:, :-1]
    begins_BT = jnp.pad(changes_BT, ((0, 0), (1, 0)), constant_values=True)
    ends_BT = jnp.pad(changes_BT, ((0, 0), (0, 1)), constant_values=True)
    first_BT = jnp.maximum.accumulate(jnp.where(begins_BT, positions_T, 0), axis=1)
    last_BT = jnp.minimum.accumulate(jnp.where(ends_BT, positions_T, length - 1)[:, ::-1], axis=1)[
        :, ::-1
    ]
    return Spans(first_BT, last_BT)


class Visits(NamedTuple):
    """Which blocks of positions a program visits: `begin` to `end`, and no others.

    Those from `whole` to `broken` are seen by all of the program's own positions and need no mask;
    there may be none.
    """

    begin: Array | int
    whole: Array | int
    broken: Array | int
    end: Array | int


def visits(
    by_any: tuple[Array | int, Array | int], by_all: tuple[Array | int, Array | int], size: int
) -> Visits:
    """Of blocks of `size` positions.

    A program owns neighbouring positions t to u. As queries, they see the keys first[t] to u; all
    of them see first[u] to t. As keys, they are seen by the queries t to last[u]; all of them by u
    to last[t]. That leaves no gaps, so that every block that is visited has a visible pair.

    Args:
        by_any: first and last position that one or another of the program's positions sees.
        by_all: first and last position that all of them see; nothing where it ends before it
            begins.
        size: positions of a block.
    """
    whole = (by_all[0] + size - 1) // size
    return Visits(
        begin=by_any[0] // size,
        whole=whole,
        broken=jnp.maximum(whole, (by_all[1] + 1) // size),
        end=by_any[1] // size + 1,
    )
