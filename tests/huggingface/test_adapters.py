# SPDX-License-Identifier: Apache-2.0
"""Adapters in PEFT's layout: exact both ways, and what cannot be honoured is refused by name."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from coder.checkpoint import CheckpointError
from coder.config import MlaConfig, ModelConfig, MoeConfig
from coder.huggingface.adapters import load_adapter, read_adapters, save_adapter
from coder.huggingface.export_model import export_model
from coder.huggingface.exportable import read_exportable
from coder.huggingface.import_model import import_model, load
from coder.huggingface.source import read_source
from coder.model.lora import LowRank, adapters_of, matrices, merged, with_adapters
from coder.model.transformer import Decoder
from tests.model.test_transformer import SMALL

V2 = dataclasses.replace(
    SMALL,
    num_layers=3,
    num_kv_heads=4,
    mla=MlaConfig(8, q_lora_rank=6, qk_nope_head_dim=4, qk_rope_head_dim=8, v_head_dim=6),
    moe=MoeConfig(num_experts=4, num_shared_experts=1, experts_per_token=2, d_expert=8),
)
LLAMA_TARGETS = ["query_DQ", "down_FD"]
V2_TARGETS = ["query_down_DR", "query_up_RQ", "down_DX", "up_CY", "output_OD"]
RANK = 3
PREFIX = "base_model.model.model.layers"
GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("peft_*.npz"))

# As PEFT 0.21 writes it, without the fields that are null.
PEFT_CONFIG: dict[str, Any] = {
    **{"peft_type": "LORA", "task_type": "CAUSAL_LM", "bias": "none", "inference_mode": True},
    **{"r": RANK, "lora_alpha": 6, "target_modules": ["q_proj", "down_proj"], "use_rslora": False},
    **{"alpha_pattern": {}, "rank_pattern": {}, "loftq_config": {}, "lora_dropout": 0.05},
    **{"fan_in_fan_out": False, "use_dora": False, "init_lora_weights": True},
    **{"megatron_core": "megatron.core", "qalora_group_size": 16, "peft_version": "0.21.2"},
    **{"modules_to_save": None, "layers_to_transform": None, "target_parameters": None},
}


def decoder(config: ModelConfig) -> Decoder:
    """A decoder of zeros: what is exchanged here is not computed with."""
    shapes = nnx.eval_shape(lambda: Decoder(config, nnx.Rngs(0)))
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)


def adapted(config: ModelConfig, targets: list[str], dtype: str = "float32") -> Decoder:
    """With random adapters beside the matrices of these names."""
    model, rng = decoder(config), np.random.default_rng(0)

    def drawn(*shape: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=shape), dtype)

    return with_adapters(
        model,
        {
            path: LowRank(drawn(layers, inputs, RANK), drawn(layers, RANK, outputs), 6.0)
            for path, weight in matrices(model).items()
            if path.rpartition("/")[2] in targets
            for layers, inputs, outputs in [weight.shape]
        },
    )


def same(first: dict[str, LowRank], second: dict[str, LowRank]) -> bool:
    """Whether adapters agree in every bit and setting."""
    return jax.tree.structure(first) == jax.tree.structure(second) and all(
        a.dtype == b.dtype and np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An adapter of SMALL as PEFT writes it."""
    write_peft(tmp_path, SMALL)
    return tmp_path


def write_peft(directory: Path, config: ModelConfig, **settings: Any) -> None:
    rng = np.random.default_rng(0)
    queries = config.num_heads * config.head_dim
    shapes = {
        "self_attn.q_proj": (config.d_model, queries),
        "mlp.down_proj": (config.d_ff, config.d_model),
    }
    tensors = {}
    for layer in range(config.num_layers):
        for module, (inputs, outputs) in shapes.items():
            for factor, shape in (("A", (RANK, inputs)), ("B", (outputs, RANK))):
                name = f"{PREFIX}.{layer}.{module}.lora_{factor}.weight"
                tensors[name] = rng.normal(size=shape).astype(np.float32)
    save_file(tensors, directory / "adapter_model.safetensors", metadata={"format": "pt"})
    (directory / "adapter_config.json").write_text(json.dumps(PEFT_CONFIG | settings))


def change_tensors(directory: Path, **changes: Any) -> None:
    """Replaces tensors, or drops those that are to be None."""
    path = directory / "adapter_model.safetensors"
    tensors = load_file(path)
    for name, value in changes.items():
        tensors.pop(name, None)
        if value is not None:
            tensors[name] = value
    save_file(tensors, path)


