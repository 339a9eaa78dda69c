# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the kernels on a CPU: small arrays, and clocks that are set by hand."""

import dataclasses
import json
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import bench, tiles
from kernels._bench import (
    alternatives,
    attention_cases,
    bars,
    decode_cases,
    grouped_cases,
    machine,
    measuring,
    report,
    suite,
    sweep,
    table,
    timing,
)
from kernels._bench.cases import Case, Contender, Inputs

MACHINE = machine.Machine("NVIDIA H200", "sm90", 800e12, 4e12, {"jax": "0.11.2"})


class Clock:
    """Time passes in launches alone; each launch of a name takes the next of its seconds."""

    def __init__(self, **seconds: list[float]) -> None:
        self.now, self.order = 0.0, ""
        self._left = seconds

    def launch(self, name: str) -> str:
        left = self._left[name]
        self.now += left.pop(0) if len(left) > 1 else left[0]
        self.order += name
        return name

    def medians(self, samples: int) -> dict[str, float]:
        launches = {name: lambda name=name: self.launch(name) for name in self._left}
        return timing.medians(launches, samples, lambda: self.now, lambda result: result)


def test_a_time_is_the_median_of_turns():
    clock = Clock(a=[9.0, 1.0, 1.0, 5.0, 1.0], b=[9.0, 2.0])
    assert clock.medians(samples=3) == {"a": 1.0, "b": 2.0}
    assert clock.order == "aabb" + "ab" * 3


def test_short_launches_are_timed_in_rows():
    clock = Clock(a=[1.0, 0.004], b=[1.0, 1e-9])
    found = clock.medians(samples=1)
    assert found == {"a": pytest.approx(0.004), "b": pytest.approx(1e-9, rel=1e-3)}
    assert clock.order == "aabb" + "aaa" + "b" * 50


def stand_in(contenders: dict[str, Any], **settings: Any) -> Case:
    """Doubling, as done by functions of an array."""
    return Case(
        name=settings.pop("name", "mla_lite_forward"),
        draw=lambda key: Inputs(jax.random.normal(key, (8,), jnp.float32)),
        contenders=tuple(
            Contender(name, lambda x, _, function=function: function(x), ours=name != "theirs")
            for name, function in contenders.items()
        ),
        expected=lambda inputs: 2 * inputs.arrays[:4],
        part=lambda results: results[:4],
        flops=1e9,
        **settings,
    )


def fails(x: Any) -> Any:
    raise NotImplementedError("not this one\nand more")


def test_what_fails_is_said_and_stops_nothing(monkeypatch):
    monkeypatch.setattr(timing, "medians", lambda launches, _: dict.fromkeys(launches, 2.0))
    contenders = {
        "broken": fails,
        "wrong": lambda x: 3 * x,
        "nan": lambda x: jnp.where(jnp.arange(8) == 7, jnp.nan, 2 * x),
        "right": lambda x: x + x,
        "theirs": lambda x: 2 * x,
    }
    case = dataclasses.replace(stand_in(contenders), num_bytes=0.0)
    (row,) = measuring.rows([case], MACHINE)
    failed = {name: result.get("failed") for name, result in row["results"].items()}
    assert failed == {
        "broken": "NotImplementedError: not this one",
        "wrong": "error of 5.0e-01, by norm, where 1e-04 is allowed",
        "nan": "results are not finite",
        "right": None,
        "theirs": None,
    }
    assert row["best"] == "right" and row["ratios"] == {"theirs": 1.0}
    sets = 16  # Such small arrays are launched several times at once.
    assert row["results"]["right"]["tflops"] == pytest.approx(1e9 / (2 / sets) / 1e12)
    assert row["verdict"].startswith("missed: 0.00 of peak < 0.62")
    assert not measuring.is_right(row)
    assert "failed: NotImplementedError: not this one" in report.text(row)
    assert report.ratios([row]) == "ratio kernels/mla_lite_forward/theirs 1.00"


def test_a_case_that_cannot_be_measured_stops_nothing(monkeypatch):
    def row(case, *_):
        raise MemoryError("for the reference")

    case = stand_in({"ours": lambda x: 2 * x})
    monkeypatch.setattr(measuring, "_row", row)
    found = list(measuring.rows([case, dataclasses.replace(case, name="another")], MACHINE))
    assert [row["case"] for row in found] == ["mla_lite_forward", "another"]
    assert not any(measuring.is_right(row) for row in found)
    assert "failed: MemoryError: for the reference" in report.text(found[1])
    assert report.ratios(found) == ""


SMALL = {
    "attention": attention_cases.Shape(1, 4, 2, 32, (16, 0, 16)),
    "mla": attention_cases.Shape(1, 2, 2, 32, (16, 8, 16)),
    "packed": attention_cases.Shape(2, 4, 2, 64, (16, 0, 16), documents=20),
    "grouped": grouped_cases.Shape(96, 6, 32, 16),
    "decode": decode_cases.Shape(2, 4, 2, 32, (16, 0, 16)),
    "decode_mla": decode_cases.Shape(2, 4, 1, 32, (16, 8, 16)),
}


