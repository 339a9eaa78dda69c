# SPDX-License-Identifier: Apache-2.0
"""Files that are not any more what they were when they were listed: each is counted once."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from beam_pipelines.filter_files import KeptFile, Rules, filter_batch
from beam_pipelines.sources.source import (
    FileBatch,
    FileContent,
    FileReference,
    FileState,
    RepositoryInfo,
    Unit,
)
from coder.data.filters import FilterConfig
from coder.data.languages import Languages
from coder.data.opt_out import OptOut
from coder.data.records import Reject

RULES = Rules(FilterConfig(), Languages.named(["Python", "JSON"]), OptOut())
INFO = RepositoryInfo("r", "", "", "/")
CODE = b"import os\n\nprint(os.name)\n"


@dataclass(frozen=True)
class Changing:
    """A source of one batch, whose files have become these, or cannot be read any more."""

    found: dict[str, bytes | None] = field(default_factory=dict)

    def units(self) -> Iterator[Unit | Reject]:
        yield Unit("r", "r")

    def state(self, unit: Unit) -> Iterator[FileState]:
        yield from ()

    def batches(self, unit: Unit) -> Iterator[FileBatch | Reject]:
        yield from ()

    def read(self, batch: FileBatch, limit: int) -> Iterator[FileContent | Reject]:
        for file in batch.files or ():
            content = self.found[file.path]
            if content is None:
                yield Reject("r", file.path, "unreadable", "")
            else:
                yield FileContent(file.path, content[:limit])


def fates(path: str, listed: int, found: bytes | None) -> list[str]:
    batch = FileBatch(INFO, (FileReference(path, listed),))
    results = filter_batch(batch, Changing({path: found}), RULES)
    return [
        result.reason if isinstance(result, Reject) else "beside" if result.is_beside else "kept"
        for result in results
        if isinstance(result, Reject | KeptFile)
    ]


@pytest.mark.parametrize(
    ("path", "listed", "found", "expected"),
    [
        ("a.py", len(CODE), CODE, ["kept"]),
        ("a.py", len(CODE), b"", ["empty"]),
        ("a.py", len(CODE), None, ["unreadable"]),
        ("a.py", len(CODE), b"#" * (1 << 21), ["too_large"]),
        ("node_modules/a/package.json", 9, b'{"a": 1}\n', ["vendored", "beside"]),
        ("node_modules/a/package.json", 9, None, ["vendored"]),
        ("node_modules/a/package.json", 9, b"", ["vendored"]),
        ("LICENSE", 9, None, ["unreadable"]),
    ],
)
def test_every_file_has_one_fate(path: str, listed: int, found: bytes | None, expected: list[str]):
    assert fates(path, listed, found) == expected
