# SPDX-License-Identifier: Apache-2.0
"""What the manifest of finished examples tells the training side; `beam_pipelines` writes it."""

import json
from pathlib import Path
from typing import Any


class ExamplesError(ValueError):
    """A folder of examples that cannot be trained on; the message says why and what to do."""


def read_manifest(examples_dir: Path) -> dict[str, Any]:
    """The manifest of a finished folder of examples.

    Raises:
        ExamplesError: there is none, or it is no JSON.
    """
    path = examples_dir / "manifest.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ExamplesError(
            f"{path} does not exist: the folder is no finished output of beam_pipelines.examples"
        ) from None
    except json.JSONDecodeError as error:
        raise ExamplesError(f"{path}: not JSON ({error}); write the examples again") from None


def training_shards(examples_dir: Path) -> list[Path]:
    """The shards whose names begin with `train-`, after a look at their sizes."""
    paths = []
    for shard in read_manifest(examples_dir)["shards"]:
        path = examples_dir / shard["path"]
        if not path.name.startswith("train-"):
            continue
        size = path.stat().st_size if path.exists() else None
        if size != shard["bytes"]:
            found = "is missing" if size is None else f"has {size} bytes"
            raise ExamplesError(
                f"{path} {found}, the manifest says {shard['bytes']}; write the examples again"
            )
        paths.append(path)
    return sorted(paths)
