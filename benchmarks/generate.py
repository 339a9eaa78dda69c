# SPDX-License-Identifier: Apache-2.0
"""How fast is generation, ours and that of torch + transformers?

    make bench NAME=generate [ARGS="--threads 2 --repeats 9 --only llama_8"]

Both have the same weights (saved by transformers, read by `import-hf`), in float32, and write the
same number of tokens greedily, whatever the tokens are; how far they are the same is printed. Two
processes take turns on the same cores, so that what else the machine does slows both. On one core,
seconds are those of the processor, on more those of the clock. Reading the prompts is included. The
ratio is the median over the pairs; above 1, ours is faster.

One and eight prompts at a time are as both are meant to be used. `mixed` is 32 requests whose
prompts and answers are of many lengths: our engine refills a slot as soon as it is free, while
`generate` takes eight at a time as they come, padded, and writes until the longest of them is done.

A token at batch 1 reads all weights that it meets. How much of the memory's bandwidth that takes is
printed beside it: of what numpy reads in a dot product, and of what it copies (reads and writes
counted). Not a limit to the last per cent: they are measured, too.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks._worker import ROOT, Worker
from benchmarks.train_step import cpu_name
from coder.config import ModelConfig, write_json
from coder.huggingface.import_model import import_model
from coder.huggingface.source import read_source
from coder.model.counts import parameter_counts

RESULTS = ROOT / "benchmarks" / "results" / "generate.json"
TORCH_WORKER = ROOT / "benchmarks" / "_generate_torch.py"
CAPACITY = 256
"""Tokens of the longest prompt with its answer, at most."""

Requests = list[tuple[list[int], int]]
"""Prompts and the number of tokens that are to follow."""

MODELS: dict[str, dict[str, Any]] = {
    # 134 M parameters in the shape of SmolLM-135M.
    "llama": {
        "vocab_size": 49152,
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
        "tie_word_embeddings": True,
    },
    # V2-Lite at about a third of its widths: 246 M parameters, of which a token meets 97 M.
    "v2": {
        "vocab_size": 32768,
        "hidden_size": 640,
        "num_hidden_layers": 10,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "intermediate_size": 2560,
        "kv_lora_rank": 128,
        "q_lora_rank": None,
        "qk_nope_head_dim": 64,
        "qk_rope_head_dim": 32,
        "v_head_dim": 64,
        "moe_intermediate_size": 320,
        "n_routed_experts": 32,
        "n_shared_experts": 2,
        "num_experts_per_tok": 6,
        "first_k_dense_replace": 1,
        "topk_method": "greedy",
        "n_group": 1,
        "topk_group": 1,
        "routed_scaling_factor": 1.0,
        "norm_topk_prob": False,
        "tie_word_embeddings": False,
    },
}
COMMON = {"max_position_embeddings": 2048, "initializer_range": 0.05}


@dataclass(frozen=True)
class Options:
    """Times generation by our engine and by torch + transformers in turns."""

    threads: int = 1
    """Cores, the same for both."""
    repeats: int = 5
    """Pairs of turns of each case."""
    only: str = ""
    """Cases whose name begins so, which are printed and not written; all by default."""
    torch_python: Path = ROOT / ".venv-oracle" / "bin" / "python"
    """An interpreter with torch and transformers."""


def main(argv: list[str]) -> None:
    """Measures every case, prints tables and the ratios, writes benchmarks/results."""
    options = tyro.cli(Options, args=argv, prog="python -m benchmarks.generate")
    if not options.torch_python.exists():
        sys.exit(
            f"error: {options.torch_python} does not exist: make bench NAME=generate creates it"
        )
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    rows = [row for kind in MODELS for row in compare(kind, options)]
    if not rows:
        known = ", ".join(name for kind in MODELS for name in requests_by_case(kind))
        sys.exit(f"error: --only {options.only}: no case begins so; there are {known}")
    if not options.only:
        write_json(RESULTS, {"threads": options.threads, "machine": cpu_name(), "cases": rows})
    for row in rows:
        print(f"ratio generate/{row['case']}/transformers {row['ratio']:.2f}")


def compare(kind: str, options: Options) -> list[dict]:
    """The medians of a model's cases."""
    cases = {
        name: found
        for name, found in requests_by_case(kind).items()
        if name.startswith(options.only)
    }
    if not cases:
        return []
    with tempfile.TemporaryDirectory() as directory:
        saved, imported = Path(directory, "saved"), Path(directory, "imported")
        asked = {"kind": kind, "settings": MODELS[kind] | COMMON, "folder": str(saved)}
        torch_worker = [str(options.torch_python), str(TORCH_WORKER)]
        subprocess.run([*torch_worker, "save", json.dumps(asked)], cwd=ROOT, check=True)
        source = read_source(saved)
        import_model(source, imported)
        jax_worker = [sys.executable, "-m", "benchmarks._generate_jax"]
        ours = worker(jax_worker, imported, options.threads)
        theirs = worker([*torch_worker, "generate"], saved, options.threads)
        print(f"{kind}: {ours.about['version']}, {theirs.about['version']}", flush=True)
        print_cache(source.config, ours.about["cache_bytes"])
        rows = [
            take_turns(name, requests, slots, ours, theirs, options.repeats)
            for name, (requests, slots) in cases.items()
        ]
        if f"{kind}_1" in cases:
            rows[0] |= bandwidth(*cases[f"{kind}_1"], source.config, ours, options)
        ours.close()
        theirs.close()
    return rows


