# SPDX-License-Identifier: Apache-2.0
"""The worker of `benchmarks.generate` that generates with our engine."""

import json
import sys
import time

import jax

from coder.huggingface.import_model import load
from coder.infer.engine import Engine, Request
from coder.model import cache
from coder.model.transformer import Decoder


def main(folder: str, threads: int) -> None:
    """Reads the model, then answers the requests of each line of the input."""
    model, _ = load(folder)
    version = {"version": f"jax {jax.__version__}", "cache_bytes": cache_bytes(model)}
    print(json.dumps(version), flush=True)
    clock = time.process_time if threads == 1 else time.perf_counter
    engines: dict[int, Engine] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        requests = [Request(prompt, new) for prompt, new in asked["requests"]]
        slots = asked["slots"]
        if slots not in engines:
            engines[slots] = Engine(model, slots=slots, capacity=asked["capacity"])
        started = clock()
        answers = [sample.tokens for [sample] in engines[slots].complete(requests)]
        print(json.dumps({"seconds": clock() - started, "answers": answers}), flush=True)


def cache_bytes(model: Decoder) -> int:
    """What the cache keeps of a token, by the arrays that it is made of."""
    places = 128
    kept = jax.eval_shape(lambda: cache.empty(model, 1, places).kept)
    return sum(array.size * array.dtype.itemsize for array in jax.tree.leaves(kept)) // places


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
