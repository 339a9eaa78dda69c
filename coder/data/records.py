# SPDX-License-Identifier: Apache-2.0
"""What flows through the pipelines, and the one source of randomness on the way."""

import hashlib
import random
from dataclasses import dataclass
from typing import Literal, cast

from coder.data.languages import path_header
from coder.data.tfrecord import decode_example, encode_example

Split = Literal["train", "held_out"]


@dataclass(frozen=True)
class SourceFile:
    """A file of a repository as it was read."""

    repository: str
    revision: str
    path: str
    """Within the repository, `/` between folders."""
    content: bytes


@dataclass(frozen=True)
class Reject:
    """A file that does not enter the corpus."""

    repository: str
    path: str
    reason: str
    """One of a small set of words: what the manifest counts."""
    detail: str
    """What a human wants to know beyond the reason; may be empty."""


@dataclass(frozen=True)
class DocumentFile:
    """A file of a document."""

    path: str
    language: str
    """Linguist's name for it (`coder.data.languages`)."""
    licence: str
    text: str
    crc32c: int
    """CRC-32C of the text in UTF-8."""


@dataclass(frozen=True)
class Document:
    """The files of one connected component of a repository, in the order a model reads them."""

    id: str
    """`<repository>#<smallest path of the component>`."""
    repository: str
    revision: str
    """Of the repository; several, separated by spaces, where rows of a table have one each."""
    split: Split
    order: str
    """dependency, random or path: how `files` came into their order."""
    files: tuple[DocumentFile, ...]

    def file_text(self, number: int) -> str:
        """File `number` under its path comment, see `headed`."""
        file = self.files[number]
        return headed(file.path, file.language, file.text)

    def text(self) -> str:
        """What a model reads: every file in order, each under its path comment."""
        return "".join(self.file_text(number) for number in range(len(self.files)))

    def encode(self) -> bytes:
        """The document as a `tf.train.Example`; fields of its files are lists, a value each."""
        return encode_example(
            {
                "id": self.id.encode(),
                "repository": self.repository.encode(),
                "revision": self.revision.encode(),
                "split": self.split.encode(),
                "order": self.order.encode(),
                "path": [file.path.encode() for file in self.files],
                "language": [file.language.encode() for file in self.files],
                "licence": [file.licence.encode() for file in self.files],
                "text": [file.text.encode() for file in self.files],
                "crc32c": [file.crc32c for file in self.files],
            }
        )

    @classmethod
    def decode(cls, record: bytes) -> "Document":
        """The document that `encode` wrote.

        Raises:
            KeyError: the record is an Example, but no document; names the missing feature.
        """
        features = decode_example(record)
        text = {
            name: [value.decode() for value in values]
            for name, values in features.items()
            if name != "crc32c"
        }
        columns = (
            text["path"],
            text["language"],
            text["licence"],
            text["text"],
            features["crc32c"],
        )
        files = tuple(DocumentFile(*row) for row in zip(*columns, strict=True))
        (id_,), (repository,), (revision,) = text["id"], text["repository"], text["revision"]
        (split,), (order,) = text["split"], text["order"]
        return cls(id_, repository, revision, cast(Split, split), order, files)


def headed(path: str, language: str, text: str) -> str:
    """A file under its path comment; ends with a line break, for the next to follow."""
    end = "" if text.endswith("\n") else "\n"
    return path_header(path, language) + text + end


def stable_hash(seed: int, *parts: str) -> int:
    """A number below 2**64 that depends on its arguments alone: the same in every run, anywhere."""
    digest = hashlib.blake2b(seed.to_bytes(16, "little", signed=True), digest_size=8)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))  # ("a", "bc") must differ from ("ab", "c")
        digest.update(data)
    return int.from_bytes(digest.digest(), "little")


def stable_rng(seed: int, *parts: str) -> random.Random:
    """A generator for the thing that `parts` name; all random choices about data come from these.

    So a choice depends neither on the order in which workers come to it nor on their number.
    """
    return random.Random(stable_hash(seed, *parts))
