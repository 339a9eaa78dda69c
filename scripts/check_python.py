# SPDX-License-Identifier: Apache-2.0
"""Says in a sentence what an interpreter that `VENV=` uses lacks; runs on old ones, too.

Arguments: the modules that are needed, where that is not all of them.
"""

import importlib.util
import sys

OLDEST = (3, 12)
NEEDED = (
    "jax",
    "flax",
    "optax",
    "orbax.checkpoint",
    "grain",
    "google_crc32c",
    "tokenizers",
    "tyro",
    "rich",
    "matplotlib",
    "tensorboardX",
)
"""What training, evaluation and reports import. The pipelines need apache_beam and more besides."""


def missing(name):
    """Whether a module is not installed."""
    try:
        return importlib.util.find_spec(name) is None
    except ModuleNotFoundError:  # the package that it would be in
        return True


if sys.version_info < OLDEST:
    sys.exit(
        f"VENV= uses {sys.executable}, which is Python {sys.version.split()[0]}: "
        "name one of 3.12 or newer with PYTHON="
    )
lacking = [name for name in sys.argv[1:] or NEEDED if missing(name)]
if lacking:
    sys.exit(
        f"VENV= uses {sys.executable}, which lacks {', '.join(lacking)}: "
        "install the versions of requirements.txt, or leave VENV out"
    )
