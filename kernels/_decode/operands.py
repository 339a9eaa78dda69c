# SPDX-License-Identifier: Apache-2.0
"""What the implementations take. Letters as in `kernels.decode`."""

from typing import NamedTuple

from jax import Array


class Operands(NamedTuple):
    """Queries of one position a row, and the keys and values of all places."""

    q_BNH: Array
    k_BKSH: Array
    v_BKSW: Array | None = None
    """None: the keys serve as values."""
    q_rope_BNP: Array | None = None
    """Further columns of the queries ..."""
    k_rope_BSP: Array | None = None
    """... and of the keys, which all heads share."""

    @property
    def widths(self) -> tuple[int, int, int]:
        """H, P and W; P is 0 where there is none."""
        rope = 0 if self.q_rope_BNP is None else self.q_rope_BNP.shape[-1]
        return self.q_BNH.shape[-1], rope, self.values_BKSW.shape[-1]

    @property
    def values_BKSW(self) -> Array:
        """The values, be they the keys."""
        return self.k_BKSH if self.v_BKSW is None else self.v_BKSW

    @property
    def group(self) -> int:
        """Query heads of a key head."""
        return self.q_BNH.shape[1] // self.k_BKSH.shape[1]
