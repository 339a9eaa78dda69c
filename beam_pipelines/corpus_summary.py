# SPDX-License-Identifier: Apache-2.0
"""The manifest of a corpus, and what the terminal shows of it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from beam_pipelines import manifest
from beam_pipelines.reasons import by_stage
from beam_pipelines.stages import StageResult
from coder import config
from coder.data.tfrecord import ShardInfo

_MOST_LANGUAGES = 12


def assemble(settings: Mapping[str, Any], results: Sequence[StageResult]) -> dict[str, Any]:
    """The manifest.

    Args:
        settings: What the output depends on.
        results: What each stage has written and counted: `read` files of `repositories`, files
            `unparsed` (ordered without their imports, which could not be read), and as
            `fallback/<what>` what was not ordered for its size. Shards in a folder are a stage's
            own, not the corpus's.

    Raises:
        manifest.LostFilesError: by the counts of what was written, a file was lost.
    """
    beside = manifest.total(result.counts for result in results)
    shards = [s for result in results for s in result.shards if "/" not in s["info"]["path"]]
    infos = [ShardInfo(**shard["info"]) for shard in shards]
    counts = manifest.total(shard["counts"] for shard in shards)
    reasons = manifest.rejected(counts)
    manifest.check_identity(beside["read"], counts["files"], reasons)
    rows = manifest.shard_rows(info for info in infos if info.path.endswith(".tfrecord"))
    return {
        "files": {"read": beside["read"], "kept": counts["files"], "rejected": reasons},
        "repositories": beside["repositories"],
        "documents": counts["documents"],
        "bytes": _by_name(counts, "bytes"),
        "language_files": _by_name(counts, "files"),
        "licences": _licences(counts),
        "document_sizes": {
            "files": _by_size(counts, "document_files"),
            "bytes": _by_size(counts, "document_bytes"),
        },
        "unparsed": beside["unparsed"],
        "fallbacks": _by_name(beside, "fallback"),
        "by_split": {split: _split(split, shards) for split in ("train", "held_out")},
        "shards": rows,
        "rejects": manifest.shard_rows(info for info in infos if info.path.endswith(".jsonl")),
        "config": dict(settings),
        "digest": config.digest([dict(settings), rows]),
    }


def split_bytes(split: str, result: StageResult) -> int:
    """Bytes of text in the documents of a split that a stage has written."""
    return _split(split, result.shards)["bytes"]


def _split(split: str, shards: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    counts = manifest.total(
        shard["counts"] for shard in shards if shard["info"]["path"].startswith(f"{split}-")
    )
    languages = _by_name(counts, "bytes")
    return {
        "documents": counts["documents"],
        "files": counts["files"],
        "bytes": sum(languages.values()),
        "languages": languages,
    }


def _by_name(counts: Mapping[str, int], kind: str) -> dict[str, int]:
    """The counts `<kind>/<name>` by name, the largest first."""
    start = f"{kind}/"
    named = {name.removeprefix(start): n for name, n in counts.items() if name.startswith(start)}
    return dict(sorted(named.items(), key=lambda item: (-item[1], item[0])))


def _by_size(counts: Mapping[str, int], kind: str) -> dict[str, int]:
    """The counts `<kind>/<power of two>`, the smallest power first."""
    named = _by_name(counts, kind)
    return {power: named[power] for power in sorted(named, key=int)}


def _licences(counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Files and bytes of each licence, that of the most bytes first; an empty name: not known."""
    files = _by_name(counts, "licence_files")
    sizes = _by_name(counts, "licence_bytes")
    return {name: {"files": files[name], "bytes": size} for name, size in sizes.items()}


def nothing_kept(source: str, output: str, result: Mapping[str, Any]) -> str:
    """One sentence for a source of which nothing entered the corpus."""
    files = result["files"]
    reasons = (
        ", ".join(f"{reason} {n}" for reason, n in files["rejected"].items()) or "there is no file"
    )
    return (
        f"error: --source {source}: none of {files['read']} files can enter a corpus ({reasons}); "
        f"{output}/rejects-*.jsonl says why for each"
    )


def show(result: Mapping[str, Any], output: str, seconds: float) -> None:
    """Prints the corpus as a table: files by fate, bytes by language and split."""
    console = Console()
    splits = result["by_split"]
    console.print(_fates(result), _sizes(result))
    for split, row in splits.items():
        if not row["documents"]:
            console.print(f"The split {split} is empty: take more repositories, or another --seed.")
    console.print(f"{output}: corpus {result['digest']}, {seconds:.0f} s")


def _fates(result: Mapping[str, Any]) -> Table:
    """Files read and kept, and every reason in the order of the stages."""
    files = result["files"]
    table = Table(title=f"Files of {result['repositories']:,} repositories", title_justify="left")
    table.add_column("fate")
    table.add_column("files", justify="right")
    table.add_row("read", f"{files['read']:,}")
    for counts in by_stage(files["rejected"]).values():
        for reason, number in counts.items():
            table.add_row(f"  rejected: {reason}", f"{number:,}")
    table.add_row("kept", f"{files['kept']:,}")
    table.add_row("  imports not read", f"{result['unparsed']:,}")
    return table


def _sizes(result: Mapping[str, Any]) -> Table:
    """Documents and bytes of each split, the largest languages one by one."""
    splits = result["by_split"].values()
    table = Table(title=f"{result['documents']:,} documents, MB by language", title_justify="left")
    table.add_column("")
    for split in result["by_split"]:
        table.add_column(split, justify="right")
    table.add_row("documents", *(f"{split['documents']:,}" for split in splits))
    shown = list(result["bytes"])[:_MOST_LANGUAGES]
    for name in shown:
        table.add_row(name, *(f"{s['languages'].get(name, 0) / 1e6:.2f}" for s in splits))
    if others := len(result["bytes"]) - len(shown):
        rest = [s["bytes"] - sum(s["languages"].get(name, 0) for name in shown) for s in splits]
        table.add_row(f"{others} others", *(f"{number / 1e6:.2f}" for number in rest))
    table.add_row("all", *(f"{split['bytes'] / 1e6:.2f}" for split in splits))
    return table
