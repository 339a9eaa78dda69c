# SPDX-License-Identifier: Apache-2.0
"""From the JSON files of finished runs to tables, verdicts and plots; imports neither jax nor Beam."""
