# SPDX-License-Identifier: Apache-2.0
"""What holds for every test: which are skipped by default, and what JAX may use."""

import logging
import os
from collections.abc import Iterator

import pytest

SKIPPED_BY_DEFAULT = {
    "slow": "minutes long: run with -m slow",
    "gpu": "needs a GPU: run with -m gpu (make test-gpu)",
    "network": "needs the network: run with -m network",
}


def pytest_configure(config: pytest.Config) -> None:
    """Keeps JAX on one CPU core, unless GPU tests are asked for; kernels check their data.

    pytest-xdist uses the other cores, and one core gives the same results everywhere.
    """
    os.environ.setdefault("KERNELS_DEBUG", "1")
    if "gpu" not in config.option.markexpr:
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ.setdefault("NPROC", "1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips, with a reason, what needs more than a CPU and a minute."""
    for item in items:
        for name, reason in SKIPPED_BY_DEFAULT.items():
            if item.get_closest_marker(name) and name not in config.option.markexpr:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Commands configure logging as they start: what a test calls is not to decide for others."""
    loggers = [logging.getLogger(name) for name in (None, "coder", "beam_pipelines")]
    levels, handlers = [logger.level for logger in loggers], loggers[0].handlers[:]
    yield
    loggers[0].handlers[:] = [one for one in loggers[0].handlers if one in handlers]
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture(scope="module")
def compiled_at_once() -> Iterator[None]:
    """Without XLA's optimizations: for tests that compile more than they compute."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
