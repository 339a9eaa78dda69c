# SPDX-License-Identifier: Apache-2.0
"""From the JSON files of runs to tables, verdicts and plots, without jax or Beam."""
