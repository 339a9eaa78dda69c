# SPDX-License-Identifier: Apache-2.0
"""Takes GitHub Linguist's data over into coder/data/linguist/upstream.

    python scripts/vendor_linguist.py DIR    # DIR: lib/linguist of the gem github-linguist

The YAML becomes JSON, which needs no parser beyond Python's own and loads in milliseconds. Of a
language, only what recognises it is kept. One entry a line, so that a new version reads as a diff.
"""

import json
import sys
from pathlib import Path

import yaml

UPSTREAM = Path(__file__).parents[1] / "coder" / "data" / "linguist" / "upstream"
FIELDS = ("type", "aliases", "extensions", "filenames", "interpreters")


def main(source: Path) -> None:
    """Writes the five JSON files and the version beside them."""
    languages = _load(source, "languages")
    heuristics = _load(source, "heuristics")
    _write_mapping(
        "languages",
        {
            name: {field: given[field] for field in FIELDS if given.get(field)}
            for name, given in languages.items()
        },
    )
    _write_mapping("heuristics", heuristics)
    _write_list("vendor", _load(source, "vendor"))
    _write_list("generic", _load(source, "generic")["extensions"])
    _write_list("popular", _load(source, "popular"))
    (UPSTREAM / "VERSION").write_text((source / "VERSION").read_text().strip() + "\n")


def _load(source: Path, name: str):
    return yaml.safe_load((source / f"{name}.yml").read_text(encoding="utf-8"))


def _write_mapping(name: str, mapping: dict) -> None:
    entries = []
    for key, value in mapping.items():
        if isinstance(value, list):
            lines = ",\n".join(f"  {json.dumps(item)}" for item in value)
            entries.append(f"{json.dumps(key)}: [\n{lines}\n]")
        else:
            entries.append(f"{json.dumps(key)}: {json.dumps(value)}")
    (UPSTREAM / f"{name}.json").write_text("{\n" + ",\n".join(entries) + "\n}\n")


def _write_list(name: str, items: list[str]) -> None:
    lines = ",\n".join(json.dumps(item) for item in items)
    (UPSTREAM / f"{name}.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
