# SPDX-License-Identifier: Apache-2.0
"""The worker of `benchmarks.load` that lets transformers load a model once."""

import json
import sys
import time

import torch
import transformers
from transformers import DeepseekV2ForCausalLM, LlamaForCausalLM


def main(source: str, threads: str) -> None:
    """Loads `source` in the type that it has; prints the seconds as JSON."""
    torch.set_num_threads(int(threads))
    classes = {"llama": LlamaForCausalLM, "deepseek_v2": DeepseekV2ForCausalLM}
    kind = classes[transformers.AutoConfig.from_pretrained(source).model_type]
    transformers.logging.disable_progress_bar()
    started = time.perf_counter()
    model = kind.from_pretrained(source, dtype="auto")
    seconds = time.perf_counter() - started
    size = sum(parameter.nbytes for parameter in model.parameters())
    version = f"transformers {transformers.__version__}, torch {torch.__version__}"
    print(json.dumps({"seconds": seconds, "bytes": size, "version": version}))


if __name__ == "__main__":
    main(*sys.argv[1:])