def requests_by_case(kind: str) -> dict[str, tuple[Requests, int]]:
    """The requests of each case, and how many of them are worked on at once."""
    random = np.random.default_rng(0)

    def request(prompt: int, new: int) -> tuple[list[int], int]:
        return random.integers(1, MODELS[kind]["vocab_size"], prompt).tolist(), new

    return {
        f"{kind}_1": ([request(128, 64)], 1),
        f"{kind}_8": ([request(128, 64) for _ in range(8)], 8),
        f"{kind}_mixed": (
            [request(*map(int, random.integers((16, 8), (129, 97)))) for _ in range(32)],
            8,
        ),
    }


def worker(command: list[str], folder: Path, threads: int) -> Worker:
    """A process that has read the model."""
    return Worker(command, {"folder": str(folder), "threads": threads}, threads)


def answer(worker: Worker, requests: Requests, slots: int) -> tuple[float, list[list[int]]]:
    """Seconds that the requests took, and what was written."""
    said = worker.ask({"requests": requests, "slots": slots, "capacity": CAPACITY})
    return said["seconds"], said["answers"]


def take_turns(
    name: str, requests: Requests, slots: int, ours: Worker, theirs: Worker, repeats: int
) -> dict:
    """The medians of one case."""
    agreement = agreeing(*(answer(worker, requests, slots)[1] for worker in (ours, theirs)))
    pairs = [
        tuple(answer(worker, requests, slots)[0] for worker in (ours, theirs))
        for _ in range(repeats)
    ]
    seconds, torch_seconds = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    tokens = sum(new for _, new in requests)
    row = {
        "case": name,
        "requests": len(requests),
        "prompt_tokens": sum(len(prompt) for prompt, _ in requests),
        "tokens": tokens,
        "seconds": seconds,
        "torch_seconds": torch_seconds,
        "ratio": statistics.median(other / one for one, other in pairs),
        "tokens_per_second": tokens / seconds,
        "torch_tokens_per_second": tokens / torch_seconds,
        "agreement": agreement,
    }
    print(
        f"{name:12} {seconds:6.2f} s and {torch_seconds:6.2f} s, "
        f"{row['tokens_per_second']:6.1f} and {row['torch_tokens_per_second']:6.1f} tokens/s, "
        f"{row['ratio']:.2f} times as fast; {agreement:.1%} of the tokens are the same",
        flush=True,
    )
    return row


def agreeing(one: list[list[int]], other: list[list[int]]) -> float:
    """The share of the tokens that are the same, up to the first difference of each answer."""
    same = 0
    for ours, theirs in zip(one, other, strict=True):
        differ = [a != b for a, b in zip(ours, theirs, strict=True)]
        same += differ.index(True) if any(differ) else len(ours)
    return same / sum(map(len, one))


def bandwidth(
    requests: Requests, slots: int, config: ModelConfig, ours: Worker, options: Options
) -> dict:
    """Weights that we read in a second of decoding, beside what the memory gives."""
    [(prompt, new)] = requests
    weights = 4 * parameter_counts(config).active_without_table
    clock = time.process_time if options.threads == 1 else time.perf_counter
    source = np.ones(weights // 4, np.float32)
    target = np.empty_like(source)
    half = len(source) // 2
    rates = []
    for _ in range(options.repeats):
        whole, first = (answer(ours, [(prompt, n)], slots)[0] for n in (new, 1))
        rates.append(
            (
                weights * (new - 1) / (whole - first),
                8 * half / seconds_of(lambda: np.dot(source[:half], source[half:]), clock),
                8 * len(source) / seconds_of(lambda: np.copyto(target, source), clock),
            )
        )
    used, read, copied = np.median(rates, axis=0).tolist()
    print(
        f"{'':12} {weights / 1e6:.0f} MB of weights a token: {used / 1e9:.1f} GB/s; numpy reads "
        f"{read / 1e9:.1f} GB/s ({used / read:.0%}) and copies {copied / 1e9:.1f} GB/s "
        f"({used / copied:.0%})",
        flush=True,
    )
    return {"weights_per_second": used, "read_per_second": read, "copied_per_second": copied}


def seconds_of(action: Callable[[], Any], clock: Callable[[], float]) -> float:
    """What an action takes, the least of three times."""
    times = []
    for _ in range(3):
        started = clock()
        action()
        times.append(clock() - started)
    return min(times)


def print_cache(config: ModelConfig, kept: int) -> None:
    """What the cache keeps of a token; with MLA beside what keys and values of all heads take."""
    beside = ""
    if config.mla.kv_lora_rank:
        shape = config.mla
        width = shape.qk_nope_head_dim + shape.qk_rope_head_dim + shape.v_head_dim
        expanded = 4 * config.num_layers * config.num_heads * width
        beside = f"; keys and values of all heads would take {expanded:,}, {expanded / kept:.1f}x"
    print(f"{'':12} the cache keeps {kept:,} bytes a token{beside}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