def test_an_adapter_of_peft_is_read(folder):
    model = load_adapter(decoder(SMALL), folder)
    adapters = adapters_of(model)
    assert adapters.keys() == {"layers/attention/query_DQ", "layers/mlp/down_FD"}
    tensors = load_file(folder / "adapter_model.safetensors")
    for layer in range(SMALL.num_layers):
        name = f"{PREFIX}.{layer}.mlp.down_proj"
        found = adapters["layers/mlp/down_FD"]
        np.testing.assert_array_equal(found.down_IR[...][layer].T, tensors[f"{name}.lora_A.weight"])
        np.testing.assert_array_equal(found.up_RO[...][layer].T, tensors[f"{name}.lora_B.weight"])
        assert found.scale == 2.0


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_logits_are_those_of_peft(path, tmp_path):
    expected, tokens = unpack(path, tmp_path)
    import_model(read_source(tmp_path / "model"), tmp_path / "imported")
    plain, config = load(tmp_path / "imported")
    model = load_adapter(plain, tmp_path / "adapter")
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)

    @jax.jit
    def logits(model: Decoder) -> jax.Array:
        return model(tokens, positions, jnp.ones_like(tokens))

    np.testing.assert_allclose(logits(model), expected, atol=1e-5)
    np.testing.assert_allclose(logits(merged(model)), expected, atol=1e-5)
    assert not np.allclose(logits(plain), expected, atol=0.5)
    source, adapters = read_exportable(tmp_path / "imported"), adapters_of(model)
    export_model(source, tmp_path / "exported", "stored", 20_000, adapters)
    import_model(read_source(tmp_path / "exported"), tmp_path / "both")
    np.testing.assert_allclose(logits(load(tmp_path / "both")[0]), expected, atol=1e-5)
    save_adapter(model, tmp_path / "again")
    assert same(read_adapters(config, tmp_path / "again"), adapters_of(model))


def unpack(path: Path, directory: Path) -> tuple[np.ndarray, jax.Array]:
    """Makes the folders `model` and `adapter` of a golden file; its logits and tokens."""
    with np.load(path) as file:
        arrays = dict(file)
    for kind, config, weights in (
        ("model", "config", "model"),
        ("adapter", "adapter_config", "adapter_model"),
    ):
        (directory / kind).mkdir()
        (directory / kind / f"{config}.json").write_text(str(arrays[config]))
        tensors = {
            key.removeprefix(f"{kind}/"): array
            for key, array in arrays.items()
            if key.startswith(f"{kind}/")
        }
        save_file(tensors, directory / kind / f"{weights}.safetensors")
    return arrays["logits"], jnp.asarray(arrays["tokens"], jnp.int32)


def test_there_are_golden_files():
    assert len(GOLDEN) == 3


def test_a_stabilised_rank_divides_by_its_root(tmp_path):
    write_peft(tmp_path, SMALL, use_rslora=True)
    found = read_adapters(SMALL, tmp_path)["layers/mlp/down_FD"]
    assert found.scale == pytest.approx(6 / 3**0.5)


def test_targets_may_be_an_expression(tmp_path):
    write_peft(tmp_path, SMALL, target_modules=r"model\.layers\.\d+\..*(q|down)_proj")
    assert len(read_adapters(SMALL, tmp_path)) == 2


