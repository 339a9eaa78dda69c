# SPDX-License-Identifier: Apache-2.0
"""The worker of `benchmarks.train_step` that makes the steps of torch + transformers.

Run by the interpreter of .venv-oracle, which has none of this project's dependencies.
"""

import json
import sys
import time

import torch
import transformers


def main(settings: dict) -> None:
    """Builds the settings' model and batch, then makes steps when told to."""
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    model = build(settings["model"], settings["sequence_length"])
    # Of the implementations of AdamW, the fastest.
    rate, warmup = settings["learning_rate"], settings["warmup_steps"]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min(1.0, (n + 1) / warmup))
    shape = (settings["batch_size"], settings["sequence_length"])
    tokens = torch.randint(0, settings["model"]["vocab_size"], shape)
    targets = torch.roll(tokens, -1, 1).flatten()

    def step() -> float:
        optimizer.zero_grad()
        logits = model(input_ids=tokens).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        return loss.item()

    for _ in range(2):
        step()
    version = f"torch {torch.__version__} transformers {transformers.__version__}"
    print(json.dumps({"version": version}), flush=True)
    clock = time.process_time if settings["threads"] == 1 else time.perf_counter
    for _ in sys.stdin:
        started = clock()
        losses = [step() for _ in range(settings["steps"])]
        seconds = (clock() - started) / settings["steps"]
        print(json.dumps({"seconds": seconds, "loss": losses[-1]}), flush=True)


def build(model: dict, sequence_length: int) -> transformers.LlamaForCausalLM:
    """The Llama with our model's settings; attention by torch's fused operation, plain causal."""
    config = transformers.LlamaConfig(
        vocab_size=model["vocab_size"],
        hidden_size=model["d_model"],
        num_hidden_layers=model["num_layers"],
        num_attention_heads=model["num_heads"],
        num_key_value_heads=model["num_kv_heads"],
        head_dim=model["head_dim"],
        intermediate_size=model["d_ff"],
        rope_theta=model["rope_theta"],
        rms_norm_eps=model["rms_norm_eps"],
        initializer_range=model["init_std"],
        tie_word_embeddings=model["tie_embeddings"],
        max_position_embeddings=sequence_length,
        attn_implementation="sdpa",
        use_cache=False,
    )
    return transformers.LlamaForCausalLM(config).train()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
