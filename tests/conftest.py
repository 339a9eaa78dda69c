# SPDX-License-Identifier: Apache-2.0
"""What holds for every test: which are skipped by default, and what JAX may use."""

import os

import pytest

SKIPPED_BY_DEFAULT = {
    "slow": "minutes long: run with -m slow",
    "gpu": "needs a GPU: run with -m gpu (make test-gpu)",
    "network": "needs the network: run with -m network",
}


def pytest_configure(config: pytest.Config) -> None:
    """Keeps JAX on one CPU core, unless GPU tests are asked for.

    pytest-xdist uses the other cores, and one core gives the same results everywhere.
    """
    if "gpu" not in config.option.markexpr:
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ.setdefault("NPROC", "1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips, with a reason, what needs more than a CPU and a minute."""
    for item in items:
        for name, reason in SKIPPED_BY_DEFAULT.items():
            if item.get_closest_marker(name) and name not in config.option.markexpr:
                item.add_marker(pytest.mark.skip(reason=reason))
