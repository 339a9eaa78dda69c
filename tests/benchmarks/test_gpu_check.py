# SPDX-License-Identifier: Apache-2.0
"""`make gpu-check`: its measurement on a CPU, its verdict without a GPU, and the whole on a GPU."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks import gpu_check
from benchmarks._aot_targets import TARGETS
from coder.config import ModelConfig
from kernels._bench import report
from kernels._bench.machine import Machine

ROOT = Path(__file__).parents[2]
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


def test_a_whole_model_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([9.215, 9.21, 9.215, 9.2])
    monkeypatch.setattr(gpu_check, "first_loss", lambda *_: next(losses))
    monkeypatch.setattr(gpu_check, "tokens_per_second", lambda *_: 1e6)
    said: list[str] = []
    results = report.Results(Machine("a GPU", "sm90", 1.0, 1.0, {}), None, said.append)
    assert gpu_check.check_model(results)
    assert results.further["model"]["tokens_per_second"] == 1e6
    assert not gpu_check.check_model(results)
    assert said[-1].startswith("error: the losses differ")


def test_it_tells_where_the_gpu_is_not_what_make_aot_compiles_for() -> None:
    ours = TARGETS["sm90"].config()
    assert gpu_check.differing(ours, ours) == []
    theirs = ours.replace("core_count: 132", "core_count: 114").replace("l2_cache_size", "l2")
    expected = ["core_count 132, here 114", f"l2_cache_size {50 * 1024**2}, here none"]
    assert gpu_check.differing(ours, theirs) == expected
    assert "not for sm89" in gpu_check.described("sm89", jax.devices())


def test_what_fails_does_not_keep_the_rest_from_being_tried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Gpu:
        platform, device_kind = "gpu", "a GPU"

    def raises(results: report.Results) -> bool:
        raise MemoryError("too little")

    machine = Machine("a GPU", "sm89", 1.0, 1.0, {})
    monkeypatch.setattr(jax, "devices", lambda *_: [Gpu()])
    monkeypatch.setattr(gpu_check.bench, "begin", lambda: report.Results(machine, None))
    monkeypatch.setattr(gpu_check.bench, "check", lambda _: True)
    monkeypatch.setattr(gpu_check.bench, "run", lambda _: True)
    monkeypatch.setattr(gpu_check, "check_model", lambda _: True)
    assert gpu_check.main() == 0
    monkeypatch.setattr(gpu_check, "check_model", raises)
    assert gpu_check.main() == 1
    written = capsys.readouterr().out
    assert "speed took" in written.split("MemoryError: too little")[1]


def test_a_host_with_little_but_jax_can_run_it() -> None:
    """As many GPU hosts are; the Makefile says what it asks for."""
    (asked,) = re.findall(r"^gpu-check: needed := (.*)$", (ROOT / "Makefile").read_text(), re.M)
    source = (ROOT / "scripts" / "check_python.py").read_text()
    all_needed = ast.literal_eval(source.split("NEEDED = ")[1].split(")")[0] + ")")
    absent = [name for name in (*all_needed, "apache_beam") if name not in (*asked.split(), "rich")]
    code = f"import sys; sys.modules.update(dict.fromkeys({absent!r})); import benchmarks.gpu_check"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_cpu() -> None:
    assert gpu_check.main() == 0
