# SPDX-License-Identifier: Apache-2.0
"""Small examples, and the smallest run that has every part of a real one."""

import json
from pathlib import Path

import numpy as np

from coder.config import DataConfig, ModelConfig, RunConfig, TrainConfig
from coder.data import packing, tokenizer
from coder.data.tfrecord import write_shard
from coder.train.run_folder import Run

SEQUENCE_LENGTH = 32
TOKENIZER = tokenizer.train(["def f(x):\n    return x\n" * 3], 400)
VOCAB_SIZE = TOKENIZER.vocab_size

MODEL = ModelConfig(
    vocab_size=VOCAB_SIZE,
    d_model=16,
    num_layers=2,
    num_heads=2,
    num_kv_heads=1,
    head_dim=8,
    d_ff=32,
)
TRAIN = TrainConfig(
    steps=40,
    batch_size=4,
    warmup_steps=5,
    learning_rate=3e-3,
    checkpoint_every=7,
    log_every=3,
)
CONFIG = RunConfig(model=MODEL, data=DataConfig(sequence_length=SEQUENCE_LENGTH), train=TRAIN)


def write_examples(directory: Path, count: int = 50, largest: int = VOCAB_SIZE - 1) -> Path:
    """A folder as beam_pipelines.examples writes it: two shards that count in threes."""
    directory.mkdir(parents=True)
    rng = np.random.default_rng(0)
    records = []
    for _ in range(count):
        first = int(rng.integers(5, SEQUENCE_LENGTH - 8))
        second = SEQUENCE_LENGTH - int(rng.integers(0, 4)) - first
        segments = [
            (rng.integers(0, 20) + 3 * np.arange(length)) % (largest + 1)
            for length in (first, second)
        ]
        records.append(packing.encode(segments, SEQUENCE_LENGTH, VOCAB_SIZE))
    shards = [
        write_shard(directory / f"train-{number:05d}-of-00002.tfrecord", part)
        for number, part in enumerate((records[: count // 3], records[count // 3 :]))
    ]
    manifest = {
        "shards": [vars(shard) for shard in shards],
        "config": {"sequence_length": SEQUENCE_LENGTH, "fim_rate": 0.5, "documents": "documents"},
        "digest": "0123456789abcdef",
    }
    (directory / "manifest.json").write_text(json.dumps(manifest))
    TOKENIZER.save(directory / "tokenizer.json")
    return directory


def make_run(directory: Path, config: RunConfig = CONFIG) -> Run:
    """A run in `directory`/run on the examples in `directory`/examples, written if they are not."""
    examples = directory / "examples"
    if not examples.exists():
        write_examples(examples)
    (directory / "run").mkdir(exist_ok=True)
    return Run(directory / "run", config, examples, "", examples / "tokenizer.json", 1)