def small(name: str, backward: bool) -> Case:
    shape = SMALL[name]
    if isinstance(shape, attention_cases.Shape):
        return attention_cases.case(name, shape, backward, ["xla"], with_xla=False)
    if isinstance(shape, grouped_cases.Shape):
        return grouped_cases.case(name, shape, backward, ["blocks"])
    return decode_cases.case(name, shape, ["reference"])


@pytest.mark.usefixtures("compiled_at_once")
def test_every_kind_of_case_is_right_on_what_it_compares(monkeypatch):
    monkeypatch.setattr(measuring, "_MOST_SETS", 1)
    forward = [small(name, False) for name in ("attention", "decode", "decode_mla")]
    backward = [small(name, True) for name in ("packed", "mla", "grouped")]
    for row in measuring.rows([*forward, *backward], MACHINE, samples=1):
        assert measuring.is_right(row), row
        rounding = row["results"][row["best"]]["norm_of_error"]
        assert 0.0005 < rounding < 0.006
        others = [name for name, result in row["results"].items() if not result["ours"]]
        assert all(
            name in ("xla", "tokamax") or "failed" in row["results"][name] for name in others
        )


def test_the_cases_are_those_that_bars_are_for():
    cases = suite.cases()
    names = [case.name for case in cases]
    assert len(set(names)) == len(names)
    for bar in bars.BARS:
        assert any(bars.bar_of(name) is bar for name in names), bar.title
    for case in cases:
        assert bool(case.flops) != bool(case.num_bytes), case.name
        assert {"xla", "cudnn"} & {one.name for one in case.contenders} or "grouped" in case.name
        inputs = jax.eval_shape(lambda case=case: case.draw(jax.random.key(0)))
        jax.eval_shape(case.expected, inputs)


def test_operations_are_counted_as_is_the_custom():
    # 4 T^2 H a head, half of it for causality, and two and a half times as many backward.
    shape = attention_cases.Shape(2, 3, 1, 1000, (128, 0, 128))
    forward, backward = (attention_cases.case("", shape, backward) for backward in (False, True))
    assert forward.flops == 4 * 1000**2 * 128 * 3 * 2 / 2
    assert backward.flops == 2.5 * forward.flops
    packed = attention_cases.case("", dataclasses.replace(shape, documents=100), ours=["xla"])
    assert packed.dense_flops == forward.flops
    assert 0.1 < packed.flops / packed.dense_flops < 0.5
    latent = attention_cases.Shape(1, 1, 1, 10, (128, 64, 128))
    assert attention_cases.case("", latent).flops == 2 * (192 + 128) * 10**2 / 2
    assert attention_cases.case("", latent, True).flops == 2 * (3 * 192 + 2 * 128) * 10**2 / 2
    cache = decode_cases.case("", decode_cases.Shape(3, 16, 1, 100, (512, 64, 512)))
    assert cache.num_bytes == 2 * 3 * (100 * 576 + 16 * 576 + 16 * 512) + 4 * 3


def test_documents_have_the_mean_length_that_is_asked():
    shape = attention_cases.Shape(64, 1, 1, 16384, documents=2000)
    counts = [len(np.unique(row)) for row in shape.segments()]
    assert 16384 * 64 / sum(counts) == pytest.approx(2000, rel=0.15)
    assert (np.diff(shape.segments(), axis=1) >= 0).all()


def test_cudnn_is_told_of_documents():
    starts, lengths = alternatives._documents(np.array([[1, 1, 2, 3, 3], [4, 4, 4, 4, 5]]))
    np.testing.assert_array_equal(starts, [[0, 2, 3, -1], [0, 4, -1, -1]])
    np.testing.assert_array_equal(lengths, [[2, 1, 2], [4, 1, -1]])


@pytest.mark.parametrize(
    ("case", "share", "ratios", "expected"),
    [
        ("attention_d128_gqa_t4096_forward", 0.81, {"cudnn": 1.0, "tokamax": 1.1}, "ahead"),
        ("attention_d128_gqa_t4096_forward", 0.81, {"cudnn": 0.95}, "pass"),
        (
            "attention_d128_gqa_t4096_forward",
            0.66,
            {"cudnn": 0.95, "tokamax": 0.8},
            "missed: 0.66 of peak < 0.7, 0.80 x tokamax < 1.0",
        ),
        ("packed_d128_gqa_t16384_backward", 0.1, {"dense": 2.5, "cudnn": 0.1}, "pass"),
        ("packed_d128_gqa_t16384_backward", 0.1, {}, "missed: nothing to compare with"),
        ("decode_mla_b8_s4096", 0.9, {}, "ahead"),
        ("decode_gqa_b8_s4096", 0.1, {}, ""),
    ],
)
def test_verdicts(case, share, ratios, expected):
    assert bars.verdict(case, share, ratios) == expected


