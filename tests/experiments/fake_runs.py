# SPDX-License-Identifier: Apache-2.0
"""Runs that were never trained: eval.json as `coder eval` writes it, from numbers chosen here."""

import json
from pathlib import Path

import numpy as np

from coder.config import to_json
from experiments.experiment import Experiment

# Bits per byte: left to right, in the empty PSM frame, line prefix, line infill, span prefix, span
# infill.
PAPER_LIKE = {
    "no_fim": (1.42, None, 1.26, None, 1.82, None),
    "psm_50": (1.44, 1.44, 1.28, 1.20, 1.84, 1.66),
    "psm_100": (1.63, 1.45, 1.40, 1.15, 1.95, 1.60),
    "msp_50": (1.45, None, 1.29, 2.30, 1.86, 2.60),
}
REPOSITORIES = 8
ITEMS = 160


def evaluation(levels: tuple, seed: int, rng: np.random.Generator, spread: float = 0.004) -> dict:
    """An eval.json whose figures scatter around `levels` from seed to seed."""
    items_rng = np.random.default_rng(7)
    repositories = [f"repository{i % REPOSITORIES}" for i in range(ITEMS)]
    base = {
        "repository": repositories,
        "id": [str(i) for i in range(ITEMS)],
        "bytes": items_rng.integers(20, 200, ITEMS).tolist(),
    }
    difficulty = items_rng.normal(1, 0.2, ITEMS)

    def nats(level: float | None) -> list | None:
        if level is None:
            return None
        shifted = level + rng.normal(0, spread)
        return (np.log(2) * np.asarray(base["bytes"]) * shifted * difficulty).round(4).tolist()

    def hole(prefix: float, infill: float | None) -> dict:
        absent = infill is None
        return base | {
            "tokens": items_rng.integers(1, 30, ITEMS).tolist(),
            "nats_prefix": nats(prefix),
            "nats_infill": nats(infill),
            "exact": None if absent else rng.integers(0, 2, ITEMS).tolist(),
            "first_token_nats": None if absent else rng.uniform(1, 3, ITEMS).tolist(),
        }

    return {
        "format": 1,
        "items": {
            "left_to_right": base | {"nats": nats(levels[0]), "nats_empty_psm": nats(levels[1])},
            "single_line": hole(*levels[2:4]),
            "span": hole(*levels[4:6]),
        },
        "seconds": 12.0,
        "documents_digest": "0123456789abcdef",
    }


def write(
    experiment: Experiment,
    scale: str,
    root: Path,
    levels: dict = PAPER_LIKE,
    seeds: tuple = (0, 1, 2),
) -> None:
    """The folders of finished runs under `root` (`runs/<experiment>/<scale>`)."""
    rng = np.random.default_rng(11)
    for seed in seeds:
        for variant, level in levels.items():
            folder = root / variant / f"seed{seed}"
            folder.mkdir(parents=True)
            config = to_json(experiment.config(scale, variant, seed, {}))
            record = {
                "run": config,
                "examples": str(root / "examples"),
                "platform": "Linux x86_64",
                "jax": "0.11.2",
            }
            (folder / "config.json").write_text(json.dumps(record))
            (folder / "eval.json").write_text(json.dumps(evaluation(level, seed, rng)))
            (folder / "done.json").write_text(json.dumps({"steps": 40, "seconds": 90.0}))
            rows = [
                {"step": s, "loss": 6 * s**-0.25 + rng.normal(0, 0.05)} for s in range(10, 600, 10)
            ]
            (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
