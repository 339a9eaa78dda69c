# SPDX-License-Identifier: Apache-2.0
"""Small examples, and the smallest run that has every part of a real one."""

import json
from pathlib import Path

import numpy as np
import pytest

from coder.data import packing
from coder.data.tfrecord import write_shard

VOCAB_SIZE, SEQUENCE_LENGTH, NUM_EXAMPLES = 300, 32, 50


def write_examples(
    directory: Path, vocab_size: int = VOCAB_SIZE, count: int = NUM_EXAMPLES
) -> Path:
    """A folder as beam_pipelines.examples writes it: two shards of counting sequences, packed in twos."""
    directory.mkdir(parents=True)
    rng = np.random.default_rng(0)
    records = []
    for _ in range(count):
        first = int(rng.integers(5, SEQUENCE_LENGTH - 5))
        lengths = (first, SEQUENCE_LENGTH - int(rng.integers(0, 4)) - first)
        segments = [
            (rng.integers(0, 20) + 3 * np.arange(length)) % vocab_size for length in lengths
        ]
        records.append(packing.encode(segments, SEQUENCE_LENGTH, vocab_size))
    half = count // 2
    shards = [
        write_shard(directory / f"train-{number:05d}-of-00002.tfrecord", part)
        for number, part in enumerate((records[:half], records[half:]))
    ]
    manifest = {
        "shards": [vars(shard) for shard in shards],
        "config": {"sequence_length": SEQUENCE_LENGTH, "fim_rate": 0.0},
        "digest": "examples",
    }
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished examples, for reading only."""
    return write_examples(tmp_path_factory.mktemp("data") / "examples")