def test_what_is_read_is_written_again_bit_for_bit(folder, tmp_path):
    save_adapter(load_adapter(decoder(SMALL), folder), tmp_path / "again")
    name = "adapter_model.safetensors"
    first, second = load_file(folder / name), load_file(tmp_path / "again" / name)
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    with safe_open(tmp_path / "again" / name, "np") as file:
        assert file.metadata() == {"format": "pt"}
    written = json.loads((tmp_path / "again/adapter_config.json").read_text())
    same = ("r", "lora_alpha", "use_rslora", "bias", "peft_type", "task_type")
    assert all(written[name] == PEFT_CONFIG[name] for name in same)
    assert written["target_modules"] == ["down_proj", "q_proj"]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(
    ("config", "targets"), [(SMALL, LLAMA_TARGETS), (V2, V2_TARGETS)], ids=["llama", "v2"]
)
def test_what_is_written_is_read_again(config, targets, dtype, tmp_path):
    model = adapted(config, targets, dtype)
    save_adapter(model, tmp_path)
    assert same(read_adapters(config, tmp_path), adapters_of(model))
    stacks = {"layers", "first_layers"} if config is V2 else {"layers"}
    assert {path.partition("/")[0] for path in adapters_of(model)} == stacks


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("bias", "all"),
        ("modules_to_save", ["lm_head"]),
        ("use_dora", True),
        ("rank_pattern", {"q_proj": 4}),
        ("alpha_pattern", {"q_proj": 4}),
        ("layers_to_transform", [0]),
        ("exclude_modules", ["o_proj"]),
        ("fan_in_fan_out", True),
        ("lora_bias", True),
        ("init_lora_weights", "pissa_niter_4"),
        ("peft_type", "IA3"),
        ("something_new", "yes"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(folder, setting, value):
    write_peft(folder, SMALL, **{setting: value})
    with pytest.raises(CheckpointError, match=rf"adapter_config.json: {setting}=.* not supported"):
        read_adapters(SMALL, folder)


@pytest.mark.parametrize(
    ("config", "targets", "message"),
    [
        (SMALL, ["c_attn"], "there is no module 'c_attn' in any model"),
        (SMALL, ["lm_head"], "reaches lm_head: only matrices"),
        (SMALL, ["input_layernorm"], "reaches model.layers.0.input_layernorm: only matrices"),
        (SMALL, ["q_a_proj"], "names no matrix of this model"),
        (SMALL, "(", "target_modules='\\('"),
        (
            SMALL,
            ["layers.1.self_attn.q_proj"],
            "layers.1.* and not model.layers.0.self_attn.q_proj",
        ),
        (V2, ["q_a_proj", "gate_proj"], "mlp.gate_proj: PEFT turns .* only adapters of the att"),
    ],
)
def test_targets_without_a_place_are_refused(folder, config, targets, message):
    write_peft(folder, SMALL, target_modules=targets)
    with pytest.raises(CheckpointError, match=message):
        read_adapters(config, folder)


def test_adapters_of_fused_experts_are_refused_with_the_reason(folder):
    write_peft(folder, SMALL, target_parameters=["experts.gate_up_proj"])
    with pytest.raises(CheckpointError, match="target_parameters is not supported: PEFT turns"):
        read_adapters(V2, folder)


TENSOR = f"{PREFIX}.1.self_attn.q_proj.lora_A.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({TENSOR: None}, f"tensor {TENSOR} is missing, of shape \\[3, 16\\]"),
        (
            {TENSOR: np.zeros((2, 16), np.float32)},
            f"tensor {TENSOR} has the shape \\[2, 16\\], expected \\[3, 16\\] with r=3",
        ),
        (
            {TENSOR: np.zeros((3, 16), np.float64)},
            f"tensor {TENSOR} is of type F64: only BF16, F16, F32",
        ),
        ({"lm_head.weight": np.zeros((2, 2))}, "tensor lm_head.weight belongs to no module"),
    ],
)
def test_wrong_tensors_are_named(folder, change, message):
    change_tensors(folder, **change)
    with pytest.raises(CheckpointError, match=message):
        read_adapters(SMALL, folder)


def test_a_file_that_was_cut_is_refused(folder):
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=f"is cut short: {PREFIX}.* ends at byte"):
        read_adapters(SMALL, folder)


def test_weights_in_torchs_format_are_not_read(folder):
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(CheckpointError, match="it has adapter_model.bin.*convert it to safetensor"):
        read_adapters(SMALL, folder)


def test_another_base_model_is_refused(folder):
    with pytest.raises(CheckpointError, match="has the shape .* expected .* this base model"):
        read_adapters(dataclasses.replace(SMALL, d_model=24), folder)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} cannot be read: No such file"):
        read_adapters(SMALL, folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"r": 0}, "r=0: must be an integer, at least 1"),
        ({"lora_alpha": "x"}, "lora_alpha='x': must be a number"),
        ({"target_modules": None}, "target_modules=None: must be names"),
    ],
)
def test_ill_typed_settings_are_named(folder, change, message):
    write_peft(folder, SMALL, **change)
    with pytest.raises(CheckpointError, match=message):
        read_adapters(SMALL, folder)


def test_settings_that_are_missing_are_named(folder):
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(CheckpointError, match="adapter_config.json: r is missing"):
        read_adapters(SMALL, folder)


def test_what_peft_cannot_hold_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="the model has no adapters"):
        save_adapter(decoder(SMALL), tmp_path / "new")
    with pytest.raises(ValueError, match="reaches model.layers.0.mlp.gate_proj: PEFT turns"):
        save_adapter(adapted(V2, ["gate_DF"]), tmp_path / "new")
    model = adapted(SMALL, ["query_DQ"])
    [adapter] = adapters_of(model).values()
    other = LowRank(adapter.down_IR[...], adapter.up_RO[...], 5.0)
    mixed = with_adapters(model, {"layers/attention/output_QD": other})
    with pytest.raises(ValueError, match=r"different kinds.*\(3, 5.0, False\), \(3, 6.0, False\)"):
        save_adapter(mixed, tmp_path / "new")
    first = {path: x for path, x in adapters_of(adapted(V2, ["up_CY"])).items() if "first" in path}
    with pytest.raises(
        ValueError, match="no adapter is beside layers/attention/up_CY: .*kv_b_proj"
    ):
        save_adapter(with_adapters(decoder(V2), first), tmp_path / "new")
    assert not (tmp_path / "new").exists()
