# SPDX-License-Identifier: Apache-2.0
"""How arrays lie on the devices: one table from logical axes to mesh axes.

The mesh is explicit (`jax.sharding.AxisType.Explicit`): the sharding of an array is a part of its
type, and jax rejects an operation whose result could lie in two ways. Another strategy is another
table.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import Array
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P

Device = Any
"""`jax.Device`, which type checkers take for a variable, because jaxlib comes without stubs."""

MESH_AXES = ("data", "fsdp", "expert", "tensor")

RULES: dict[str, str | tuple[str, ...]] = {
    "batch": ("data", "fsdp", "expert"),
    "embed": "fsdp",
    "heads": "tensor",
    "kv_heads": "tensor",
    "mlp": "tensor",
    "vocab": "tensor",
    "expert": "expert",
}


def make_mesh(
    fsdp: int = 1, expert: int = 1, tensor: int = 1, devices: Sequence[Device] | None = None
) -> Mesh:
    """A mesh over all `devices`; those that no other axis takes are data-parallel.

    Raises:
        ValueError: fsdp * expert * tensor does not divide the number of devices.
    """
    devices = jax.devices() if devices is None else devices
    inner = fsdp * expert * tensor
    if inner < 1 or len(devices) % inner:
        raise ValueError(
            f"fsdp={fsdp} * expert={expert} * tensor={tensor} does not divide "
            f"{len(devices)} devices"
        )
    shape = (len(devices) // inner, fsdp, expert, tensor)
    return jax.make_mesh(shape, MESH_AXES, (AxisType.Explicit,) * len(shape), devices=devices)


def spec(*logical: str | None) -> P | None:
    """Where an array with these logical axes lies; None (anywhere) outside of `jax.set_mesh`.

    Raises:
        KeyError: an axis is not in `RULES`.
    """
    if jax.sharding.get_abstract_mesh().empty:
        return None
    return P(*(axis if axis is None else RULES[axis] for axis in logical))


def spec_of(array: Array) -> P | None:
    """Where an array lies; None outside of `jax.set_mesh`."""
    if jax.sharding.get_abstract_mesh().empty:
        return None
    return jax.typeof(array).sharding.spec


def per_device(
    function: Callable, in_axes: Sequence[tuple[str | None, ...]], out_axes: tuple[str | None, ...]
) -> Callable:
    """`function` as every device runs it on its own part of the arguments.

    For operations that never look across the sharded axes, such as attention over batch and heads.

    Args:
        function: of arrays, to an array.
        in_axes: logical axes of each argument.
        out_axes: logical axes of the result.
    """
    if jax.sharding.get_abstract_mesh().empty:
        return function
    in_specs = tuple(spec(*axes) for axes in in_axes)
    return jax.shard_map(function, in_specs=in_specs, out_specs=spec(*out_axes), check_vma=False)
