# SPDX-License-Identifier: Apache-2.0
"""What `make aot` reads out of compilers' reports, and which kernels the tile table should have."""

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks import _aot_reports as reports
from benchmarks import _aot_verdicts as verdicts
from benchmarks._aot_entries import Entry, name_of
from benchmarks._aot_programs import PROGRAMS
from benchmarks._aot_targets import TARGETS
from kernels import tiles

ROOT = Path(__file__).parents[2]
AOT_PYTHON = ROOT / ".venv-aot" / "bin" / "python"

VERBOSE = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'first' for 'sm_90a'
ptxas info    : Function properties for first
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 168 registers, used 16 barriers, 1 bytes smem
ptxas info    : Compile time = 216.793 ms
ptxas info    : Compiling entry function 'second' for 'sm_90a'
ptxas warning : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized
ptxas info    : Function properties for second
    8 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads
ptxas info    : Used 64 registers, used 0 barriers, 8 bytes cumulative stack size
"""


def test_registers_spills_and_warnings_of_each_kernel() -> None:
    first, second = reports.usages(VERBOSE)
    assert first == reports.Usage("first", 168, 0, 0, 0, 1, ())
    assert (second.kernel, second.registers, second.spills, second.stack) == ("second", 64, 32, 8)
    assert "serialized" in second.warnings[0]


def test_launches_of_triton_kernels() -> None:
    thunks = (
        "001: kCustomKernel [source       | next=002 (1)] loop_add_fusion "
        "grid: [1, 1, 1] threads: [8, 1, 1]  shared_memory: 0 bytes\n"
        "002: kCustomKernel [prev=001 (1) | sink        ] decode_split "
        "grid: [1, 16, 8] threads: [128, 1, 1]  shared_memory: 56320 bytes\n"
    )
    assert reports.triton_launches(thunks) == {
        "loop_add_fusion": reports.Launch(8, 0),
        "decode_split": reports.Launch(128, 56320),
    }


def test_calls_of_pallas_kernels() -> None:
    hlo = """
