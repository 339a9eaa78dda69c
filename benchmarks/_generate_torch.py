# SPDX-License-Identifier: Apache-2.0
"""The worker of `benchmarks.generate` that generates with torch + transformers.

    _generate_torch.py save '{"kind": "llama", "settings": {...}, "folder": "..."}'
    _generate_torch.py generate '{"folder": "...", "threads": 1}'

Run by the interpreter of .venv-oracle, which has none of this project's dependencies.
"""

import json
import sys
import time

import torch
import transformers

CLASSES = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
    "v2": (transformers.DeepseekV2Config, transformers.DeepseekV2ForCausalLM),
}


def save(kind: str, settings: dict, folder: str) -> None:
    """Writes a model with random weights, which never ends an answer by itself."""
    torch.manual_seed(0)
    config_class, model_class = CLASSES[kind]
    model_class(config_class(**settings, eos_token_id=None)).save_pretrained(folder)


def serve(folder: str, threads: int) -> None:
    """Reads the model, then answers the requests of each line of the input."""
    torch.set_num_threads(threads)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    version = f"torch {torch.__version__} transformers {transformers.__version__}"
    print(json.dumps({"version": version}), flush=True)
    clock = time.process_time if threads == 1 else time.perf_counter
    for line in sys.stdin:
        asked = json.loads(line)
        started = clock()
        answers = generate(model, asked["requests"], asked["slots"])
        print(json.dumps({"seconds": clock() - started, "answers": answers}), flush=True)


def generate(model: transformers.PreTrainedModel, requests: list, slots: int) -> list[list[int]]:
    """Answers requests [prompt, number of new tokens] in batches, padded to their longest."""
    answers = []
    for begin in range(0, len(requests), slots):
        batch = requests[begin : begin + slots]
        length = max(len(prompt) for prompt, _ in batch)
        tokens, seen = torch.zeros((2, len(batch), length), dtype=torch.int64)
        for row, (prompt, _) in enumerate(batch):
            tokens[row, length - len(prompt) :] = torch.tensor(prompt)
            seen[row, length - len(prompt) :] = 1
        with torch.inference_mode():
            written = model.generate(
                tokens,
                attention_mask=seen,
                max_new_tokens=max(new for _, new in batch),
                do_sample=False,
                pad_token_id=0,
            )
        texts = written[:, length:].tolist()
        answers += [text[:new] for text, (_, new) in zip(texts, batch, strict=True)]
    return answers


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    {"save": save, "generate": serve}[sys.argv[1]](**json.loads(sys.argv[2]))
