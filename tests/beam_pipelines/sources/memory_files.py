# SPDX-License-Identifier: Apache-2.0
"""A file system in memory, `memory://`, which Beam finds by its scheme as it does gs:// and s3://."""

import io
from typing import Any

from apache_beam.io.filesystem import BeamIOError, FileMetadata, FileSystem


class MemoryFiles(FileSystem):
    FILES: dict[str, bytes] = {}
    SEEKS = True

    @classmethod
    def scheme(cls):
        return "memory"

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path):
        return tuple(path.rsplit("/", 1))

    def has_dirs(self):
        return False

    def _list(self, dir_or_prefix):
        for path in self.FILES:
            if path.startswith(dir_or_prefix):
                yield self.metadata(path)

    def open(self, path, mime_type="", compression_type: Any = "auto"):
        assert compression_type == "uncompressed"
        if path not in self.FILES:
            raise BeamIOError(f"no such object: {path}")
        opened = io.BytesIO(self.FILES[path])
        if not self.SEEKS:
            opened.seekable = lambda: False
        return io.BufferedReader(opened)  # type: ignore[arg-type]

    def exists(self, path):
        return path in self.FILES

    def metadata(self, path):
        return FileMetadata(path, len(self.FILES[path]), 7.0)

    def _unused(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    mkdirs = create = copy = rename = size = last_updated = checksum = delete = _unused
