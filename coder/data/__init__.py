# SPDX-License-Identifier: Apache-2.0
"""From repositories to packed examples: pure functions, without jax, flax or Beam (the loader, which feeds jax, excepted)."""
