# SPDX-License-Identifier: Apache-2.0
"""The Mosaic kernels of the grouped product, interpreted: run by `test_mosaic.py`.

The slow ones, with threads enough:

    export XLA_FLAGS=--xla_force_host_platform_device_count=8
    pytest -m slow tests/kernels/mosaic_grouped_matmul.py
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.pallas.mosaic_gpu.interpret import gpu_callbacks
from jax.experimental.pallas import mosaic_gpu as plgpu

from kernels import tiles
from tests.kernels.test_grouped_matmul_gpu import (
    SIZES,
    Case,
    Results,
    check,
    cut,
    expected,
    operands,
    results,
)

WARPGROUPS = tiles.Tile(rows=128, columns=128, depth=64, num_warps=8, num_stages=2)
MOSAIC = Case("pallas_mosaic", jnp.bfloat16, WARPGROUPS, 300, (72, 136))


def run(x_TI: jax.Array, d_out_TO: jax.Array, sizes: list[int], **parameters: Any) -> Results:
    weight_EIO = operands(MOSAIC)[1]
    interpreted = plgpu.InterpretGPUParams(**parameters)
    with cut(MOSAIC), plgpu.force_gpu_interpret_mode(interpreted):
        got = results("pallas_mosaic", x_TI, weight_EIO, d_out_TO, jnp.asarray(sizes))
        assert not gpu_callbacks.get_races().races_found
    assert (got.out_TO.dtype, got.d_weight_EIO.dtype) == (jnp.bfloat16, jnp.float32)
    check(got, expected(x_TI, weight_EIO.astype(jnp.bfloat16), d_out_TO, sizes))
    return got


@pytest.mark.filterwarnings("ignore:invalid value")
def test_without_races_leaks_and_to_the_bit():
    x_TI, _, d_out_TO = operands(MOSAIC)
    sizes = [70, 0, 3, 128, 30]
    first = sum(sizes)
    x_TI, d_out_TO = x_TI.at[first:].set(jnp.nan), d_out_TO.at[first:].set(jnp.inf)
    got = run(x_TI, d_out_TO, sizes, detect_races=True)
    assert not got.out_TO[first:].any() and not got.d_x_TI[first:].any()
    jax.tree.map(np.testing.assert_array_equal, got, run(x_TI, d_out_TO, sizes))


@pytest.mark.slow
@pytest.mark.parametrize("shape", SIZES)
def test_groups_of_all_shapes(shape: str):
    x_TI, _, d_out_TO = operands(MOSAIC._replace(num_rows=700))
    run(x_TI, d_out_TO, SIZES[shape](128, 700), detect_races=True)
