# SPDX-License-Identifier: Apache-2.0
"""The Mosaic kernels, interpreted, in processes with threads enough.

The interpreter gives each warpgroup a thread that waits for the others. XLA runs them on as many
threads as it sees cores, of which tests have one, or devices: with too few they wait for ever.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
THREADS = "--xla_force_host_platform_device_count=8"


@pytest.mark.parametrize("name", ["mosaic_forward", "mosaic_backward", "mosaic_grouped_matmul"])
def test_interpreted(name):
    command = [sys.executable, "-m", "pytest", "-q", "-n0", str(HERE / f"{name}.py")]
    environment = {**os.environ, "XLA_FLAGS": THREADS}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stdout