def test_results_are_kept_as_they_come_and_make_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "medians", lambda launches, _: dict.fromkeys(launches, 1e-6))
    said: list[str] = []
    path = tmp_path / f"{report.slug(MACHINE.device)}-2026-11-21.json"
    results = report.Results(MACHINE, path, said.append)
    cases = (stand_in({"ours": lambda x: 2 * x, "theirs": fails}, name="mla_a_forward"),)
    seen = []

    def rows(*arguments):
        for row in measured(*arguments):
            yield row
            seen.append(json.loads(path.read_text())["cases"][-1]["case"])

    measured = measuring.rows
    monkeypatch.setattr(measuring, "rows", rows)
    monkeypatch.setattr(suite, "cases", lambda: cases)
    assert bench.run(results) and seen == ["mla_a_forward"]
    assert not bench.run(report.Results(MACHINE, None, said.append), only="no such case")
    assert said[-1] == "error: nothing has that in its name"

    page = tmp_path / "kernels.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    table.write(tmp_path, page)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| MLA 192/128 forward | 0.62 of peak | 0.72 of peak |" in text
    assert re.search(r"\| `mla_a_forward` \| ours \| \d+ TFLOP/s \| .* \| ahead \|", text)
    (tmp_path / path.name).unlink()
    table.write(tmp_path, page)
    assert "No GPU has run them yet." in page.read_text()


def test_without_a_gpu_nothing_is_measured(capsys):
    if jax.default_backend() == "gpu":
        pytest.skip("there is a GPU")
    assert bench.main([]) == 1
    assert "sees no GPU" in capsys.readouterr().err


def test_ceilings():
    found = machine.measure(side=32, copied=64)
    assert found.flops > 0 and found.bandwidth > 0 and found.versions["jax"] == jax.__version__


DECODE = tiles.Key("sm80", "pallas_triton", "decode", "float32", (16, 8, 16))
TILES = [tiles.Tile(16, columns, 32, 4, 2) for columns in (16, 32, 0)]


@pytest.mark.usefixtures("compiled_at_once")
def test_a_sweep_keeps_what_is_fastest_of_what_works(tmp_path, monkeypatch):
    monkeypatch.setattr(tiles, "PATH", tmp_path / "tiles.json")
    monkeypatch.setattr(sweep, "case", lambda key: CASE)
    monkeypatch.setattr(sweep, "candidates", lambda key: tuple(TILES))
    seconds = {str(TILES[0]): 2.0, str(TILES[1]): 1.0}
    monkeypatch.setattr(timing, "medians", lambda launches, _: {x: seconds[x] for x in launches})
    tiles.write({DECODE: TILES[0]})
    said: list[str] = []
    here = dataclasses.replace(MACHINE, architecture="sm80")
    try:
        assert sweep.run(here, "decode/float32/16x8x16", said.append) == 0
        assert tiles.table()[DECODE] == TILES[1]
        assert sweep.run(here, "no such entry", said.append) == 1
    finally:
        monkeypatch.undo()
        tiles._written.cache_clear()
    assert "pallas_triton/decode/float32/16x8x16: the table has 16 16 32 4 2" in said[0]
    assert "  16 32 32 4 2           1000.000 ms  2.00" in said[0]
    assert "  16 0 32 4 2            failed: " in said[0]


CASE = sweep.case(DECODE, small=True)


def test_a_tile_is_changed_only_where_that_is_worth_it():
    one, other, third = TILES
    assert sweep.choose([(one, 1.0), (other, 0.995)]) is None
    assert sweep.choose([(one, 1.0), (other, 0.9), (third, "does not compile")]) == other
    assert sweep.choose([(one, "spills"), (other, 0.9)]) == other
    assert sweep.choose([(one, "spills")]) is None


@pytest.mark.parametrize(
    ("operation", "given"),
    [
        ("attention_forward", {"out"}),
        ("attention_backward_q", {"q_BNTH", "q_rope_BNTP"}),
        ("attention_backward_kv", {"k_BKTH", "v_BKTW", "k_rope_BTP"}),
        ("grouped_matmul_transposed", {"weight_EIO"}),
    ],
)
def test_a_sweep_computes_what_the_entrys_kernel_computes(operation, given):
    widths = () if operation.startswith("grouped") else (16, 8, 16)
    case = sweep.case(tiles.Key("sm80", "pallas_triton", operation, "bfloat16", widths), small=True)
    inputs = jax.eval_shape(lambda: case.draw(jax.random.key(0)))
    expected = jax.eval_shape(case.expected, inputs)
    names = expected._asdict() if hasattr(expected, "_asdict") else {"out": expected}
    assert {name for name, x in names.items() if x is not None} == given
