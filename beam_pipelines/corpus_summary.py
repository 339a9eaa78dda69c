# SPDX-License-Identifier: Apache-2.0
"""The manifest of a corpus, and what the terminal shows of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from beam_pipelines import manifest
from beam_pipelines.read_repositories import Repository
from coder import config
from coder.data.tfrecord import ShardInfo


def assemble(
    settings: Mapping[str, Any],
    repositories: Sequence[Repository],
    shards: Sequence[Mapping[str, Any]],
    unparsed: int,
) -> dict[str, Any]:
    """The manifest.

    Args:
        settings: What the output depends on.
        repositories: What was listed.
        shards: What each shard of documents or rejects holds: `{"info": …, "counts": {name: n}}`.
        unparsed: How many files were ordered without their imports, which could not be read.

    Raises:
        manifest.LostFilesError: by the counts of what was written, a file was lost.
    """
    infos = [ShardInfo(**shard["info"]) for shard in shards]
    counts = manifest.total(shard["counts"] for shard in shards)
    reasons = manifest.rejected(counts)
    read = sum(repository.num_files for repository in repositories)
    manifest.check_identity(read, counts["files"], reasons)
    rows = manifest.shard_rows(info for info in infos if info.path.endswith(".tfrecord"))
    by_split = {split: _split(split, shards) for split in ("train", "held_out")}
    return {
        "files": {"read": read, "kept": counts["files"], "rejected": reasons},
        "repositories": len(
            {repository.info.name for repository in repositories if repository.info.name}
        ),
        "documents": counts["documents"],
        "bytes": _bytes(counts),
        "unparsed": unparsed,
        "by_split": by_split,
        "shards": rows,
        "rejects": manifest.shard_rows(info for info in infos if info.path.endswith(".jsonl")),
        "config": dict(settings),
        "digest": config.digest([dict(settings), rows]),
    }


def _split(split: str, shards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counts = manifest.total(
        s["counts"] for s in shards if s["info"]["path"].startswith(f"{split}-")
    )
    languages = _bytes(counts)
    return {
        "documents": counts["documents"],
        "files": counts["files"],
        "bytes": sum(languages.values()),
        "languages": languages,
    }


def _bytes(counts: Mapping[str, int]) -> dict[str, int]:
    """Bytes by language, the largest first."""
    prefix = "bytes/"
    languages = {
        name.removeprefix(prefix): n for name, n in counts.items() if name.startswith(prefix)
    }
    return dict(sorted(languages.items(), key=lambda item: (-item[1], item[0])))


def nothing_kept(source: str, output: Path, result: Mapping[str, Any]) -> str:
    """One sentence for a source of which nothing entered the corpus."""
    files = result["files"]
    reasons = (
        ", ".join(f"{reason} {n}" for reason, n in files["rejected"].items()) or "there is no file"
    )
    return (
        f"error: --source {source}: none of {files['read']} files can enter a corpus ({reasons}); "
        f"{output}/rejects-*.jsonl says why for each"
    )


def show(result: Mapping[str, Any], output: Path, seconds: float) -> None:
    """Prints the corpus as a table: files by fate, bytes by language and split."""
    console = Console()
    files, splits = result["files"], result["by_split"]
    fates = Table(title=f"Files of {result['repositories']} repositories", title_justify="left")
    fates.add_column("fate")
    fates.add_column("files", justify="right")
    for fate, n in (("read", files["read"]), ("kept", files["kept"]), *files["rejected"].items()):
        fates.add_row(fate if fate in ("read", "kept") else f"  rejected: {fate}", f"{n:,}")
    fates.add_row("kept, imports not read", f"{result['unparsed']:,}")
    sizes = Table(title=f"{result['documents']:,} documents, MB by language", title_justify="left")
    sizes.add_column("")
    for split in splits:
        sizes.add_column(split, justify="right")
    sizes.add_row("documents", *(f"{split['documents']:,}" for split in splits.values()))
    for language in result["bytes"]:
        sizes.add_row(
            language,
            *(f"{split['languages'].get(language, 0) / 1e6:.2f}" for split in splits.values()),
        )
    sizes.add_row("all", *(f"{split['bytes'] / 1e6:.2f}" for split in splits.values()))
    console.print(fates, sizes)
    for split, row in splits.items():
        if not row["documents"]:
            console.print(f"The split {split} is empty: too few repositories, or another --seed.")
    console.print(f"{output}: corpus {result['digest']}, {seconds:.0f} s")
