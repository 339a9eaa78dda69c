# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import jax
import pytest
from flax import nnx

from coder import checkpoint
from coder.config import DataConfig, ModelConfig, RunConfig, to_json
from coder.data import tokenizer
from coder.infer.complete import PromptError, main, prompt
from coder.infer.load import load_run
from coder.model.transformer import init_decoder

TOKENIZER = tokenizer.train(["def add(a, b):\n    return a + b\n" * 3], 330)
PSM, NO_FIM = DataConfig(fim_rate=0.5), DataConfig(fim_rate=0.0)
PREFIX, SUFFIX = "def add(a, b):\n    return ", "\n"


def write_run(directory: Path, data: DataConfig = PSM) -> Path:
    """A run with a checkpoint of random parameters."""
    model = ModelConfig(
        vocab_size=TOKENIZER.vocab_size,
        d_model=16,
        num_layers=1,
        num_heads=2,
        num_kv_heads=1,
        head_dim=8,
        d_ff=16,
    )
    directory.mkdir()
    TOKENIZER.save(directory / "tokenizer.json")
    record = {
        "run": to_json(RunConfig(model=model, data=data)),
        "tokenizer": str(directory / "tokenizer.json"),
    }
    (directory / "config.json").write_text(json.dumps(record))
    parameters = nnx.to_pure_dict(nnx.state(init_decoder(model, 3)))
    checkpoint.save(directory / checkpoint.FOLDER, 5, {"parameters": parameters}, {}, keep=1)
    return directory


def command(run: Path, *options: str) -> list[str]:
    return ["--run", str(run), "--prefix", PREFIX, "--max-new-tokens", "8", *options]


def test_prefix_middle_and_suffix_are_printed(tmp_path, capsys):
    main(command(write_run(tmp_path / "run"), "--suffix", SUFFIX + "# end"))
    printed = capsys.readouterr().out
    assert printed.startswith(PREFIX)
    assert printed.endswith(SUFFIX + "# end\n")


def test_a_run_is_loaded_with_its_parameters(tmp_path):
    model, loaded, config = load_run(write_run(tmp_path / "run"))
    expected = init_decoder(config.model, 3)
    assert all(
        (a == b).all()
        for a, b in zip(jax.tree.leaves(model), jax.tree.leaves(expected), strict=True)
    )
    assert loaded.encode(PREFIX) == TOKENIZER.encode(PREFIX)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (PSM, ["fim_begin", PREFIX, "fim_hole", SUFFIX, "fim_end"]),
        (DataConfig(fim_format="spm"), ["fim_begin", "fim_hole", SUFFIX, "fim_end", PREFIX]),
        (DataConfig(objective="msp"), [PREFIX, "mask", SUFFIX, "mask"]),
    ],
)
def test_the_prompt_has_the_trained_format(data, expected):
    control = {name: [getattr(TOKENIZER, name)] for name in ("fim_begin", "fim_hole", "fim_end")}
    control["mask"] = [TOKENIZER.mask(0)]
    parts = [control.get(part) or TOKENIZER.encode(part) for part in expected]
    assert prompt(TOKENIZER, PREFIX, SUFFIX, data) == [TOKENIZER.bos, *sum(parts, [])]


def test_without_infilling_the_prefix_goes_on_and_a_suffix_is_refused():
    assert prompt(TOKENIZER, PREFIX, "", NO_FIM) == [TOKENIZER.bos, *TOKENIZER.encode(PREFIX)]
    with pytest.raises(PromptError, match="trained without infilling"):
        prompt(TOKENIZER, PREFIX, SUFFIX, NO_FIM)


def test_what_cannot_be_answered_is_said_in_a_sentence(tmp_path):
    with pytest.raises(SystemExit, match=r"error: .*is no run"):
        main(command(tmp_path))
    run = write_run(tmp_path / "run")
    with pytest.raises(SystemExit, match="--max-new-tokens 0"):
        main(["--run", str(run), "--prefix", "a", "--max-new-tokens", "0"])
    (run / "tokenizer.json").unlink()
    with pytest.raises(SystemExit, match="cannot read its tokenizer"):
        main(command(run))
