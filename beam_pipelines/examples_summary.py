# SPDX-License-Identifier: Apache-2.0
"""The manifest of examples, and the sentence that the terminal shows of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from beam_pipelines import manifest
from coder import config
from coder.data.tfrecord import ShardInfo


def assemble(settings: Mapping[str, Any], shards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The manifest.

    Args:
        settings: what the output depends on.
        shards: what each shard holds: `{"info": …, "counts": {name: n}}`.
    """
    infos = [ShardInfo(**shard["info"]) for shard in shards]
    rows = manifest.shard_rows(infos)
    counts = manifest.total(shard["counts"] for shard in shards)
    examples = sum(info.records for info in infos)
    slots = examples * settings["sequence_length"]
    return {
        "examples": examples,
        "tokens": {
            "asked": settings["tokens"],
            "written": slots,
            "padding": slots - counts["tokens"],
            "padding_share": _share(slots - counts["tokens"], slots),
        },
        "texts": {
            "written": counts["texts"],
            "infilling": counts["infilling"],
            "infilling_share": _share(counts["infilling"], counts["texts"]),
            "cut_by_packing": counts["cut"],
            "parts_of_cut_units": counts["parts"],
        },
        "bytes": counts["bytes"],
        "shards": rows,
        "config": dict(settings),
        "digest": config.digest([dict(settings), rows]),
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def sentence(result: Mapping[str, Any], output: Path, seconds: float) -> str:
    """What was written, and what is worth a warning."""
    tokens, texts = result["tokens"], result["texts"]
    said = (
        f"{output}: {result['examples']} examples, {tokens['written']} token slots "
        f"({tokens['padding_share']:.1%} padding), {texts['written']} texts "
        f"({texts['infilling_share']:.1%} for infilling), {result['bytes'] / 1e6:.1f} MB, "
        f"in {seconds:.1f} s"
    )
    if tokens["asked"] - tokens["written"] >= result["config"]["sequence_length"]:
        said += f"\nthe documents have no more: {tokens['asked']} token slots were asked for"
    return said
