# SPDX-License-Identifier: Apache-2.0
"""The card of an exported corpus: `README.md` as the Hugging Face Hub reads it.

The front matter says which files are which split, what the columns are, and the licences; the text
says how the corpus was made and what it is not, from the manifest.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from beam_pipelines.corpus_report import (
    fallbacks_list,
    funnel_table,
    kept_sentence,
    language_table,
    licence_table,
    paper_sentence,
)
from beam_pipelines.text_format import code, size
from coder.report.rendering import table

# The Hub's names of licences, for the SPDX ids that a corpus may have.
_HUB_LICENCES = frozenset(
    "0bsd afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd-2-clause bsd-3-clause bsl-1.0 cc0-1.0 "
    "cc-by-4.0 cc-by-sa-4.0 ecl-2.0 epl-1.0 epl-2.0 gpl-2.0 gpl-3.0 isc lgpl-2.1 lgpl-3.0 mit "
    "mpl-2.0 ms-pl ncsa ofl-1.1 osl-3.0 postgresql unlicense wtfpl zlib".split()
)
_SCALES = ((10**3, "1K"), (10**4, "10K"), (10**5, "100K"), (10**6, "1M"), (10**7, "10M"))
_SCALES += ((10**8, "100M"), (10**9, "1B"), (10**10, "10B"), (10**11, "100B"), (10**12, "1T"))

COLUMNS = {
    "content": "text of the file, without byte order mark",
    "text": "text of all files in order, each under a comment with its path",
    "path": "path within the repository",
    "repository": "name of the repository",
    "revision": "version or commit; empty when the source does not tell",
    "language": "programming language, by linguist's names",
    "licence": "SPDX expression: the file's header, else the nearest licence file, else the "
    "repository's; empty when not known",
    "size": "bytes of the text in UTF-8",
    "split": "train or held_out; whole repositories are held out",
    "document": "id of the document: repository, and smallest path of the connected component",
    "position": "place of the file in its document, from 0",
    "order": "how the files of a document follow each other",
    "paths": "paths of the files in order",
    "languages": "their languages",
    "licences": "their licences",
}


@dataclass(frozen=True)
class SplitSize:
    """What was written for a split."""

    rows: int = 0
    arrow_bytes: int = 0
    """In memory, as Arrow has it."""
    file_bytes: int = 0

    def __add__(self, other: "SplitSize") -> "SplitSize":
        """The sum."""
        return SplitSize(
            self.rows + other.rows,
            self.arrow_bytes + other.arrow_bytes,
            self.file_bytes + other.file_bytes,
        )


def card(
    done: Mapping[str, Any], schema: pa.Schema, rows: str, splits: Mapping[str, SplitSize]
) -> str:
    """The card of an export.

    Args:
        done: manifest of the corpus.
        schema: of the Parquet files.
        rows: file or document: what a row is.
        splits: what was written for each split.
    """
    front = "\n".join(yaml_lines(front_matter(done, schema, splits)))
    return f"---\n{front}\n---\n\n" + "\n\n".join(body(done, schema, rows, splits)) + "\n"


def front_matter(
    done: Mapping[str, Any], schema: pa.Schema, splits: Mapping[str, SplitSize]
) -> dict[str, Any]:
    """What the Hub and `datasets` read of the card."""
    return {
        "license": hub_licences(done["licences"]),
        "language": ["code"],
        "task_categories": ["text-generation"],
        "pretty_name": "Source code in repository order",
        "size_categories": [size_category(sum(split.rows for split in splits.values()))],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": split, "path": f"data/{split}-*.parquet"} for split in splits
                ],
            }
        ],
        "dataset_info": {
            "features": [_feature(field) for field in schema],
            "splits": [
                {"name": name, "num_bytes": split.arrow_bytes, "num_examples": split.rows}
                for name, split in splits.items()
            ],
            "download_size": sum(split.file_bytes for split in splits.values()),
            "dataset_size": sum(split.arrow_bytes for split in splits.values()),
        },
    }


def _feature(field: pa.Field) -> dict[str, Any]:
    if pa.types.is_list(field.type):
        return {"name": field.name, "list": str(field.type.value_type)}
    return {"name": field.name, "dtype": str(field.type)}


def hub_licences(licences: Mapping[str, Any]) -> list[str]:
    """The licences of the files by the Hub's names, sorted; `other` and `unknown` for the rest."""
    names = set()
    for licence in licences:
        name = licence.lower().removesuffix("-only").removesuffix("-or-later")
        names.add("unknown" if not licence else name if name in _HUB_LICENCES else "other")
    return sorted(names)


