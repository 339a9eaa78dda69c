# SPDX-License-Identifier: Apache-2.0
"""A small tokenizer, texts to try it on, and corpora of a few files."""

import dataclasses
import json
from pathlib import Path

from hypothesis import strategies as st

from coder.config import digest, write_json
from coder.data.records import Document, DocumentFile, Split
from coder.data.tfrecord import write_shard
from coder.data.tokenizer import CONTROL_TOKENS, train

CODE = Path(json.decoder.__file__).read_text(encoding="utf-8")
TOKENIZER = train([CODE], 256 + len(CONTROL_TOKENS) + 200)
SENTINELS = frozenset(range(TOKENIZER.bos, TOKENIZER.vocab_size))

# What v1's patterns tell apart: cases, marks, spaces, digits, punctuation, symbols, East Asian.
ODD = " \t\r\n\x0b\x85\u2003\u3000aÉǅʰ中が각ࠁ.,_()、᠀“+=<$→१½५²\u0301\u200b😀"
TEXTS = st.one_of(
    st.text(),
    st.text(alphabet=ODD),
    st.text(alphabet="ab \n", max_size=60),
    st.lists(st.sampled_from([*CONTROL_TOKENS[:12], " ", "\n", "õ", "x"])).map("".join),
)


def document(repository: str, *texts: str, split: Split = "train") -> Document:
    """A document of Python files `0.py`, `1.py` and so on."""
    files = tuple(DocumentFile(f"{n}.py", "Python", "", text, 0) for n, text in enumerate(texts))
    return Document(f"{repository}#0.py", repository, "1", split, "path", files)


def write_corpus(folder: Path, documents: list[Document], shards: int = 2) -> Path:
    """What `beam_pipelines.corpus` would leave, as far as it is read again."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, by_split = [], {}
    for split in ("train", "held_out"):
        chosen = [doc for doc in documents if doc.split == split]
        for shard in range(shards):
            path = folder / f"{split}-{shard:05d}-of-{shards:05d}.tfrecord"
            records = [doc.encode() for doc in chosen[shard::shards]]
            rows.append(dataclasses.asdict(write_shard(path, records)))
        texts = [file.text for doc in chosen for file in doc.files]
        size = sum(len(text.encode()) for text in texts)
        by_split[split] = {"documents": len(chosen), "bytes": size}
    write_json(
        folder / "manifest.json",
        {"by_split": by_split, "shards": rows, "digest": digest(rows)},
    )
    return folder
