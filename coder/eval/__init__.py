# SPDX-License-Identifier: Apache-2.0
"""Held-out measurements of a trained run: left-to-right and infilling quality."""
