# SPDX-License-Identifier: Apache-2.0
"""Stands in for the pipelines, `coder train` and `coder eval`: writes what they write, at once.

    python fake_program.py MODULE [COMMAND] --option value ...

`FAKE_LOG` names a file that gets a line for each call; `FAKE_FAIL` a word: calls whose line has it
fail; `FAKE_HANG` a word: they wait until they are stopped.
"""

import json
import os
import sys
import time
from pathlib import Path


def options(arguments: list[str]) -> dict[str, str]:
    return {a[2:]: b for a, b in zip(arguments, arguments[1:], strict=False) if a.startswith("--")}


def finish(path: Path, values: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def train(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    steps = config["run"]["train"]["steps"]
    rows = [json.dumps({"step": step, "loss": 5 / step}) + "\n" for step in (1, steps)]
    (run / "metrics.jsonl").write_text("".join(rows))
    finish(run / "done.json", {"steps": steps, "seconds": 1.0, "parameters_digest": "0"})


def evaluate(run: Path) -> None:
    import numpy as np  # 24 processes of a test have no use for it

    from tests.experiments import fake_runs

    variant, seed = run.parent.name, int(run.name.removeprefix("seed"))
    rng = np.random.default_rng([seed, *variant.encode()])
    finish(run / "eval.json", fake_runs.evaluation(fake_runs.PAPER_LIKE[variant], seed, rng))


def make_examples(given: dict[str, str]) -> None:
    settings = {"fim_rate": float(given["fim-rate"]), "tokens": int(given["tokens"])}
    manifest = {"digest": "e", "config": settings | {"seed": int(given["seed"])}}
    finish(Path(given["output"]) / "manifest.json", manifest)


def main(arguments: list[str]) -> None:
    line = " ".join(arguments)
    with open(os.environ["FAKE_LOG"], "a") as log:
        log.write(line + "\n")
    print("a first line\n" + line)
    if os.environ.get("FAKE_FAIL", "\0") in line:
        sys.exit("the disk is full")
    if os.environ.get("FAKE_HANG", "\0") in line:
        time.sleep(60)
    given = options(arguments)
    if arguments[0] == "beam_pipelines.corpus":
        finish(Path(given["output"]) / "manifest.json", {"digest": "c"})
    elif arguments[0] == "beam_pipelines.examples":
        make_examples(given)
    elif arguments[1] == "tokenizer":
        finish(Path(given["output"]), {})
    elif arguments[1] == "train":
        train(Path(given["run"]))
    else:
        evaluate(Path(given["run"]))


if __name__ == "__main__":
    main(sys.argv[1:])
