# SPDX-License-Identifier: Apache-2.0
"""From repositories to packed examples: pure functions, neither jax (but for loader) nor Beam."""
