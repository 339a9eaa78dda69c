# SPDX-License-Identifier: Apache-2.0
"""How many processor cores there are for us."""

import os


def allowed_cores() -> int:
    """Cores this process may run on; where the system does not tell (macOS), all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
