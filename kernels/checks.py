# SPDX-License-Identifier: Apache-2.0
"""Checks of what shapes do not tell, for debugging: a pass over the data at every call."""

import os

import jax
import numpy as np
from jax import Array

DEBUG = os.environ.get("KERNELS_DEBUG", "") not in ("", "0")
"""Whether calls check their data; `KERNELS_DEBUG=1` in the environment."""


def documents_in_one_piece(segment_ids_BT: Array) -> None:
    """Fails, where DEBUG is set, when a document's positions do not lie side by side.

    Raises:
        ValueError: names row, position and document. In a compiled program it is jax's error that
            says so, once it runs; rows are those of one device.
    """
    if DEBUG:
        jax.debug.callback(_fail_on_gaps, segment_ids_BT)


def _fail_on_gaps(segment_ids_BT: np.ndarray) -> None:
    for row, ids_T in enumerate(np.asarray(segment_ids_BT)):
        begins = np.flatnonzero(np.diff(ids_T, prepend=ids_T[0] - 1))
        _, first = np.unique(ids_T[begins], return_index=True)
        again = np.setdiff1d(begins, begins[first])
        if again.size:
            raise ValueError(
                f"segment_ids: row {row} has document {ids_T[again[0]]} again at position "
                f"{again[0]}, after another one: the positions of a document must lie side by side"
            )
