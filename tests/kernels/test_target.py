# SPDX-License-Identifier: Apache-2.0
"""What a program is taken to be compiled for, in all the ways that it can be told."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from kernels import target


@contextmanager
def compiling_for(kind: str, platform: str = "gpu") -> Iterator[None]:
    """As under a mesh of such devices, explicit as the model's is."""
    device = AbstractDevice(device_kind=kind, num_cores=None, platform=platform)
    mesh = AbstractMesh((2,), ("data",), (AxisType.Explicit,), abstract_device=device)
    with jax.sharding.use_abstract_mesh(mesh):
        yield


@pytest.mark.parametrize(
    ("kind", "architecture", "implementations"),
    [
        ("NVIDIA A100-SXM4-40GB", "sm80", ("pallas_triton",)),
        ("NVIDIA H100 80GB HBM3", "sm90", ("pallas_mosaic", "pallas_triton")),
        ("NVIDIA H200", "sm90", ("pallas_mosaic", "pallas_triton")),
        ("NVIDIA B200", "sm100", ()),
        ("Tesla T4", "sm75", ()),
        ("Tesla V100-SXM2-16GB", "gpu", ()),
        ("NVIDIA of another day", "gpu", ()),
        ("gfx942", "gpu", ()),
    ],
)
def test_a_mesh_of_gpus(kind, architecture, implementations):
    with compiling_for(kind):
        assert target.architecture() == architecture
        assert target.pallas_implementations() == implementations
        assert not target.is_interpreted()


def test_this_machine():
    assert target.architecture() == "cpu"
    assert target.pallas_implementations() == ()
    assert target.is_interpreted()
    with jax.default_device(jax.devices("cpu")[0]):
        assert target.architecture() == "cpu"


def test_a_mesh_counts_more_than_the_default_device():
    with compiling_for("NVIDIA H200"), jax.default_device(jax.devices("cpu")[0]):
        assert target.architecture() == "sm90"
    with compiling_for("cpu", platform="cpu"):
        assert target.architecture() == "cpu"
        assert target.is_interpreted()


def test_it_is_known_inside_of_jit_and_shard_map_and_of_one_program_for_two_targets():
    seen = []

    @jax.jit
    def traced(x):
        def each(x):
            seen.append(target.architecture())
            return x

        return jax.shard_map(each, in_specs=P("data"), out_specs=P("data"), check_vma=False)(x)

    for kind in ("NVIDIA A100-SXM4-40GB", "NVIDIA H200"):
        with compiling_for(kind):
            place = NamedSharding(jax.sharding.get_abstract_mesh(), P("data"))
            jax.eval_shape(traced, jax.ShapeDtypeStruct((2,), "float32", sharding=place))
    assert seen == ["sm80", "sm90"]
