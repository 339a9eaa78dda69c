# SPDX-License-Identifier: Apache-2.0
"""Checks of arguments: of what is known when a program is traced, and, for debugging, of the data.

The latter is a pass over them at every call.
"""

import math
import os
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

DEBUG = os.environ.get("KERNELS_DEBUG", "") not in ("", "0")
"""Whether calls check their data; `KERNELS_DEBUG=1` in the environment."""


def same_type(operands: NamedTuple) -> None:
    """Fails if arrays are not all of the first one's type, or empty, or not of floating point."""
    arrays = {name: array for name, array in operands._asdict().items() if array is not None}
    first, dtype = next((name, array.dtype) for name, array in arrays.items())
    for name, array in arrays.items():
        if array.dtype != dtype:
            raise ValueError(f"{name} is {array.dtype}, {first} is {dtype}: cast one of them")
        if not array.size:
            raise ValueError(f"{name} {array.shape}: no axis may be empty")
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"{first} is {dtype}, not floating point")


def scale(given: float | None, width: int) -> float:
    """The factor of scores: that of keys of this width, where none is given.

    Raises:
        ValueError: it is not a positive number, or not known when the program is traced.
    """
    if given is None:
        return width**-0.5
    if isinstance(given, Array) or not 0 < given < math.inf:
        raise ValueError(f"scale={given}: should be positive, finite, and a number, not an array")
    return float(given)


def documents_in_one_piece(segment_ids_BT: Array) -> None:
    """Fails, where DEBUG is set, when a document's positions do not lie side by side.

    Raises:
        ValueError: names row, position and document. In a compiled program it is jax's error that
            says so, once it runs; rows are those of one device.
    """
    if DEBUG:
        jax.debug.callback(_fail_on_gaps, segment_ids_BT)


def no_row_empty(length_B: Array) -> None:
    """Fails, where DEBUG is set, when a row has no place that is filled: likewise."""
    if DEBUG:
        jax.debug.callback(_fail_on_empty_rows, length_B)


def groups_within(group_sizes_E: Array, num_rows: int) -> None:
    """Fails, where DEBUG is set, when groups have more rows than there are: likewise."""
    if DEBUG:
        jax.debug.callback(partial(_fail_on_sizes, num_rows), group_sizes_E)


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


def _fail_on_empty_rows(length_B: np.ndarray) -> None:
    for row, length in enumerate(np.asarray(length_B)):
        if length < 1:
            raise ValueError(f"length_B: row {row} has {length} places: should be at least 1")


def _fail_on_sizes(num_rows: int, group_sizes_E: np.ndarray) -> None:
    sizes_E = np.asarray(group_sizes_E)
    for group in np.flatnonzero(sizes_E < 0):
        raise ValueError(f"group_sizes_E: group {group} has {sizes_E[group]} rows")
    if sizes_E.sum() > num_rows:
        raise ValueError(f"group_sizes_E: {sizes_E.sum()} rows in all, x_TI has {num_rows}")
