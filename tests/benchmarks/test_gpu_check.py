# SPDX-License-Identifier: Apache-2.0
"""`make gpu-check`: its measurement on a CPU, its verdict without a GPU, and the whole on a GPU."""

import jax
import numpy as np
import pytest

from benchmarks import gpu_check
from coder.config import ModelConfig

TINY = ModelConfig(
    vocab_size=64, d_model=32, num_layers=1, num_heads=2, num_kv_heads=2, head_dim=16, d_ff=64
)


def test_the_first_loss_is_that_of_a_uniform_guess() -> None:
    loss = gpu_check.first_loss(TINY, "bfloat16", jax.devices("cpu")[0])
    assert loss == pytest.approx(np.log(TINY.vocab_size), abs=0.05)


def test_without_a_gpu_it_says_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    if jax.default_backend() == "gpu":
        pytest.skip("there is a GPU")
    assert gpu_check.main() == 1
    assert "requirements-gpu.txt" in capsys.readouterr().err


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_cpu() -> None:
    assert gpu_check.main() == 0
