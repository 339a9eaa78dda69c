# SPDX-License-Identifier: Apache-2.0
"""Implementations of `kernels.grouped_matmul`; private."""
