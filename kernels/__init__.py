# SPDX-License-Identifier: Apache-2.0
"""Attention and other operations with more than one implementation; they depend on jax alone."""
