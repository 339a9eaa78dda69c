# SPDX-License-Identifier: Apache-2.0
"""Logits and gradients of transformers, as golden files that `make test` compares ours with.

    make oracle NAME=transformers

Writes tests/golden/llama_*.npz: the weights of small random Llamas, tokens, logits, loss and the
gradient of every weight. Runs itself again in .venv-oracle, which has torch and transformers, then
the test that compares our model with the files.
"""

import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"


@dataclass(frozen=True)
class Case:
    """A Llama's settings, in transformers' names."""

    hidden_size: int = 16
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    num_key_value_heads: int = 4
    head_dim: int = 8
    intermediate_size: int = 24
    vocab_size: int = 32
    rope_theta: float = 100_000.0
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    initializer_range: float = 0.2
    """Large, so that attention is far from uniform."""


CASES = {
    "mha": Case(),
    "gqa": Case(num_key_value_heads=2),
    "mqa_tied": Case(num_key_value_heads=1, tie_word_embeddings=True),
}
BATCH_SIZE, LENGTH = 2, 40


def main(argv: list[str]) -> None:
    """Writes the golden files and runs their test; exits with its status."""
    if argv == ["--write"]:
        for name, case in CASES.items():
            write(name, case)
        return
    python = ROOT / ".venv-oracle" / "bin" / "python"
    if not python.exists():
        sys.exit(f"error: {python} does not exist: make oracle NAME=transformers creates it")
    subprocess.run([python, __file__, "--write"], check=True)
    test = ROOT / "tests" / "model" / "test_transformer.py"
    sys.exit(subprocess.run([sys.executable, "-m", "pytest", "-q", test], cwd=ROOT).returncode)


def write(name: str, case: Case) -> None:
    """Writes the golden file of one case."""
    import numpy as np
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        **dataclasses.asdict(case), max_position_embeddings=LENGTH, attn_implementation="eager"
    )
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:  # norms begin at 1, which would hide a missing scale
                parameter.normal_(1.0, 0.2)
    tokens = torch.randint(0, case.vocab_size, (BATCH_SIZE, LENGTH))
    logits = model(input_ids=tokens).logits
    targets = torch.roll(tokens, -1, 1)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    loss.backward()
    arrays = {"tokens": tokens, "targets": targets, "logits": logits, "loss": loss}
    for key, parameter in model.named_parameters():
        arrays[f"weight/{key}"] = parameter
        arrays[f"gradient/{key}"] = parameter.grad
    settings = json.dumps({**dataclasses.asdict(case), "version": transformers.__version__})
    GOLDEN.mkdir(exist_ok=True)
    path = GOLDEN / f"llama_{name}.npz"
    np.savez_compressed(
        path, settings=settings, **{key: array.detach().numpy() for key, array in arrays.items()}
    )
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
