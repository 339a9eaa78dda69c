# SPDX-License-Identifier: Apache-2.0
"""Which names may be paths of a repository, where others chose them: in archives, trees and rows.

A path is never used to open anything, but it is shown to people, written into documents and taken
apart by resolvers, so what would be dangerous on a disk has no business here either.
"""

import posixpath
import re

from beam_pipelines.sources.local import IGNORED_FOLDERS, printable

MAX_CHARACTERS = 4096
"""Longer names are refused; the limit of Linux."""

SHOWN_CHARACTERS = 500

_DRIVE = re.compile(r"[A-Za-z]:")


def clean(path: str) -> str:
    """The path without empty and `.` parts, which archives put in at will: `./a//b` is `a/b`."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return ("/" if path.startswith("/") else "") + "/".join(parts)


def path_problem(path: str) -> tuple[str, str] | None:
    """Reason and detail against a file's path, or None."""
    if len(path) > MAX_CHARACTERS:
        return "path", f"{len(path)} characters"
    if not path.isprintable():
        return "path", "unprintable characters or invalid UTF-8"
    parts = path.split("/")
    if path.startswith("/") or _DRIVE.match(path):
        return "path_outside", "absolute"
    if ".." in parts:
        return "path_outside", "`..` in it"
    if "\\" in path:
        return "path", "a backslash in it"
    if "" in parts or "." in parts:
        return "path", "an empty part"
    ignored = IGNORED_FOLDERS.intersection(parts[:-1])
    return ("ignored_folder", min(ignored)) if ignored else None


def link_problem(path: str, target: str, *, hard: bool = False) -> tuple[str, str]:
    """Why a link is not read: its target is read where it lies, or must not be read at all.

    Args:
        path: Of the link.
        target: As the link has it: relative to its folder, or to the root if it is a hard link.
        hard: Whether it is a second name for a file.
    """
    reason = "hardlink" if hard else "symlink"
    if len(target) > MAX_CHARACTERS or _DRIVE.match(target) or target.startswith(("/", "\\")):
        return f"{reason}_outside", shown(target)
    folder = "" if hard else posixpath.dirname(path)
    place = posixpath.normpath(posixpath.join(folder, target))
    if place.split("/")[0] == "..":
        return f"{reason}_outside", shown(target)
    return reason, f"of {shown(place)}"


def shown(path: str) -> str:
    """The path as a reject may carry it: printable, and not endless."""
    return printable(path[:SHOWN_CHARACTERS])