def size_category(number: int) -> str:
    """The Hub's range for a number of rows."""
    if number < _SCALES[0][0]:
        return "n<1K"
    for (_, low), (limit, high) in zip(_SCALES, _SCALES[1:], strict=False):
        if number < limit:
            return f"{low}<n<{high}"
    return "n>1T"


def yaml_lines(value: Any, indent: str = "") -> Iterator[str]:
    """Nested mappings, lists, strings and numbers as YAML; strings are quoted as in JSON."""
    entries = value.items() if isinstance(value, Mapping) else ((None, item) for item in value)
    for key, item in entries:
        start = f"{indent}{key}:" if key is not None else f"{indent}-"
        if isinstance(item, Mapping) and key is None:
            first, *rest = yaml_lines(item, indent + "  ")
            yield f"{start} {first.strip()}"
            yield from rest
        elif isinstance(item, Mapping | list | tuple):
            yield start
            yield from yaml_lines(item, indent + "  ")
        else:
            yield f"{start} {json.dumps(item, ensure_ascii=False)}"


def body(
    done: Mapping[str, Any], schema: pa.Schema, rows: str, splits: Mapping[str, SplitSize]
) -> Iterator[str]:
    """The card's text, a paragraph, heading or table each."""
    settings = done["config"]
    yield f"# Source code in repository order, from {code(settings['source'])}"
    yield (
        f"{done['files']['kept']:,} files ({size(sum(done['bytes'].values()))} of text in "
        f"{len(done['bytes'])} languages) from {done['repositories']:,} repositories, as "
        f"{done['documents']:,} documents: the files of a repository that depend on each other, "
        "in one piece, as DeepSeek-Coder's pre-training data are made (arXiv:2401.14196, section "
        f"2). A row is a {rows}."
    )
    lines = ["from datasets import load_dataset", "", 'data = load_dataset("path/to/this/folder")']
    yield "\n".join(["```python", *lines, "```"])
    yield "## Columns"
    yield table(["column", "type", ""], [[f.name, str(f.type), COLUMNS[f.name]] for f in schema])
    yield "## Splits"
    split_rows = [
        [name, f"{split.rows:,}", size(split.file_bytes)] for name, split in splits.items()
    ]
    yield table(["split", "rows", "size on disk"], split_rows, numbers=(1, 2))
    yield "## How it was made"
    yield from _made(done)
    yield "## Languages"
    yield paper_sentence()
    yield language_table(done)
    yield "## Licences"
    yield (
        "Every file keeps the licence of its project; this card grants none. A licence is that of "
        "the file's SPDX header, else of the nearest licence file above it, else what the source "
        "states for the repository. Repository, revision and path say where each file comes from."
    )
    yield licence_table(done)
    yield "## Known limits"
    yield _limits(done)


def _made(done: Mapping[str, Any]) -> Iterator[str]:
    """The stages, their settings and the funnel."""
    settings = done["config"]
    yield (
        "By `python -m beam_pipelines.corpus` of deepseek-coder-jax from "
        f"{code(settings['source'])}, input digest {code(str(settings.get('input_digest', '')))}, "
        f"corpus digest {code(done['digest'])}. Files pass the rules of the paper, one of each set "
        "of equal files is kept, the files of a repository are put into the order "
        f"{code(settings['order'])} by what they import, and whole repositories are held out, less "
        "documents that training nearly contains. The same input and settings give the same bytes."
    )
    yield kept_sentence(done)
    yield funnel_table(done)
    yield fallbacks_list(done)
    yield "All settings:"
    yield "\n".join(["```json", json.dumps(settings, indent=1, ensure_ascii=False), "```"])


def _limits(done: Mapping[str, Any]) -> str:
    asked = done["files"]["rejected"].get("opt_out", 0)
    listed = done["config"].get("opt_out")
    opt_out = (
        f"A list of those who do not want their code in a corpus was applied (digest "
        f"{code(str(listed))}); it covered {asked:,} files."
    )
    unknown = done["licences"].get("", {"files": 0})["files"]
    lines = [
        opt_out if asked else "No file was left out because its owner asked for it.",
        "Secrets and personal data such as names and addresses in comments are not removed.",
        "Near-duplicates within the split train, and problems of benchmarks, are not looked for.",
        f"Licences are recognised by headers and by the texts of common licences; of {unknown:,} "
        "files none is known.",
        "Dependencies are those that can be read from the text of files: what is computed at run "
        f"time is not among them, and the imports of {done['unparsed']:,} files could not be read.",
    ]
    return "\n".join(f"- {line}" for line in lines)
