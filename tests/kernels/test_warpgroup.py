# SPDX-License-Identifier: Apache-2.0
"""What the Mosaic kernels share, as far as no kernel has to run for it."""

import pytest

from kernels import tiles, warpgroup
from kernels._bench import sweep

LANES = 128
REGISTERS = 65536
"""Of a core."""


@pytest.mark.parametrize(("num_computing", "most"), [(1, 240), (2, 240), (3, 160), (4, 112)])
def test_a_program_has_the_registers_that_its_warpgroups_ask_for(num_computing, most):
    """Else one of them waits for ever, which no interpreter shows."""
    assert warpgroup.registers(num_computing) == most
    lanes = LANES * (num_computing + 1)
    at_first = REGISTERS // lanes // 8 * 8 * lanes
    assert LANES * (num_computing * most + 24) <= at_first


def test_every_tile_has_a_step_in_use_and_one_on_its_way():
    """With one, what is copied would wait for what is computed, and that for the copy."""
    keys = [key for key in tiles.table() if key.implementation == "pallas_mosaic"]
    assert keys
    for key in keys:
        for tile in (tiles.table()[key], *sweep.candidates(key)):
            assert tile.num_stages >= 2, (key, tile)