%fusion.1 = s32[8]{0} fusion(%length_B.1), metadata={op_name="jit(step)/min"}
%call.5 = f32[8]{0} custom-call(%fusion.1), metadata={op_name="jit(step)/decode/pallas_call"}
%part = f32[8]{0} get-tuple-element(%call.5), metadata={op_name="jit(step)/decode/pallas_call"}
%map.6 = f32[8]{0} custom-call(%fusion.1), metadata={op_name="jit(step)/mosaic/mpmd_map"}
"""
    assert reports.pallas_calls(hlo) == {"decode": 1, "mosaic": 1}
    assert reports.named("decode__12") == reports.named("decode_mosaic_gpu_kernel") == "decode"


def test_launches_of_mosaic_kernels() -> None:
    code = """\
  call void @mosaic_gpu_init_tma_desc(ptr %319, ptr %391, i64 5, i64 5, ptr %392)
  %412 = call i32 @mosaic_gpu_launch_kernel(ptr %0, i32 2, i32 32, i32 16, i32 0, i32 0, i32 0, \
i32 384, i32 1, i32 1, i32 165976, i32 0, ptr %1, ptr %409)
"""
    assert reports.mosaic_launches(code) == [reports.Launch(384, 165976)]


def test_products_and_copies() -> None:
    ptx = "wgmma.mma_async.sync.aligned;\ncp.async.bulk.tensor;\ncp.async.cg;\ncp.async.cg;\n"
    assert reports.instructions(ptx) == {"wgmma": 1, "tma": 1, "cp.async": 2}


@pytest.mark.parametrize(
    ("registers", "threads", "shared", "blocks"),
    [
        (168, 384, 165976, 1),  # 64,512 of 65,536 registers
        (32, 128, 0, 16),  # threads
        (16, 32, 0, 32),  # blocks
        (32, 128, 75_000, 3),  # shared memory
        (33, 1024, 0, 1),  # 33 registers take the room of 40
        (255, 512, 0, 0),
        (32, 128, 232_449, 0),
    ],
)
def test_blocks_of_a_core(registers: int, threads: int, shared: int, blocks: int) -> None:
    usage = reports.Usage("k", registers, 0, 0, 0, 0, ())
    found = reports.blocks_per_core(usage, reports.Launch(threads, shared), TARGETS["sm90"])
    assert found == blocks


KERNEL = {
    "case": "mha",
    "name": "attention_forward",
    "registers": 168,
    "spills": 0,
    "stack": 0,
    "threads": 384,
    "shared": 165976,
    "blocks_per_core": 1,
    "instructions": {"wgmma": 4},
    "warnings": [],
    "seconds": 1.5,
}
ENTRY = Entry(
    tiles.Key("sm90", "pallas_mosaic", "attention_forward", "bfloat16", (128, 0, 128)),
    tiles.Tile(128, 128, 0, 8, 2),
)


def test_nothing_is_wrong_with_a_kernel_that_fits() -> None:
    assert verdicts.entry_row(ENTRY, {"kernels": [KERNEL]})["problems"] == []


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"kernels": []}, "no kernel"),
        ({"kernels": [], "error": "ValueError: no"}, "does not compile: ValueError: no"),
        ({"kernels": [KERNEL | {"spills": 8}]}, "spills 8 bytes a thread, with 168 registers"),
        ({"kernels": [KERNEL | {"blocks_per_core": 0}]}, "165976 of 232448 bytes"),
        ({"kernels": [KERNEL | {"instructions": {"tma": 4}}]}, "not those of tensor cores"),
    ],
)
def test_what_is_wrong_with_an_entry(answer: dict[str, Any], problem: str) -> None:
    (found,) = verdicts.entry_row(ENTRY, answer)["problems"]
    assert problem in found


def test_warnings_are_those_of_the_kernels() -> None:
    row = verdicts.entry_row(ENTRY, {"kernels": [KERNEL | {"warnings": ["serialized"]}] * 2})
    assert row["warnings"] == ["attention_forward: serialized"]


PROGRAM = PROGRAMS["sm90/train_step/v1_1.3b/1_gpu"]
ATTENTION = {"attention_forward": 1, "attention_backward_q": 1, "attention_backward_kv": 1}
STEP = {
    "kernels": [],
    "calls": ATTENTION,
    "collectives": {},
    "gpus": 1,
    "mesh": {"data": 1},
    "bytes": {"arguments": 10**9, "temporary": 2 * 10**9, "results": 0},
    "seconds": 30.0,
}


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({}, []),
        ({"calls": {}}, [f"the model does not call {name}" for name in ATTENTION]),
        ({"bytes": {"arguments": 142 * 10**9}}, ["needs 142.0 GB of each GPU, which has 141"]),
        ({"error": "ValueError: no"}, ["does not compile: ValueError: no"]),
    ],
)
def test_what_is_wrong_with_a_program(changes: dict[str, Any], problems: list[str]) -> None:
    assert verdicts.program_row("name", PROGRAM, STEP | changes)["problems"] == problems


def test_a_row_is_a_line_for_scripts() -> None:
    assert verdicts.line(verdicts.entry_row(ENTRY, {"kernels": [KERNEL]})) == (
        "aot sm90/pallas_mosaic/attention_forward/bfloat16/128-0-128 compiles tile=128x128/8/2 "
        "registers=168 spills=0 stack=0 threads=384 shared=165976 blocks=1 seconds=1.5 "
        "products=wgmma copies=none"
    )


SIBLINGS = (
    {"attention_forward", "attention_backward_q", "attention_backward_kv"},
    {"grouped_matmul", "grouped_matmul_transposed"},
)


def test_what_the_table_has_forward_it_has_backward() -> None:
    table = set(tiles.table())
    asked = {
        dataclasses.replace(key, operation=operation)
        for key in table
        for family in SIBLINGS
        if key.operation in family
        for operation in family
    }
    assert sorted(map(name_of, asked - table)) == []


@pytest.mark.slow
def test_an_entry_compiles_without_a_gpu() -> None:
    if not AOT_PYTHON.exists():
        pytest.skip("needs .venv-aot, which `make aot` creates")
    command = [AOT_PYTHON, "-m", "benchmarks.aot", "--only", "sm80.*decode/bfloat16/128-0-128"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "1 of 1 compile as they should" in done.stdout
