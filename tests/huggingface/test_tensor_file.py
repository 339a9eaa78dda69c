# SPDX-License-Identifier: Apache-2.0
"""The format of safetensors, against the library; and damaged files, told by their tensors."""

import json
import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from coder.checkpoint import CheckpointError
from coder.huggingface import tensor_file
from coder.huggingface.tensor_file import Writer, checksum, read_entries

ARRAYS = {
    "first": np.arange(6, dtype=np.float32).reshape(2, 3),
    "second": np.arange(4, dtype=np.float32),
    "empty": np.zeros((0, 2), np.float32),
}


def saved(folder: Path) -> Path:
    save_file(ARRAYS, folder / "file.safetensors")
    return folder / "file.safetensors"


def with_header(path: Path, header: object, data: bytes = bytes(40)) -> Path:
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data)
    return path


def test_the_files_of_the_library_are_read(tmp_path: Path):
    entries = read_entries(saved(tmp_path))
    assert entries.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(entries[name].array(), array, strict=True)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_the_library_reads_what_is_written(tmp_path: Path, dtype: str):
    path, stack = tmp_path / "file.safetensors", np.random.default_rng(0).random((2, 3, 4, 5))
    stack = stack.astype(np.float32)
    with Writer(path, {"norm": (3,), "stack": (2, 3, 5, 4)}, dtype) as writer:
        for index in [(1, 2), (0, 1), (0, 0), (1, 0), (0, 2), (1, 1)]:
            writer.write("stack", index, stack[index].T)
        writer.write("norm", (), np.ones(3, np.float32))
    read = load_file(path)
    as_written = stack.swapaxes(2, 3).astype(tensor_file.TYPES[dtype])
    np.testing.assert_array_equal(read["stack"], as_written, strict=True)
    np.testing.assert_array_equal(read["norm"], np.ones(3, as_written.dtype), strict=True)


def test_tensors_begin_where_jax_can_use_them(tmp_path: Path):
    path = tmp_path / "file.safetensors"
    with Writer(path, {"odd": (3,), "even": (32, 2), "last": (16,)}, "F32"):
        pass
    entries = read_entries(path)
    assert [entries[name].start % 64 for name in ("even", "last", "odd")] == [0, 0, 0]


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.booleans(), st.integers(1, 5000))
def test_parts_of_any_size_are_the_bytes(rows: int, columns: int, turned: bool, part_bytes: int):
    array = np.random.default_rng(rows).random((rows, columns), np.float32)
    array = array.astype(ml_dtypes.bfloat16) if part_bytes % 2 else array
    given_array = np.ascontiguousarray(array.T).T if turned else array
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensor_file, "_PART_BYTES", part_bytes)
        parts = list(tensor_file._parts(given_array, array.dtype))
    assert b"".join(part.tobytes() for part in parts) == array.tobytes()


def test_writing_tells_the_checksum(tmp_path: Path):
    array = np.random.default_rng(0).random((70, 50), np.float32)
    with Writer(tmp_path / "file.safetensors", {"x": (50, 70)}, "F32") as writer:
        assert writer.write("x", (), array.T) == checksum(array.T)
    assert checksum(array) != checksum(array.T)


def test_no_more_than_a_part_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tensor_file, "_PART_BYTES", 100_000)
    save_file({"x": np.ones((2000, 1000), np.float32)}, tmp_path / "in")
    [entry] = read_entries(tmp_path / "in").values()
    with Writer(tmp_path / "out", {"x": (1000, 2000)}, "F32") as writer:
        tracemalloc.start()
        writer.write("x", (), entry.array().T)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert 100_000 < peak < 200_000


@pytest.mark.parametrize("size", [1, 7, 8, 60])
def test_a_file_cut_in_its_header_is_told(tmp_path: Path, size: int):
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=rf"file.safetensors.*cut within.*it has {size} byte"):
        read_entries(path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "file is empty: download it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d", "run `git lfs pull` in"),
    ],
)
def test_what_an_unfinished_download_leaves_is_told(tmp_path: Path, content: bytes, problem: str):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(CheckpointError, match=problem):
        read_entries(tmp_path / "file")


def test_a_file_cut_in_a_tensor_names_it(tmp_path: Path):
    path = saved(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(CheckpointError, match=f"cut short: second ends at byte {len(whole)}"):
        read_entries(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(CheckpointError, match="but its tensors end at byte"):
        read_entries(path)


@pytest.mark.parametrize(
    "told",
    [
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 40]},
        {"dtype": "F32", "shape": [10], "data_offsets": [-4, 36]},
        {"dtype": "F32", "shape": [9], "data_offsets": [4, 40]},
    ],
)
def test_a_tensor_that_lies_wrong_is_named(tmp_path: Path, told: dict):
    with pytest.raises(CheckpointError, match=r"file: bent, F32 \[\d+\], should lie at bytes"):
        read_entries(with_header(tmp_path / "file", {"bent": told}))


@pytest.mark.parametrize(
    "header",
    [
        [],
        {"x": 1},
        {"x": {}},
        {"x": {"dtype": "F32", "shape": ["a"], "data_offsets": [0, 40]}},
        {"x": {"dtype": "F32", "shape": [10], "data_offsets": [0]}},
        {"x": {"dtype": "F32", "shape": [10], "data_offsets": [0, float("inf")]}},
    ],
)
def test_a_header_of_another_form_is_refused(tmp_path: Path, header: object):
    with pytest.raises(CheckpointError, match="file: its header cannot be read"):
        read_entries(with_header(tmp_path / "file", header))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(CheckpointError, match="absent cannot be read: No such file"):
        read_entries(tmp_path / "absent")
