# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: what is damaged is noticed, whatever was damaged, and the step before is taken."""

import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from coder import checkpoint
from coder.config import to_json
from coder.model.transformer import Decoder
from tests.train.small_run import CONFIG, MODEL

# Orbax leaves coroutines behind where it fails.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


def trees(number: int) -> dict:
    value = float(number)
    return {
        "parameters": {"a": jnp.full((16, 16), value), "b": {"c": jnp.arange(4.0) * value}},
        "training": {
            "step": jnp.int32(number),
            "window": (jnp.float32(value), np.zeros(3, np.int32)),
        },
    }


LIKE = jax.eval_shape(lambda: trees(0))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Steps 1 and 2, for copying."""
    directory = tmp_path_factory.mktemp("saved") / "checkpoints"
    for step in (1, 2):
        checkpoint.save(directory, step, trees(step), {"loader": {"next_batch": step}}, keep=2)
    return directory


@pytest.fixture
def directory(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def test_what_was_saved_comes_back(directory: Path):
    restored = checkpoint.restore_latest(directory, LIKE)
    assert restored is not None and restored.step == 2
    assert restored.extras == {"loader": {"next_batch": 2}}
    jax.tree.map(np.testing.assert_array_equal, restored.trees, trees(2))
    assert jax.tree.structure(restored.trees) == jax.tree.structure(trees(2))


def test_a_relative_directory_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    checkpoint.save(Path("runs/checkpoints"), 3, trees(3), {}, keep=2)
    restored = checkpoint.restore_latest(Path("runs/checkpoints"), LIKE)
    assert restored is not None and restored.step == 3


def test_parameters_can_be_had_alone(directory: Path):
    restored = checkpoint.restore_latest(directory, {"parameters": LIKE["parameters"]})
    assert restored is not None
    jax.tree.map(
        np.testing.assert_array_equal, restored.trees["parameters"], trees(2)["parameters"]
    )


def test_nothing_saved_is_none(tmp_path: Path):
    assert checkpoint.restore_latest(tmp_path / "checkpoints", LIKE) is None


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "deleted":
        path.unlink()
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif data:
        data[int(len(data) * float(how))] ^= 0x10
        path.write_bytes(data)


def restored_step(directory: Path) -> int:
    restored = checkpoint.restore_latest(directory, LIKE)
    assert restored is not None
    jax.tree.map(np.testing.assert_array_equal, restored.trees, trees(restored.step))
    assert restored.extras == {"loader": {"next_batch": restored.step}}
    return restored.step


def test_any_damage_is_harmless_or_noticed(saved: Path, tmp_path: Path, caplog):
    """One bit is flipped in every file of the newest step, and some files are cut or deleted."""
    newest = saved / "00000002"
    files = [path.relative_to(saved) for path in sorted(newest.rglob("*")) if path.is_file()]
    whole = [file for file in files if "ocdbt.process_0" not in file.parts]
    cases = [(file, "0.5") for file in whole]
    cases += [
        (file, how) for how in ("cut", "deleted") for file in whole if "parameters" in file.parts
    ]
    noticed = set()
    for file, how in cases:
        directory = Path(shutil.copytree(saved, tmp_path / "checkpoints"))
        damage(directory / file, how)
        if restored_step(directory) == 1:
            noticed.add(file.parts[1])
        shutil.rmtree(directory)
    assert noticed == {"parameters", "training", "_CHECKPOINT_METADATA"}
    assert "damaged checkpoint passed over" in caplog.text


def test_a_changed_bit_of_an_array_is_noticed_where_the_file_is_whole(directory: Path, caplog):
    """As a bit that flipped in memory, between digest and disk: every file is as it was written."""
    wrong = trees(2)
    wrong["parameters"]["a"] = wrong["parameters"]["a"].at[3, 3].set(2.0000002)
    checkpoint.delete(directory, 2)
    digests = checkpoint._digests
    checkpoint._digests = lambda _: digests(trees(2))
    try:
        checkpoint.save(directory, 2, wrong, {"loader": {"next_batch": 2}}, keep=2)
    finally:
        checkpoint._digests = digests
    assert restored_step(directory) == 1
    assert "parameters/a is not the array that was saved" in caplog.text


def test_when_all_are_damaged_it_says_so(directory: Path):
    for step in ("00000001", "00000002"):
        shutil.rmtree(directory / step / "parameters")
    with pytest.raises(checkpoint.CheckpointError, match="delete the folder to begin anew"):
        checkpoint.restore_latest(directory, LIKE)


def test_another_models_checkpoint_is_refused_with_the_reason(directory: Path):
    like = {
        **LIKE,
        "parameters": {**LIKE["parameters"], "a": jax.ShapeDtypeStruct((8, 8), jnp.float32)},
    }
    with pytest.raises(checkpoint.CheckpointError, match=r"\(8, 8\)|\[8, 8\]"):
        checkpoint.restore_latest(directory, like)


def test_orphans_are_removed_and_checkpoints_are_not(directory: Path):
    (directory / "00000003.orbax-checkpoint-tmp" / "parameters").mkdir(parents=True)
    (directory / "deleted-0").mkdir()
    checkpoint.clean(directory)
    assert sorted(path.name for path in directory.iterdir()) == ["00000001", "00000002"]


def test_only_the_newest_are_kept(directory: Path):
    checkpoint.save(directory, 3, trees(3), {}, keep=2)
    assert checkpoint.steps(directory) == [2, 3]


def test_the_digest_sees_every_bit_and_name():
    parameters = trees(1)["parameters"]
    digest = checkpoint.parameters_digest(parameters)
    assert digest == checkpoint.parameters_digest(jax.tree.map(np.asarray, parameters))
    changed = {**parameters, "a": parameters["a"].at[0, 0].set(-1.0)}
    renamed = {"z": parameters["a"], "b": parameters["b"]}
    reshaped = {**parameters, "a": parameters["a"].reshape(4, 64)}
    others = [checkpoint.parameters_digest(tree) for tree in (changed, renamed, reshaped)]
    assert len({digest, *others}) == 4


def test_a_runs_parameters_are_loaded_without_its_trainer(tmp_path: Path):
    shapes = nnx.to_pure_dict(nnx.state(nnx.eval_shape(lambda: Decoder(MODEL, nnx.Rngs(0)))))
    rng = np.random.default_rng(0)
    parameters = jax.tree.map(lambda leaf: jnp.float32(rng.normal(size=leaf.shape)), shapes)
    checkpoint.save(tmp_path / "checkpoints", 5, {"parameters": parameters}, {}, keep=2)
    (tmp_path / "config.json").write_text(json.dumps({"run": to_json(CONFIG)}))
    decoder, config = checkpoint.load_parameters(tmp_path)
    assert config == CONFIG and isinstance(decoder, Decoder)
    loaded = nnx.to_pure_dict(nnx.state(decoder))
    jax.tree.map(np.testing.assert_array_equal, loaded, parameters)


@pytest.mark.parametrize(
    ("with_config", "message"), [(False, "is no run"), (True, "train it first")]
)
def test_a_run_without_a_model_says_what_is_missing(
    tmp_path: Path, with_config: bool, message: str
):
    if with_config:
        (tmp_path / "config.json").write_text(json.dumps({"run": to_json(CONFIG)}))
    with pytest.raises(checkpoint.CheckpointError, match=message):
        checkpoint.load_parameters(tmp_path)
