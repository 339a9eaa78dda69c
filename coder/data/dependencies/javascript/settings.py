# SPDX-License-Identifier: Apache-2.0
"""Settings in JSON, as tsconfig.json has it: with comments and trailing commas.

A setting that cannot be read, or that is not of the expected kind, is as good as absent.
"""

import json
import re
from typing import Any

_STRING = r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"?'
_COMMENT = r"//[^\n]*+|/\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/|\Z)"
_COMMENTS = re.compile(rf"({_STRING})|{_COMMENT}")
_TRAILING_COMMAS = re.compile(rf"({_STRING})|,(?=\s*+[\]}}])")


def read_json(text: str) -> dict[str, Any]:
    """An object in JSON with comments and trailing commas, as tsconfig.json has it."""
    plain = _COMMENTS.sub(lambda match: match[1] or " ", text.lstrip("\ufeff"))
    try:
        found = json.loads(_TRAILING_COMMAS.sub(lambda match: match[1] or "", plain))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def strings(value: Any) -> list[str]:
    """The strings of a list; none of anything else."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def part(value: Any, name: str) -> dict[str, Any]:
    """An object's part of a name, if that is an object too."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}
