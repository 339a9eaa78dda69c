# SPDX-License-Identifier: Apache-2.0
"""The shapes that have a name: sizes as published, computed without allocating."""

import pytest

from coder.__main__ import main
from coder.config import ModelConfig, from_json, replace, to_json
from coder.huggingface.config import from_huggingface, to_huggingface
from coder.model.counts import cache_bytes_per_token, parameter_counts
from coder.model.presets import PRESETS
from coder.model.transformer import check
from experiments import fim_ablation

LITE, V2 = PRESETS["deepseek_coder_v2_lite"], PRESETS["deepseek_coder_v2"]
TINY = [name for name in PRESETS if name.startswith("tiny")]
PUBLISHED = {
    "deepseek_coder_1_3b": 1_346_471_936,
    "deepseek_coder_5_7b_mqa": 5_700_325_376,
    "deepseek_coder_6_7b": 6_740_512_768,
    "deepseek_coder_33b": 33_342_991_360,
    "deepseek_coder_7b_v1_5": 6_910_365_696,
    "deepseek_coder_v2_lite": 15_706_484_224,
    "deepseek_coder_v2": 235_741_434_880,
}


@pytest.mark.parametrize("name", PRESETS)
def test_settings_fit_each_other_and_survive_json(name):
    check(PRESETS[name])
    assert from_json(ModelConfig, to_json(PRESETS[name])) == PRESETS[name]


@pytest.mark.parametrize("name", PRESETS)
def test_config_json_carries_all_but_what_concerns_training(name):
    preset = PRESETS[name]
    preset = replace(preset, {"max_positions": preset.max_positions or 128})  # as a run's export
    config = preset
    for setting in ("device_balance", "communication_balance", "capacity_factor"):
        config = replace(config, {f"moe.{setting}": 0.0})
    assert from_huggingface(to_huggingface(preset)) == config


@pytest.mark.parametrize(("name", "total"), PUBLISHED.items())
def test_totals_are_the_published_models(name, total):
    assert parameter_counts(PRESETS[name]).total == total


def test_of_the_experts_those_that_see_a_token_are_active():
    assert parameter_counts(LITE).active == 2_661_150_208
    assert parameter_counts(LITE).active_without_table / 1e9 == pytest.approx(2.451, abs=5e-4)
    assert parameter_counts(V2).active == 21_375_800_320


@pytest.mark.parametrize("name", ["tiny_gqa", "deepseek_coder_33b"])
def test_without_experts_all_parameters_are_active(name):
    counts = parameter_counts(PRESETS[name])
    tables = PRESETS[name].vocab_size * PRESETS[name].d_model
    assert (counts.total, counts.total - tables) == counts[1:]


def test_a_cpu_trains_the_tiny_ones():
    assert all(parameter_counts(PRESETS[name]).active < 2e6 for name in TINY)


def test_latents_are_576_numbers_a_layer():
    assert cache_bytes_per_token(V2) == 60 * 576 * 2
    assert cache_bytes_per_token(PRESETS["deepseek_coder_33b"]) == 62 * 2 * 8 * 128 * 2


def test_the_coder_s_temperature_is_that_of_its_own_config():
    assert (V2.rope_scaling.mscale, LITE.rope_scaling.mscale) == (1.0, 0.707)


def test_the_paper_s_ablation_comes_before_the_extension_of_the_context():
    model = fim_ablation.EXPERIMENT.config("paper", "psm_50", 0, {}).model
    assert model.rope_scaling.kind == "none"
    assert model.max_positions == 4096


def test_the_command_lists_every_preset(capsys):
    main(["presets"])
    answer = capsys.readouterr().out
    assert "train --preset NAME" in answer
    lines = answer.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.split()[0] in PRESETS}
    assert rows.keys() == PRESETS.keys()
    assert rows["deepseek_coder_v2_lite"] == [
        *("27", "2,048", "15,706,484,224", "2,661,150,208", "31,104", "163,840")
    ]
