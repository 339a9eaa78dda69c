# SPDX-License-Identifier: Apache-2.0
"""The side of PEFT in `benchmarks._oracle_adapters`: what it makes, and what it reads of ours.

Run by the interpreter of .venv-oracle, which has none of this project's dependencies:

    -m benchmarks._oracle_peft write DIR    makes DIR/<case>/{model,adapter} and made.npz
    -m benchmarks._oracle_peft read DIR     reads DIR/<case>/{written,exported} into read.npz
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
import transformers
from torch import Tensor, nn

from benchmarks._oracle_cases import LENGTH, Case
from benchmarks._oracle_torch import build


def main(what: str, directory: Path) -> None:
    """Does one half for every case of DIR/cases.json."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for values in json.loads((directory / "cases.json").read_text()):
        case, settings = Case(**values["case"]), values["adapter"]
        folder = directory / case.name
        if what == "write":
            write(case, settings, folder)
        else:
            read(folder)


@torch.no_grad()
def write(case: Case, settings: dict[str, Any], folder: Path) -> None:
    """Saves a random model and a random adapter of it, and their logits, merged and not."""
    model = build(case)
    model.save_pretrained(folder / "model")
    tokens = torch.randint(0, case.settings["vocab_size"], (2, LENGTH))
    config = peft.LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.05, **settings)
    adapted = peft.get_peft_model(model, config).eval()
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:  # begins at 0, where an adapter changes nothing
            parameter.normal_(0.0, 0.1)
    adapted.save_pretrained(folder / "adapter")
    arrays = {"tokens": tokens, "logits": logits(adapted, tokens)}
    arrays["merged"] = logits(adapted.merge_and_unload(), tokens)
    save(folder / "made.npz", arrays)


@torch.no_grad()
def read(folder: Path) -> None:
    """Logits of the model with the adapter that we wrote, and of the one we merged it into."""
    tokens = torch.from_numpy(np.load(folder / "made.npz")["tokens"])
    base = loaded(folder / "model")
    adapted = peft.PeftModel.from_pretrained(base, folder / "written").eval()
    arrays = {"written": logits(adapted, tokens)}
    arrays["exported"] = logits(loaded(folder / "exported"), tokens)
    save(folder / "read.npz", arrays)


def loaded(folder: Path) -> transformers.PreTrainedModel:
    """A model with the plain formulas of attention and experts."""
    eager = {"attn_implementation": "eager"}
    if json.loads((folder / "config.json").read_text())["model_type"] == "deepseek_v2":
        eager["experts_implementation"] = "eager"
    return transformers.AutoModelForCausalLM.from_pretrained(folder, **eager).eval()


def logits(model: nn.Module, tokens: Tensor) -> Tensor:
    """Of every position."""
    return model(input_ids=tokens).logits


def save(path: Path, arrays: dict[str, Tensor]) -> None:
    """Writes arrays."""
    np.savez(path, **{name: array.numpy() for name, array in arrays.items()})


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
