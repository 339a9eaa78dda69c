# SPDX-License-Identifier: Apache-2.0
"""Why a file is not in a corpus: every reason, the stage that gives it, and what changes it.

Stages stand in the order in which a file comes to them, so that counts by reason make a funnel.
"""

from collections.abc import Mapping
from dataclasses import dataclass

STAGES = {
    "source": "reading the source",
    "repository": "what is known of the repository",
    "kind": "language and origin",
    "rules": "the paper's rules",
    "duplicates": "equal files",
    "order": "dependency order",
    "held_out": "held-out against training",
}
"""Name to title, in order."""


@dataclass(frozen=True)
class Reason:
    """A word that the manifest counts, for people."""

    stage: str
    """A key of `STAGES`."""
    meaning: str
    """A sentence about the file."""
    setting: str = ""
    """The option of `beam_pipelines.corpus` that changes it; empty if none does."""


_METADATA, _CREATED, _STARS = "--metadata", "--created-before", "--min-stars"

REASONS: dict[str, Reason] = {
    # Reading the source.
    "outside_repositories": Reason("source", "It lies beside the repositories, not in one."),
    "ignored_folder": Reason("source", "It is in a folder that version control keeps for itself."),
    "path": Reason(
        "source",
        "Its path is too long, or has characters that cannot be printed or are no UTF-8.",
        "--rules.max-path",
    ),
    "path_outside": Reason("source", "Its path leads out of the archive or repository."),
    "unreadable": Reason("source", "It could not be opened or read, or its archive is damaged."),
    "not_a_file": Reason("source", "It is a device, a pipe or something else without content."),
    "symlink": Reason("source", "It is a link to a file of the repository, which is read itself."),
    "symlink_broken": Reason("source", "It is a link to nothing."),
    "symlink_loop": Reason("source", "It is a link that leads back to itself."),
    "symlink_outside": Reason("source", "It is a link to a place outside its repository."),
    "hardlink": Reason("source", "It is a second name of a file, which is read itself."),
    "hardlink_outside": Reason("source", "It is a second name of a file outside its archive."),
    "submodule": Reason("source", "It is another repository, of which git keeps the name only."),
    "revision": Reason("source", "The repository does not have the revision.", "--source"),
    "duplicate_path": Reason("source", "The archive had a file of this path before."),
    "encrypted": Reason("source", "The archive has it encrypted."),
    "compression": Reason("source", "The archive has it compressed in a way that is not read."),
    "archive_bomb": Reason("source", "Its archive grows out of proportion when it is unpacked."),
    "too_many_members": Reason("source", "Its archive has too many entries to read them all."),
    "row": Reason("source", "The row of the table lacks a column, or has one of another type."),
    # What is known of the repository.
    "metadata_conflict": Reason(
        "repository", "Several rows of metadata say different things of the repository.", _METADATA
    ),
    "created_unknown": Reason(
        "repository", "It is not known when the repository was created.", _CREATED
    ),
    "created_late": Reason("repository", "The repository was created too late.", _CREATED),
    "stars_unknown": Reason(
        "repository", "It is not known how many stars the repository has.", _STARS
    ),
    "few_stars": Reason("repository", "The repository has too few stars.", _STARS),
    "opt_out": Reason("repository", "Its owner asked for it to be left out.", "--opt-out"),
    # Language and origin.
    "vendored": Reason("kind", "It is a copy of another project's file.", "--rules.keep-vendored"),
    "language": Reason("kind", "It is in none of the languages of the corpus.", "--languages"),
    "generated": Reason("kind", "A program has written it.", "--rules.keep-generated"),
    "minified": Reason("kind", "It is minified JavaScript or CSS.", "--rules.keep-minified"),
    # The paper's rules, and what no text can be.
    "empty": Reason("rules", "It has no text."),
    "too_large": Reason("rules", "It has too many bytes.", "--rules.max-bytes"),
    "binary": Reason("rules", "It has a NUL byte, as no text does."),
    "encoding": Reason("rules", "It is not UTF-8."),
    "xml": Reason("rules", "It begins with an XML declaration.", "--rules.xml-characters"),
    "json_yaml_size": Reason(
        "rules",
        "It is JSON or YAML of too few or too many characters.",
        "--rules.min-json-yaml, --rules.max-json-yaml",
    ),
    "longest_line": Reason("rules", "Its longest line is too long.", "--rules.max-line"),
    "average_line": Reason(
        "rules", "Its lines are too long on average.", "--rules.max-average-line"
    ),
    "alphabetic": Reason(
        "rules", "Too few of its characters are letters.", "--rules.min-alphabetic"
    ),
    "html_nesting": Reason("rules", "It is HTML that is nested too deeply to be read."),
    "html_text": Reason(
        "rules",
        "It is HTML with too little visible text.",
        "--rules.min-html-text, --rules.min-html-share",
    ),
    # Later stages.
    "exact_duplicate": Reason("duplicates", "Another file has the same bytes, and was kept."),
    "changed": Reason("order", "It was changed or removed while the corpus was built."),
    "near_training": Reason(
        "held_out", "Training documents have most of what is in its document, which is held out."
    ),
}
"""By word; in each stage in the order in which they are looked for, about."""

_UNKNOWN = Reason("", "This version does not know the word.")


def reason_of(word: str) -> Reason:
    """What a word means; a word of another version is one of no stage."""
    return REASONS.get(word, _UNKNOWN)


def by_stage(rejected: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Counts by reason, sorted into all stages in order; the most frequent reason first.

    Words that are not known are in a last stage without name, if there are any.
    """
    sorted_counts = sorted(rejected.items(), key=lambda item: (-item[1], item[0]))
    stages: dict[str, dict[str, int]] = {stage: {} for stage in STAGES}
    for word, number in sorted_counts:
        stages.setdefault(reason_of(word).stage, {})[word] = number
    return stages
